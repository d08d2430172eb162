package keypair

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/dnsserver/keypair/keypairtest"
)

var (
	begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	end   = begin.AddDate(0, 0, 90)
)

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	leaf := keypairtest.New(t, "ns1.shop.example", begin, end)
	// A link of the chain that begins later and ends sooner bounds all of it.
	link := keypairtest.New(t, "authority.example", begin.AddDate(0, 0, 1), end.AddDate(0, 0, -1))
	alone := leaf
	leaf.Certificate = append(leaf.Certificate, link.Certificate...)
	for _, c := range []struct {
		pair       keypairtest.Pair
		begin, end time.Time
		chain      int
	}{{alone, begin, end, 1}, {leaf, begin.AddDate(0, 0, 1), end.AddDate(0, 0, -1), 2}} {
		p, err := Load(c.pair.Write(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		if !p.NotBefore.Equal(c.begin) || !p.NotAfter.Equal(c.end) || p.Exposed || p.Name() != "ns1.shop.example" ||
			len(p.Certificate.Certificate) != c.chain {
			t.Errorf("got %+v", p)
		}
	}
}

// What is wrong is named with its file, all of it at once, and never with a part of the key.
func TestFaults(t *testing.T) {
	dir := t.TempDir()
	good, other := keypairtest.Fresh(t, "ns1.shop.example"), keypairtest.Fresh(t, "ns2.shop.example")
	encrypted := bytes.ReplaceAll(good.Key, []byte("PRIVATE KEY"), []byte("ENCRYPTED PRIVATE KEY"))
	garbled := bytes.Replace(good.Key, good.Key[40:60], bytes.Repeat([]byte("A"), 20), 1)
	for name, c := range map[string]struct {
		certificate, key []byte
		want             []string
	}{
		"missing":           {nil, nil, []string{"dot.pem: no such file", "dot.key: no such file"}},
		"empty":             {[]byte{}, []byte{}, []string{"dot.pem: no certificate: want ", "dot.key: no private key: want "}},
		"swapped":           {good.Key, good.Certificate, []string{"dot.pem: no certificate", "dot.key: no private key"}},
		"another key":       {good.Certificate, other.Key, []string{"dot.key: does not go with ", "dot.pem: "}},
		"half a file":       {good.Certificate[:len(good.Certificate)/2], good.Key, []string{"dot.pem: no certificate"}},
		"broken chain":      {append(bytes.Clone(good.Certificate), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"...), good.Key, []string{"dot.pem: certificate 2: "}},
		"with a passphrase": {good.Certificate, encrypted, []string{"dot.key: encrypted private key: want "}},
		"garbled key":       {good.Certificate, garbled, []string{"dot.key: "}},
		"too long":          {make([]byte, maxFile+1), good.Key, []string{"dot.pem: more than 1048576 bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			certificate, key := filepath.Join(dir, "dot.pem"), filepath.Join(dir, "dot.key")
			os.Remove(certificate)
			os.Remove(key)
			if c.certificate != nil {
				keypairtest.Replace(t, certificate, c.certificate)
				keypairtest.Replace(t, key, c.key)
			}
			p, err := Load(certificate, key)
			if err == nil {
				t.Fatalf("got %+v", p)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %s", err, want)
				}
			}
			for _, line := range strings.Split(string(c.key), "\n") {
				if len(line) > 30 && !strings.HasPrefix(line, "-----") && strings.Contains(err.Error(), line) {
					t.Errorf("%v shows the key", err)
				}
			}
		})
	}
}

func TestExposed(t *testing.T) {
	certificate, key := keypairtest.Fresh(t, "ns1.shop.example").Write(t, t.TempDir())
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true, 0o604: true} {
		if err := os.Chmod(key, mode); err != nil {
			t.Fatal(err)
		}
		if p, err := Load(certificate, key); err != nil || p.Exposed != want {
			t.Errorf("mode %o: %+v, %v: want exposed %t", mode, p, err, want)
		}
	}
}

func TestValidity(t *testing.T) {
	p, err := Load(keypairtest.New(t, "ns1.shop.example", begin, end).Write(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	for _, c := range []struct {
		at         time.Time
		valid, say string
	}{
		{begin.Add(-time.Second), "begins on 2026-01-01 00:00 UTC", "begins on"},
		{begin, "", ""},
		{end.Add(-14 * day), "", ""},
		{end.Add(-14*day + time.Second), "", "ends on 2026-04-01 00:00 UTC"},
		{end.Add(time.Second), "ended on 2026-04-01 00:00 UTC", "ended on"},
	} {
		for want, err := range map[string]error{c.valid: p.At(c.at), c.say: p.Warn(c.at, 14*day)} {
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), "dot.pem: "+want) {
				t.Errorf("%v: %v, want %q", c.at, err, want)
			}
		}
		if got := p.Warn(c.at, 0); (got == nil) != (p.At(c.at) == nil) {
			t.Errorf("%v, without a warning: %v", c.at, got)
		}
	}
}

// Bytes that are read as a chain or as a key never panic.
func FuzzLoad(f *testing.F) {
	good := keypairtest.Fresh(f, "ns1.shop.example")
	f.Add(good.Certificate, good.Key)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), []byte{})
	f.Fuzz(func(t *testing.T, certificate, key []byte) {
		dir := t.TempDir()
		a, b := filepath.Join(dir, "dot.pem"), filepath.Join(dir, "dot.key")
		keypairtest.Replace(t, a, certificate)
		keypairtest.Replace(t, b, key)
		if p, err := Load(a, b); err == nil && p.Certificate.Leaf == nil {
			t.Errorf("got %+v", p)
		}
	})
}
