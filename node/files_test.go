package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// A reload of something broken changes nothing, names the place to the operator, in status and by a metric, and is
// over with the next sound one.
func TestBrokenFilesKeepTheOldState(t *testing.T) {
	f := running(t, 2)
	m := f.nodes[0]
	sound := func(name string) string {
		b, err := os.ReadFile(filepath.Join(f.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	epoch, hash := m.status().Epoch, m.status().Config.Hash
	for _, tt := range []struct{ file, old, new, place string }{
		{"us.yaml", "stale: 4s", "stale: 4m30", "us.yaml:25: health.stale"},
		{"us.yaml", "services:", "servces:", "us.yaml:"},
		{"us.yaml", "policy: {nearest: [us, eu]}, ttl", "policy: {nearest: [us, nowhere]}, ttl", `nowhere`},
		{"us.yaml", "profile: fast", "profile: wan", "gossip: "},
		{"us.yaml", "name: us-1", "name: us-2", "node: "},
		{"us.yaml", "", "\x00\xff", "us.yaml"},
		{"shop.zone", "A     192.0.2.53", "A     192.0.2.530", "shop.zone:4: "},
		{"shop.zone", "SOA", "TXT", "shop.zone"},
		{"gossip.keys", "bWVy", "!!", "gossip.keys: line 1"},
	} {
		t.Run(tt.place, func(t *testing.T) {
			text := sound(tt.file)
			f.write(tt.file, tt.new+strings.Replace(text, tt.old, tt.new, 1))
			if tt.old != "" {
				f.write(tt.file, strings.Replace(text, tt.old, tt.new, 1))
			}
			if r, err := m.api.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), tt.place) {
				t.Errorf("reload: %+v, %v: want an error at %s", r, err, tt.place)
			}
			s := m.status()
			if s.Epoch != epoch || s.Config.Hash != hash {
				t.Errorf("epoch %s, hash %s: want %s, %s", s.Epoch, s.Config.Hash, epoch, hash)
			}
			if !strings.Contains(s.Config.LastError, tt.place) || !strings.Contains(strings.Join(s.Alarms, "\n"), tt.place) {
				t.Errorf("status says %q, alarms %q: want %s", s.Config.LastError, s.Alarms, tt.place)
			}
			if x := m.metrics(); x["meridian_config_last_reload_successful"] != 0 || x[`meridian_fault{part="reload"}`] != 1 {
				t.Error("the metrics do not say that the reload was refused")
			}
			if got := m.sitesFor(host, frankfurt); got != "eu" {
				t.Errorf("Frankfurt is sent to %s", got)
			}
			f.write(tt.file, text)
			if r, err := m.api.Reload(t.Context()); err != nil || r.Changed || r.Hash != hash {
				t.Errorf("mended: %+v, %v: want nothing changed", r, err)
			}
			if x := m.metrics(); x["meridian_config_last_reload_successful"] != 1 || x[`meridian_fault{part="reload"}`] != 0 {
				t.Error("the metrics do not say that the reload went well")
			}
		})
	}
	if s := m.status(); s.Config.LastError != "" || len(s.Alarms) > 0 {
		t.Errorf("when all is mended: %q, alarms %q", s.Config.LastError, s.Alarms)
	}
}

func TestBrokenGeoFilesKeepTheOldWorld(t *testing.T) {
	f := running(t, 1, func(v *fleetVars) {
		v.Services = "  of: {policy: {geo: {rules: [{match: label/office, to: us}], default: us}}}"
	})
	m := f.nodes[0]
	epoch := m.status().Epoch
	for _, tt := range []struct{ file, text, place string }{
		{"demo-city.mmdb", "no database", "city " + filepath.Join(f.dir, "demo-city.mmdb")},
		{"demo-asn.mmdb", "", "asn " + filepath.Join(f.dir, "demo-asn.mmdb")},
		{"cidr.map", "203.0.113.240/28 contry=DE\n", "cidr-map " + filepath.Join(f.dir, "cidr.map")},
	} {
		t.Run(tt.file, func(t *testing.T) {
			path := filepath.Join(f.dir, tt.file)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			reload := func(text string) {
				t.Helper()
				write(t, path, text)
				if r, err := m.api.Reload(t.Context()); err != nil || r.Changed {
					t.Fatalf("reload: %+v, %v: a geo file is not part of the configuration", r, err)
				}
			}
			reload(tt.text)
			f.eventually("the fault shows", func() error {
				s := m.status()
				if !strings.Contains(s.Config.GeoError, tt.place) || m.metrics()[`meridian_fault{part="geo"}`] != 1 {
					return fmt.Errorf("geo error %q: want %s", s.Config.GeoError, tt.place)
				}
				if s.Epoch != epoch {
					t.Fatal("the world changed")
				}
				return nil
			})
			reload(string(text))
			f.eventually("the fault is over", func() error {
				if s := m.status(); s.Config.GeoError != "" || m.metrics()[`meridian_fault{part="geo"}`] != 0 {
					return errors.New(s.Config.GeoError)
				}
				return nil
			})
			if got := m.status().Epoch; got != epoch {
				t.Errorf("epoch %s: want %s, as before", got, epoch)
			}
		})
	}
	// And a world that is another one is put in use.
	write(t, filepath.Join(f.dir, "cidr.map"), "10.0.0.0/8 label=office\n")
	if _, err := m.api.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.eventually("the new world is in use", func() error {
		if m.status().Epoch == epoch {
			return errors.New("the old epoch")
		}
		return m.event("geo", "geo databases in use")
	})
}

func TestReloadPutsANewConfigurationInForce(t *testing.T) {
	f := running(t, 2)
	before := f.nodes[0].status()
	f.write("shop.zone", strings.Replace(zoneText, `"static"`, `"changed"`, 1))
	f.vars.Services = "  solo: {policy: us, checks: [web]}"
	f.vars.Steer = ", solo: solo"
	m := f.nodes[0]
	m.writeConfig(f.vars)
	if r, err := m.api.Reload(t.Context()); err != nil || !r.Changed || r.Hash == before.Config.Hash {
		t.Fatalf("reload: %+v, %v", r, err)
	}
	if a := m.ask("txt.shop.example", dns.TypeTXT, newYork); !strings.Contains(a.String(), "changed") {
		t.Errorf("the zone still says %v", a)
	}
	if got := m.sitesFor("solo.shop.example", frankfurt); got != "us" {
		t.Errorf("the new service sends Frankfurt to %s", got)
	}
	// The other node still runs the old one, and both say so.
	for i, m := range f.nodes {
		other := f.nodes[1-i].site.Name + "-1"
		f.eventually("two configurations raise an alarm", func() error {
			if a := strings.Join(m.status().Alarms, "\n"); !strings.Contains(a, other+" runs another configuration") {
				return fmt.Errorf("%s: alarms %q", m.site.Name, a)
			}
			return m.event("alarm", other+" runs another configuration")
		})
		if m.metrics()["meridian_alarms"] == 0 {
			t.Errorf("%s: no alarm is counted", m.site.Name)
		}
	}
	f.nodes[1].writeConfig(f.vars)
	if _, err := f.nodes[1].api.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.settle()
	f.eventually("the alarms are over", func() error {
		for _, m := range f.nodes {
			if a := m.status().Alarms; len(a) > 0 {
				return fmt.Errorf("%s: %q", m.site.Name, a)
			}
		}
		return f.nodes[0].event("alarm", "over: eu-1 runs another configuration")
	})
	if err := f.nodes[1].event("config", "in force"); err != nil {
		t.Error(err)
	}
}

// The contents of a zone file are part of what nodes must have in common.
func TestZoneContentsMakeTheHash(t *testing.T) {
	f := newFleet(t, 1)
	a, err := Check(f.nodes[0].config)
	if err != nil {
		t.Fatal(err)
	}
	f.write("shop.zone", "; a comment makes no difference\n"+zoneText)
	if b, err := Check(f.nodes[0].config); err != nil || b.Hash != a.Hash {
		t.Errorf("with a comment: %+v, %v: want hash %s", b, err, a.Hash)
	}
	f.write("shop.zone", zoneText+"more A 192.0.2.77\n")
	if b, err := Check(f.nodes[0].config); err != nil || b.Hash == a.Hash {
		t.Errorf("with another record: %+v, %v: want another hash", b, err)
	}
}

func TestCheckTellsWarnings(t *testing.T) {
	f := newFleet(t, 1)
	f.write("shop.zone", zoneText+"twice A 192.0.2.77\ntwice A 192.0.2.77\n")
	s, err := Check(f.nodes[0].config)
	if err != nil || len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "shop.zone:8") {
		t.Errorf("check: %+v, %v: want a warning about line 8", s, err)
	}
}

func TestMoreTargetsThanEvidenceHoldsAreRefused(t *testing.T) {
	var checks, names strings.Builder
	for i := range 1200 {
		fmt.Fprintf(&checks, "  check-%d: {tcp: {port: 80}}\n", i)
		fmt.Fprintf(&names, ", check-%d", i)
	}
	f := newFleet(t, 3, func(v *fleetVars) {
		v.Services = "  many: {policy: {failover: [us, eu, ap]}, checks: [web" + names.String() + "]}"
	})
	path := f.nodes[0].config
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.Replace(string(b), "checks:\n", "checks:\n"+checks.String(), 1))
	if _, err := Check(path); err == nil || !strings.Contains(err.Error(), "want fewer") {
		t.Errorf("check: %v: want a refusal of so many targets", err)
	}
}
