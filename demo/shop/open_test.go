package shop_test

import (
	"testing"

	"github.com/meridian-gtm/meridian/demo/shop"
	"github.com/meridian-gtm/meridian/demo/shop/dbtest"
)

// open opens a shop for the time of the test.
func open(t testing.TB, url string, catalog []shop.Product) *shop.Shop {
	t.Helper()
	s, err := shop.Open(t.Context(), url, dbtest.Regions, catalog)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
