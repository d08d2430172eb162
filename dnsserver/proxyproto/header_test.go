package proxyproto

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	v4     = netip.MustParseAddrPort("192.0.2.1:258")
	vip4   = netip.MustParseAddrPort("198.51.100.2:8000")
	v6     = netip.MustParseAddrPort("[2001:db8::1]:258")
	vip6   = netip.MustParseAddrPort("[2001:db8:53::2]:53")
	v4in6  = netip.MustParseAddrPort("[::ffff:192.0.2.1]:258")
	values = AppendValue(AppendValue(nil, 0x04, "\x00"), 0xe0, "ab")
	plain  = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
)

// What is written is read back, by either way of reading, and nothing behind it is touched.
func TestRoundTrip(t *testing.T) {
	for name, c := range map[string]struct{ in, want Header }{
		"v4":           {Header{Transport: Stream, Source: v4, Dest: vip4, Values: values}, Header{Transport: Stream, Source: v4, Dest: vip4, Values: values}},
		"v4, datagram": {Header{Transport: Datagram, Source: v4, Dest: vip4}, Header{Transport: Datagram, Source: v4, Dest: vip4}},
		"v6":           {Header{Transport: Datagram, Source: v6, Dest: vip6, Values: values}, Header{Transport: Datagram, Source: v6, Dest: vip6, Values: values}},
		"local":        {Header{Local: true, Values: values}, Header{Local: true, Values: values}},
		"bare local":   {Header{Local: true, Source: v4}, Header{Local: true}},
		"4-in-6":       {Header{Transport: Stream, Source: v4in6, Dest: vip4}, Header{Transport: Stream, Source: v4, Dest: vip4}},
		"two families": {Header{Transport: Stream, Source: v4, Dest: vip6}, Header{Transport: Stream, Source: v4, Dest: vip6}},
	} {
		t.Run(name, func(t *testing.T) {
			b := append(c.in.Append(nil), "GET /"...)
			got, n, err := Parse(b)
			if len(got.Values) == 0 {
				got.Values = nil
			}
			if d := cmp.Diff(c.want, got, plain); err != nil || d != "" || string(b[n:]) != "GET /" {
				t.Errorf("parse: %v, then %q (-want +got):\n%s", err, b[n:], d)
			}
			r := bytes.NewReader(b)
			again, err := Read(r)
			if len(again.Values) == 0 {
				again.Values = nil
			}
			rest, _ := io.ReadAll(r)
			if d := cmp.Diff(c.want, again, plain); err != nil || d != "" || string(rest) != "GET /" {
				t.Errorf("read: %v, then %q (-want +got):\n%s", err, rest, d)
			}
		})
	}
}

// The wire format, as section 2.2 of the specification lays it out.
func TestBytes(t *testing.T) {
	signature := "\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
	for want, h := range map[string]Header{
		signature + "\x21\x11\x00\x11" + "\xc0\x00\x02\x01\xc6\x33\x64\x02\x01\x02\x1f\x40" + "\xe0\x00\x02ab": {
			Transport: Stream, Source: v4, Dest: vip4, Values: AppendValue(nil, 0xe0, "ab"),
		},
		signature + "\x21\x22\x00\x24" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
			"\x20\x01\x0d\xb8\x00\x53\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + "\x01\x02\x00\x35": {
			Transport: Datagram, Source: v6, Dest: vip6,
		},
		signature + "\x20\x00\x00\x00": {Local: true},
	} {
		if got := string(h.Append(nil)); got != want {
			t.Errorf("got\n%x, want\n%x", got, want)
		}
	}
}

func TestFaults(t *testing.T) {
	addresses := strings.Repeat("\x01", 12)
	for name, c := range map[string]struct {
		in     string
		parsed error
		read   error
	}{
		"empty":                   {"", None, io.EOF},
		"short text":              {"GET /", None, io.ErrUnexpectedEOF},
		"http":                    {"GET / HTTP/1.1\r\n\r\n", None, None},
		"version 1":               {"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\n", None, None},
		"cut after the signature": {Signature, Short, io.ErrUnexpectedEOF},
		"cut in the length":       {Signature + "\x21\x11\x00", Short, io.ErrUnexpectedEOF},
		"cut in the body":         {Signature + "\x21\x11\x00\x0c\x01", Short, io.ErrUnexpectedEOF},
		"no body":                 {Signature + "\x21\x11\x00\x0c", Short, io.ErrUnexpectedEOF},
		"version 3":               {Signature + "\x31\x11\x00\x00", Version, Version},
		"command 2":               {Signature + "\x22\x11\x00\x0c" + addresses, Version, Version},
		"too long":                {Signature + "\x21\x11\x03\xf1", Long, Long},
		"much too long":           {Signature + "\x21\x11\xff\xff", Long, Long},
		"short addresses":         {Signature + "\x21\x11\x00\x0b" + addresses[1:], Addresses, Addresses},
		"short v6":                {Signature + "\x21\x21\x00\x0c" + addresses, Addresses, Addresses},
		"no addresses":            {Signature + "\x21\x00\x00\x00", Family, Family},
		"no transport":            {Signature + "\x21\x10\x00\x0c" + addresses, Family, Family},
		"odd transport":           {Signature + "\x21\x13\x00\x0c" + addresses, Family, Family},
		"unix":                    {Signature + "\x21\x31\x00\xd8" + strings.Repeat("\x01", 216), Family, Family},
		"value's head cut":        {Signature + "\x21\x11\x00\x0e" + addresses + "\xe0\x00", Values, Values},
		"value cut":               {Signature + "\x21\x11\x00\x10" + addresses + "\xe0\x00\x05x", Values, Values},
	} {
		if h, n, err := Parse([]byte(c.in)); !errors.Is(err, c.parsed) {
			t.Errorf("%s: parse: %+v, %d, %v: want %v", name, h, n, err, c.parsed)
		}
		if h, err := Read(strings.NewReader(c.in)); err != c.read {
			t.Errorf("%s: read: %+v, %v: want %v", name, h, err, c.read)
		}
	}
	for f := None; f <= Values; f++ {
		if text := f.Error(); !strings.HasPrefix(text, "proxy header: ") || strings.Contains(text, "unknown") {
			t.Errorf("fault %d: %q", f, text)
		}
	}
}

// The longest header that is accepted, and addresses of a health check that nobody may look at (section 2.2).
func TestAccepted(t *testing.T) {
	long := Header{Transport: Stream, Source: v4, Dest: vip4}
	long.Values = AppendValue(nil, 0xe0, strings.Repeat("x", MaxSize-len(long.Append(nil))-3))
	if _, n, err := Parse(long.Append(nil)); err != nil || n != MaxSize {
		t.Errorf("the longest: %d octets, %v", n, err)
	}
	for name, in := range map[string]string{
		"with addresses":   "\x20\x11\x00\x0c" + strings.Repeat("\x01", 12),
		"cut":              "\x20\x21\x00\x03abc",
		"an unknown kind":  "\x20\xff\x00\x03abc",
		"a value and more": "\x20\x00\x00\x05\xe0\x00\x00\xe0\x00",
	} {
		if h, n, err := Parse([]byte(Signature + in)); err != nil || n != len(Signature)+len(in) || !h.Local || h.Source.IsValid() {
			t.Errorf("local, %s: %+v, %d, %v", name, h, n, err)
		}
	}
}

func TestValue(t *testing.T) {
	h := Header{Values: AppendValue(values, 0xe0, "second")}
	if got, ok := h.Value(0xe0); !ok || string(got) != "ab" {
		t.Errorf("got %q, %t", got, ok)
	}
	if got, ok := h.Value(0x01); ok {
		t.Errorf("got %q, which is not there", got)
	}
}

func TestAllocations(t *testing.T) {
	good, bad := Header{Transport: Datagram, Source: v6, Dest: vip6, Values: values}.Append(nil), []byte(Signature+"\x21\x11\xff\xff")
	if got := testing.AllocsPerRun(100, func() { Parse(good); Parse(bad); Parse(nil) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

// Whatever comes, what is accepted is within bounds, both ways of reading agree, and it reads back as it was.
func FuzzParse(f *testing.F) {
	f.Add(Header{Transport: Stream, Source: v4, Dest: vip4, Values: values}.Append(nil))
	f.Add(Header{Transport: Datagram, Source: v6, Dest: vip6}.Append(nil))
	f.Add(Header{Local: true}.Append(nil))
	f.Add([]byte(Signature + "\x20\x00\x00\x04\xe0\x00\x05x"))
	f.Add([]byte(Signature + "\x21\x31\x00\xd8" + strings.Repeat("\x01", 216)))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := Parse(b)
		r := bytes.NewReader(b)
		read, readErr := Read(r)
		if (err == nil) != (readErr == nil) {
			t.Fatalf("parse: %v, read: %v", err, readErr)
		}
		if err != nil {
			return
		}
		if n > MaxSize || n > len(b) || n != len(b)-r.Len() {
			t.Fatalf("%d octets of %d, read %d", n, len(b), len(b)-r.Len())
		}
		if d := cmp.Diff(h, read, plain); d != "" {
			t.Fatalf("(-parsed +read):\n%s", d)
		}
		if !h.Local && !h.Source.IsValid() {
			t.Fatal("a client without an address")
		}
		again, _, err := Parse(h.Append(nil))
		if d := cmp.Diff(h, again, plain); err != nil || d != "" {
			t.Fatalf("%v (-want +got):\n%s", err, d)
		}
	})
}
