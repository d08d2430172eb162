package config

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
)

var update = flag.Bool("update", false, "write the golden files of this package")

// TestInvalid compares every word an operator reads about testdata/invalid-*.yaml with the file beside it.
func TestInvalid(t *testing.T) {
	files, err := filepath.Glob("testdata/invalid-*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v: want 20 or more", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Parse(filepath.Base(file), data)
			if err == nil || c != nil {
				t.Fatalf("config %v, error %v: want faults only", c, err)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			got := err.Error() + "\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("faults (-want +got):\n%s", d)
			}
		})
	}
}

func TestFaultsCarryTheirParts(t *testing.T) {
	_, err := Parse("m.yaml", []byte(strings.Replace(minimal, "lat: 0", "lat: 100", 1)))
	var got Faults
	if !errors.As(err, &got) {
		t.Fatalf("%v: want Faults", err)
	}
	want := Faults{{File: "m.yaml", Line: 4, Path: "datacenters.here.lat", Value: "100", Want: "-90..90 degrees"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("faults (-want +got):\n%s", d)
	}
}

func TestTooLargeIsRefusedUnread(t *testing.T) {
	_, err := Parse("m.yaml", make([]byte, maxSize+1))
	if want := "m.yaml:1: 33554433 bytes: want at most 33554432 bytes"; err == nil || err.Error() != want {
		t.Errorf("%v: want %s", err, want)
	}
}

func TestHugeListsAreRefused(t *testing.T) {
	for _, tt := range []struct{ policy, want string }{
		{"failover: [" + strings.Repeat("a, ", maxItems) + "a]", "services.s.policy.failover: 4097 items: want at most 4096"},
		{"weighted: {" + numbered(maxItems+1) + "}", "services.s.policy.weighted: 4097 sites: want at most 4096"},
	} {
		_, err := Parse("m.yaml", []byte(minimal+"services: {s: {policy: {"+tt.policy+"}}}\n"))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.200v: want %s", err, tt.want)
		}
	}
}

// numbered is a mapping of n sites to weights.
func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "s%d: 1, ", i)
	}
	return b.String()
}

// TestPoliciesNestAsDeepAsPlansDo holds the two limits to each other.
func TestPoliciesNestAsDeepAsPlansDo(t *testing.T) {
	for levels := maxDepth - 1; levels <= maxDepth+1; levels++ {
		policy := strings.Repeat("{failover: [", levels-2) + "{nearest: [a]}" + strings.Repeat("]}", levels-2)
		c, err := Parse("m.yaml", []byte(minimal+
			"sites: {a: {datacenter: here, vip: {v4: 192.0.2.1}}}\nservices: {s: {policy: "+policy+"}}\n"))
		if fits := levels <= maxDepth; (err == nil) != fits {
			t.Errorf("%d levels: %v", levels, err)
		}
		if err != nil {
			continue
		}
		in := steer.Inputs{Datacenters: c.Datacenters, Sites: c.Sites, Services: c.Services}
		if _, err := steer.Compile(in, nil); err != nil {
			t.Errorf("%d levels: %v", levels, err)
		}
	}
}
