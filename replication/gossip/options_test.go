package gossip

import (
	"math"
	"net/netip"
	"strings"
	"testing"
)

func TestOptions(t *testing.T) {
	far := netip.MustParseAddrPort("192.0.2.1:7946")
	for name, tt := range map[string]struct {
		change func(*Options)
		want   string // in the error; "" = valid
	}{
		"good":                {func(o *Options) {}, ""},
		"no key on loopback":  {func(o *Options) { o.Keyring = nil; o.Seeds = []string{"127.0.2.53:1", "localhost:7", "[::1]:9"} }, ""},
		"no name":             {func(o *Options) { o.Name = "" }, `name "": want`},
		"name with slash":     {func(o *Options) { o.Name = "a/b" }, `name "a/b"`},
		"no datacenter":       {func(o *Options) { o.Datacenter = "" }, `datacenter ""`},
		"no bind":             {func(o *Options) { o.Bind = netip.AddrPort{} }, "bind: want"},
		"bind everywhere":     {func(o *Options) { o.Bind = netip.MustParseAddrPort("0.0.0.0:7946") }, "advertise 0.0.0.0:7946: want"},
		"advertise elsewhere": {func(o *Options) { o.Bind = netip.MustParseAddrPort("[::]:7946"); o.Advertise = far }, ""},
		"long meta":           {func(o *Options) { o.Meta = make([]byte, 257) }, "meta of 257 bytes: want at most 256"},
		"profile":             {func(o *Options) { o.Profile = 7 }, "profile 7"},
		"leave timeout":       {func(o *Options) { o.LeaveTimeout = -1 }, "leave timeout"},
		"seed without port":   {func(o *Options) { o.Seeds = []string{"192.0.2.1"} }, `seed "192.0.2.1": want host:port`},
		"seed port 0":         {func(o *Options) { o.Seeds = []string{"192.0.2.1:0"} }, `port "0": want 1..65535`},
		"seed port name":      {func(o *Options) { o.Seeds = []string{"192.0.2.1:http"} }, `port "http"`},
		"seed without host":   {func(o *Options) { o.Seeds = []string{":7946"} }, `seed ":7946"`},
		"seed by name":        {func(o *Options) { o.Seeds = []string{"peer.example:7946"} }, ""},
		"short key":           {func(o *Options) { o.Keyring = [][]byte{testKey, []byte("short")} }, "key 2: key of 5 bytes: want 16, 24 or 32"},
		"many keys": {func(o *Options) {
			for len(o.Keyring) <= MaxKeys {
				o.Keyring = append(o.Keyring, testKey)
			}
		}, "17 keys: want 1..16"},
		"no key beyond loopback, bind":      {func(o *Options) { o.Keyring, o.Bind = nil, far }, "no keyring, but 192.0.2.1:7946 is not"},
		"no key beyond loopback, advertise": {func(o *Options) { o.Keyring, o.Advertise = nil, far }, "no keyring, but 192.0.2.1:7946"},
		"no key beyond loopback, seed":      {func(o *Options) { o.Keyring, o.Seeds = nil, []string{"127.0.0.1:1", "192.0.2.7:1"} }, "no keyring, but 192.0.2.7:1"},
		"no key beyond loopback, name":      {func(o *Options) { o.Keyring, o.Seeds = nil, []string{"peer.example:1"} }, "no keyring, but peer.example:1"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(0)
			tt.change(&o)
			_, err := New(&owner{}, o)
			if (tt.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}

	t.Run("all faults", func(t *testing.T) {
		_, err := New(&owner{}, Options{Seeds: []string{"x"}, Meta: make([]byte, 999)})
		for _, want := range []string{"name", "datacenter", "bind", "meta", "seed"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q is missing in: %v", want, err)
			}
		}
	})
}

// Whatever the size, a message is sent at least 12 times, with the smallest multiplier of at least 4 that does so.
func TestRetransmitMult(t *testing.T) {
	for n := range 20_000 {
		log := int(math.Ceil(math.Log10(float64(max(n, 1)) + 1)))
		got := retransmitMult(n)
		if got < 4 || got*log < 12 || (got > 4 && (got-1)*log >= 12) {
			t.Fatalf("%d nodes: multiplier %d, times %d", n, got, log)
		}
	}
}
