package mmdb

import (
	"testing"
	"time"
)

func TestInfoString(t *testing.T) {
	if got := (Info{}).String(); got != "none" {
		t.Errorf("%q: want none", got)
	}
	zone := time.FixedZone("", 3600)
	info := Info{Databases: []Database{
		{Role: "city", File: "/var/lib/geo/city.mmdb", Built: time.Date(2026, 1, 2, 0, 30, 0, 0, zone)},
		{Role: "cidr-map", File: "map.txt", Built: time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC)},
	}}
	if got, want := info.String(), "city city.mmdb of 2026-01-01, cidr-map map.txt of 2026-01-03"; got != want {
		t.Errorf("%q: want %q", got, want)
	}
}
