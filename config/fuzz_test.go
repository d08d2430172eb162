package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
)

// FuzzParse looks for text that panics, for a fault without a place or on more than one line, and for a configuration
// whose parts do not fit.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatalf("seeds: %d, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("m.yaml", data)
		if err != nil {
			var faults Faults
			if !errors.As(err, &faults) || c != nil {
				t.Fatalf("config %v, error %T: want faults only", c, err)
			}
			for _, fault := range faults {
				line := fault.String()
				if fault.Line < 1 || fault.Value == "" || fault.Want == "" || strings.ContainsAny(line, "\n\r\x00\x1b") || !utf8.ValidString(line) {
					t.Errorf("fault %q at line %d", line, fault.Line)
				}
			}
			return
		}
		names := map[string]bool{}
		for _, s := range c.Sites {
			names[s.Name] = true
		}
		for _, s := range c.Services {
			for _, name := range Sites(s.Policy) {
				if !names[name] {
					t.Errorf("service %s: no site %q", s.Name, name)
				}
			}
			if s.TTLMin < 1 || s.TTLMin > s.TTLMax || s.TTLMax > 86400 {
				t.Errorf("service %s: TTL %d..%d", s.Name, s.TTLMin, s.TTLMax)
			}
		}
		if faults := c.Health.Validate(); len(faults) > 0 {
			t.Errorf("health: %v", faults)
		}
		in := steer.Inputs{Datacenters: c.Datacenters, Sites: c.Sites, Services: c.Services}
		if _, err := steer.Compile(in, nil); err != nil {
			t.Errorf("valid, but does not compile: %v", err)
		}
		for _, target := range c.Targets() {
			if !target.Addr.IsValid() || target.Addr.Port() == 0 {
				t.Errorf("target %+v", target)
			}
		}
		again, err := Parse("m.yaml", data)
		if err != nil || again.FleetHash() != c.FleetHash() {
			t.Errorf("read twice: %v, hashes differ", err)
		}
	})
}
