package world

import (
	"bytes"
	"io"
	"net/netip"
	"strings"
	"testing"
)

func TestProxyHeaderRoundTrip(t *testing.T) {
	v4 := netip.MustParseAddrPort("192.0.2.1:1234")
	vip := netip.MustParseAddrPort("198.51.100.2:8000")
	v6 := netip.MustParseAddrPort("[2001:db8::1]:1234")
	for name, c := range map[string]struct{ in, want proxyHeader }{
		"v4":       {proxyHeader{Source: v4, Dest: vip, Director: "eu-west-a"}, proxyHeader{Source: v4, Dest: vip, Director: "eu-west-a"}},
		"v6":       {proxyHeader{Source: v6, Dest: v6, Director: "d"}, proxyHeader{Source: v6, Dest: v6, Director: "d"}},
		"no name":  {proxyHeader{Source: v4, Dest: vip}, proxyHeader{Source: v4, Dest: vip}},
		"local":    {proxyHeader{Local: true, Director: "d"}, proxyHeader{Local: true, Director: "d"}},
		"4-in-6":   {proxyHeader{Source: netip.MustParseAddrPort("[::ffff:192.0.2.1]:1234"), Dest: vip}, proxyHeader{Source: v4, Dest: vip}},
		"long one": {proxyHeader{Local: true, Director: strings.Repeat("x", 300)}, proxyHeader{Local: true, Director: strings.Repeat("x", 255)}},
	} {
		r := bytes.NewReader(append(c.in.append(nil), "GET /"...))
		got, err := readProxyHeader(r)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v: want %+v", name, got, err, c.want)
		}
		if rest, _ := io.ReadAll(r); string(rest) != "GET /" {
			t.Errorf("%s: after the header: %q", name, rest)
		}
	}
}

// TestProxyHeaderBytes pins the wire format: bytes as the specification's section 2.2 lays them out.
func TestProxyHeaderBytes(t *testing.T) {
	h := proxyHeader{Source: netip.MustParseAddrPort("192.0.2.1:258"), Dest: netip.MustParseAddrPort("198.51.100.2:8000"), Director: "ab"}
	want := "\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x11\x00\x11" +
		"\xc0\x00\x02\x01\xc6\x33\x64\x02\x01\x02\x1f\x40" + "\xe0\x00\x02ab"
	if got := string(h.append(nil)); got != want {
		t.Errorf("got\n%x, want\n%x", got, want)
	}
}

func TestProxyHeaderFaults(t *testing.T) {
	start := proxySignature
	for name, c := range map[string]struct{ in, want string }{
		"empty":                {"", "EOF"},
		"http":                 {"GET / HTTP/1.1\r\n\r\n", "directors only"},
		"version 1":            {"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\n", "directors only"},
		"cut in the length":    {start + "\x21\x11\x00", "EOF"},
		"version 3":            {start + "\x31\x11\x00\x00", "0x31"},
		"command 2":            {start + "\x22\x11\x00\x00", "0x22"},
		"too long":             {start + "\x21\x11\xff\xff", "65535 bytes"},
		"cut in the body":      {start + "\x21\x11\x00\x0c\x01", "EOF"},
		"short addresses":      {start + "\x21\x11\x00\x04\x01\x02\x03\x04", "cut short"},
		"udp":                  {start + "\x21\x12\x00\x0c" + strings.Repeat("\x01", 12), "family 0x12"},
		"without addresses":    {start + "\x21\x00\x00\x00", "without addresses"},
		"short TLV":            {start + "\x20\x00\x00\x02\xe0\x00", "TLV cut short"},
		"TLV past the end":     {start + "\x20\x00\x00\x04\xe0\x00\x05x", "5 bytes: 1 are left"},
		"director's long name": {start + "\x20\x00\x01\x03\xe0\x01\x00" + strings.Repeat("x", 256), "256 bytes"},
	} {
		if h, err := readProxyHeader(strings.NewReader(c.in)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, %v: want an error with %q", name, h, err, c.want)
		}
	}
}

func TestProxyHeaderSkipsOtherTLVs(t *testing.T) {
	in := proxySignature + "\x20\x00\x00\x0b\x04\x00\x01\x00\xe0\x00\x01d\x05\x00\x00"
	if h, err := readProxyHeader(strings.NewReader(in)); err != nil || h.Director != "d" {
		t.Errorf("%+v, %v: want director d", h, err)
	}
}

func FuzzProxyHeader(f *testing.F) {
	src := netip.MustParseAddrPort("192.0.2.1:258")
	f.Add(proxyHeader{Source: src, Dest: src, Director: "a"}.append(nil))
	f.Add(proxyHeader{Local: true}.append(nil))
	f.Add([]byte(proxySignature + "\x21\x21\x00\x24" + strings.Repeat("\x20\x01", 18)))
	f.Add([]byte(proxySignature + "\x20\x00\x00\x04\xe0\x00\x05x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		h, err := readProxyHeader(r)
		if err != nil {
			return
		}
		if used := len(b) - r.Len(); used > 16+proxyMaxBody {
			t.Fatalf("read %d bytes", used)
		}
		again, err := readProxyHeader(bytes.NewReader(h.append(nil)))
		if err != nil {
			t.Fatalf("%+v does not read back: %v", h, err)
		}
		// 4-in-6 addresses come back as what they are.
		h.Source = netip.AddrPortFrom(h.Source.Addr().Unmap(), h.Source.Port())
		h.Dest = netip.AddrPortFrom(h.Dest.Addr().Unmap(), h.Dest.Port())
		again.Source = netip.AddrPortFrom(again.Source.Addr().Unmap(), again.Source.Port())
		again.Dest = netip.AddrPortFrom(again.Dest.Addr().Unmap(), again.Dest.Port())
		if again != h {
			t.Fatalf("%+v reads back as %+v", h, again)
		}
	})
}
