package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree writes files below a directory of the test and returns it.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const goodZone = `$TTL 300
@ SOA ns hostmaster 1 3600 600 86400 10
@ NS ns
ns A 192.0.2.53
`

const checked = `
node: {name: n1, datacenter: here}
dns: {listen: ["127.0.0.1:5300"]}
datacenters: {here: {lat: 0, lon: 0}}
sites: {a: {datacenter: here, vip: {v4: 192.0.2.1}}}
checks: {web: {https: {ca_file: ca.pem}}}
services: {shop: {policy: a, checks: [web]}}
zones: {shop.example: {file: shop.zone, steer: {www: shop}}}
`

// certificate is a self-signed one for shop.example.
const certificate = `-----BEGIN CERTIFICATE-----
MIIBHTCBw6ADAgECAgEBMAoGCCqGSM49BAMCMBcxFTATBgNVBAMTDHNob3AuZXhh
bXBsZTAgFw03MDAxMDEwMDAwMDBaGA8yMDk2MTAwMjA3MDY0MFowFzEVMBMGA1UE
AxMMc2hvcC5leGFtcGxlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAET20xFPfH
MQ5vyClF0xPuDEP/vYj41VMmZFoeTN8MF0VcCRarXTg04pM71UNyjaCG8kA4rsoX
p5NPUADLLFRNCTAKBggqhkjOPQQDAgNJADBGAiEA+HyrBnStpaDDpOePutd5c5kE
ZQg18a43lmhIi6Foou0CIQDVlE8HvJLRzj0rB0p5+oNRW8Ew/wRs96rtygfybQ0B
gQ==
-----END CERTIFICATE-----
`

func TestCheckReadsWhatTheFileNames(t *testing.T) {
	dir := tree(t, map[string]string{"m.yaml": checked, "shop.zone": goodZone, "ca.pem": certificate})
	var seen *Config
	c, err := Check(filepath.Join(dir, "m.yaml"), Overrides{NodeName: "n2"}, func(c *Config) error { seen = c; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if seen != c || c.Node.Name != "n2" {
		t.Errorf("functions were given %p %q: want %p n2", seen, c.Node.Name, c)
	}
}

func TestCheckReportsEverythingTogether(t *testing.T) {
	dir := tree(t, map[string]string{
		"m.yaml":    checked,
		"shop.zone": strings.Replace(goodZone, "192.0.2.53", "192.0.2.300", 1),
		"ca.pem":    "no certificate",
	})
	_, err := Check(filepath.Join(dir, "m.yaml"), Overrides{}, func(*Config) error {
		return errors.Join(fmt.Errorf("networks.txt:7: 192.0.2.0/33: want a prefix"), errors.New("city.mmdb: truncated"))
	})
	var faults Faults
	if !errors.As(err, &faults) {
		t.Fatalf("%v: want Faults", err)
	}
	var got []string
	for _, f := range faults {
		if f.Value == "" {
			t.Errorf("%+v: want a value", f)
		}
		got = append(got, fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line))
	}
	want := []string{"ca.pem:0", "shop.zone:4", "networks.txt:7", "m.yaml:0"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("places (-want +got):\n%s\n%v", d, err)
	}
	if want := "networks.txt:7: 192.0.2.0/33: want a prefix"; !strings.Contains(err.Error(), want) {
		t.Errorf("%v: want %q in it", err, want)
	}
}

func TestCheckReadsZonesOfAFaultyFile(t *testing.T) {
	dir := tree(t, map[string]string{
		"m.yaml":    strings.Replace(checked, "node: {name: n1,", "node: {nam: n1,", 1),
		"shop.zone": "ns A 192.0.2.300\n",
	})
	_, err := Check(filepath.Join(dir, "m.yaml"), Overrides{}, func(*Config) error {
		t.Error("called with a faulty configuration")
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "nam: unknown key") || !strings.Contains(err.Error(), "shop.zone:1: ") {
		t.Errorf("%v: want the faults of both files", err)
	}
}

func TestCheckKeepsTheCauseOfAMissingFile(t *testing.T) {
	if _, err := Check(filepath.Join(t.TempDir(), "none.yaml"), Overrides{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v: want os.ErrNotExist", err)
	}
}
