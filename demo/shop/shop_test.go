package shop

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/meridian-gtm/meridian/demo/shop/dbtest"
	"github.com/meridian-gtm/meridian/demo/shop/store"
)

var (
	regions = dbtest.Regions
	t0      = time.Date(2031, 5, 4, 3, 2, 1, 987654321, time.UTC)
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

// open opens a shop for the time of the test.
func open(t testing.TB, url string, catalog []Product) *Shop {
	t.Helper()
	s, err := Open(t.Context(), url, regions, catalog)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// each runs test with a fresh shop on every engine.
func each(t *testing.T, catalog []Product, test func(t *testing.T, s *Shop)) {
	dbtest.Each(t, func(t *testing.T, e store.Engine) { test(t, open(t, dbtest.New(t, e), catalog)) })
}

func TestRestartKeepsOrdersAndStock(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, e store.Engine) {
		url := dbtest.New(t, e)
		s := open(t, url, Catalog())
		d := Draft{Key: NewKey("eu-west"), Customer: "Ada", Lines: []Line{{SKU: "compass", Quantity: 3}}}
		want, _, err := s.Place(t.Context(), d, "us-east", t0)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, url, Catalog())
		got, err := s.Order(t.Context(), want.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(Order{})); diff != "" {
			t.Error(diff)
		}
		for region, left := range map[string]int{"eu-west": 5997, "us-east": 6000} {
			p, err := s.Product(t.Context(), region, "compass")
			if err != nil || p.Stock != left {
				t.Errorf("compass in %s: %d left, %v: want %d", region, p.Stock, err, left)
			}
		}
	})
}

func TestOpenRefusesRegions(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "shop.db")
	for _, regions := range [][]string{nil, {""}, {"EU"}, {"eu.west"}, {"-eu"}, {"eu-"}, {strings.Repeat("x", 33)}} {
		if s, err := Open(t.Context(), url, regions, nil); err == nil {
			s.Close()
			t.Errorf("regions %q: want an error", regions)
		}
	}
}

// TestSeveralProcessesMayOpenAtOnce: they all find the tables missing.
func TestSeveralProcessesMayOpenAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, e store.Engine) {
		url := dbtest.New(t, e)
		errs := make(chan error, 4)
		for range cap(errs) {
			go func() {
				s, err := Open(context.Background(), url, regions, Catalog())
				if err == nil {
					err = s.Close()
				}
				errs <- err
			}()
		}
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestMoney(t *testing.T) {
	for m, want := range map[Money]string{0: "0.00 EUR", 5: "0.05 EUR", 1290: "12.90 EUR", -1: "-0.01 EUR", 25900: "259.00 EUR"} {
		if got := m.String(); got != want {
			t.Errorf("%d: %q: want %q", int64(m), got, want)
		}
	}
}
