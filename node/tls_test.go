package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/keypair/keypairtest"
)

// withTLS adds DNS over TLS to a fleet's configuration, with the pair in its directory.
func withTLS(v *fleetVars) {
	v.DNS += `, tls: {listen: ["127.0.0.1:0"], certificate: dot.pem, key: dot.key, expiry_warning: 30d}`
}

// shownName asks over TLS and returns the name in the certificate that was shown.
func (m *member) shownName() (string, error) {
	conn, err := dns.DialTimeoutWithTLS("tcp", m.node.DNSOverTLSAddrs()[0].String(), &tls.Config{InsecureSkipVerify: true}, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	c := dns.Client{Timeout: 5 * time.Second}
	r, _, err := c.ExchangeWithConn(new(dns.Msg).SetQuestion("txt.shop.example.", dns.TypeTXT), conn)
	if err != nil || len(r.Answer) != 1 {
		return "", fmt.Errorf("%v, %w", r, err)
	}
	return conn.Conn.(*tls.Conn).ConnectionState().PeerCertificates[0].DNSNames[0], nil
}

// wantFault fails unless the part's fault is there, in status and as a metric, and names place.
func (m *member) wantFault(part, place string) error {
	x, alarms := m.metrics(), strings.Join(m.status().Alarms, "\n")
	if x[`meridian_fault{part="`+part+`"}`] != 1 || !strings.Contains(alarms, part+": ") || !strings.Contains(alarms, place) {
		return fmt.Errorf("alarms %q: want %s: ... %s", alarms, part, place)
	}
	return nil
}

// A certificate that is replaced is shown to who connects next, after a reload at once and else by itself; one that is
// broken changes nothing, names its place and is over with the next sound one.
func TestCertificateIsReplaced(t *testing.T) {
	f := newFleet(t, 1, withTLS)
	first := keypairtest.Fresh(t, "first.example")
	certificate, key := first.Write(t, f.dir)
	m := f.nodes[0]
	m.start()
	want := func(name string) {
		t.Helper()
		if got, err := m.shownName(); got != name || err != nil {
			t.Errorf("shown %s, %v: want %s", got, err, name)
		}
	}
	reload := func() {
		t.Helper()
		if r, err := m.api.Reload(t.Context()); err != nil || r.Changed {
			t.Fatalf("reload: %+v, %v: a certificate is not part of the configuration", r, err)
		}
	}
	want("first.example")
	second := keypairtest.Fresh(t, "second.example")
	second.Write(t, f.dir)
	reload()
	want("second.example")
	if err := m.event("tls", "new certificate of second.example in use, ends on "); err != nil {
		t.Error(err)
	}

	now := time.Now()
	for _, c := range []struct {
		name string
		file string
		text []byte
		at   string
	}{
		{"no certificate", certificate, []byte("nothing"), certificate + ": no certificate"},
		{"another's certificate", certificate, first.Certificate, key + ": does not go with " + certificate},
		{"no key", key, nil, key + ": no private key"},
		{"another's key", key, first.Key, key + ": does not go with " + certificate},
	} {
		t.Run(c.name, func(t *testing.T) {
			keypairtest.Replace(t, c.file, c.text)
			reload()
			if err := m.wantFault("tls", c.at); err != nil {
				t.Error(err)
			}
			want("second.example")
			second.Write(t, f.dir)
			reload()
			if s := m.status(); len(s.Alarms) > 0 || m.metrics()[`meridian_fault{part="tls"}`] != 0 {
				t.Errorf("mended: alarms %q", s.Alarms)
			}
		})
	}
	for name, pair := range map[string]keypairtest.Pair{
		"ended on":  keypairtest.New(t, "old.example", now.AddDate(0, 0, -90), now.AddDate(0, 0, -1)),
		"begins on": keypairtest.New(t, "young.example", now.AddDate(0, 0, 1), now.AddDate(0, 0, 90)),
	} {
		pair.Write(t, f.dir)
		reload()
		if err := m.wantFault("tls", certificate+": "+name); err != nil {
			t.Error(err)
		}
		want("second.example")
	}

	// Without a reload, too.
	third := keypairtest.New(t, "third.example", now.AddDate(0, 0, -1), now.AddDate(0, 0, 60))
	third.Write(t, f.dir)
	f.eventually("the files are looked at", func() error {
		if got, err := m.shownName(); got != "third.example" || err != nil {
			return fmt.Errorf("shown %s, %v", got, err)
		}
		if s := m.status(); len(s.Alarms) > 0 {
			return fmt.Errorf("alarms %q", s.Alarms)
		}
		return nil
	})
	if got, want := m.metrics()["meridian_dns_tls_certificate_not_after_timestamp_seconds"], float64(now.AddDate(0, 0, 60).Unix()); got != want {
		t.Errorf("the metric says that it ends at %v: want %v", got, want)
	}
	if got := m.metrics()[`meridian_dns_answers_total{rcode="NOERROR",transport="dot"}`]; got < 8 {
		t.Errorf("%v answers over TLS", got)
	}
}

// Before it ends there is an alarm, and when it has; a node starts with it all the same, for those who do not verify.
func TestCertificateThatEnds(t *testing.T) {
	now := time.Now()
	for want, end := range map[string]time.Time{"ends on": now.AddDate(0, 0, 29), "ended on": now.AddDate(0, 0, -1)} {
		t.Run(want, func(t *testing.T) {
			f := newFleet(t, 1, withTLS)
			certificate, key := keypairtest.New(t, "ns1.example", now.AddDate(0, 0, -30), end).Write(t, f.dir)
			if err := os.Chmod(key, 0o644); err != nil {
				t.Fatal(err)
			}
			s, err := Check(f.nodes[0].config)
			if err != nil || len(s.Warnings) != 2 || !strings.HasPrefix(s.Warnings[0], certificate+": "+want) ||
				s.Warnings[1] != key+": every user of this machine can read the key" {
				t.Errorf("check: %+v, %v", s, err)
			}
			m := f.nodes[0]
			m.start()
			if a := strings.Join(m.status().Alarms, "\n"); !strings.Contains(a, certificate+": "+want) {
				t.Errorf("alarms %q: want %s", a, want)
			}
			f.eventually("an event", func() error { return m.event("alarm", want) })
			if got, err := m.shownName(); got != "ns1.example" || err != nil {
				t.Errorf("shown %s, %v", got, err)
			}
			keypairtest.Fresh(t, "ns1.example").Write(t, f.dir)
			if _, err := m.api.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.eventually("the alarm is over", func() error {
				if s := m.status(); len(s.Alarms) > 0 {
					return errors.New(strings.Join(s.Alarms, "\n"))
				}
				return m.event("alarm", "over: ")
			})
		})
	}
}

// A pair that is not sound keeps a node from starting, and check says so with everything else.
func TestCertificateIsChecked(t *testing.T) {
	f := newFleet(t, 1, withTLS)
	path := f.nodes[0].config
	wrong := filepath.Join(f.dir, "dot.pem")
	if _, err := Check(path); err == nil || !strings.Contains(err.Error(), wrong) || !strings.Contains(err.Error(), filepath.Join(f.dir, "dot.key")) {
		t.Errorf("check: %v", err)
	}
	if n, err := New(Options{ConfigFile: path}); err == nil || !strings.Contains(err.Error(), wrong) {
		t.Errorf("new: %v", err)
		if n != nil {
			n.Close()
		}
	}
	keypairtest.Fresh(t, "ns1.example").Write(t, f.dir)
	if s, err := Check(path); err != nil || len(s.Warnings) > 0 {
		t.Errorf("check: %+v, %v", s, err)
	}
}
