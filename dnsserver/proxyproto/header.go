// Package proxyproto reads and writes headers of the PROXY protocol, version 2: what a front end puts before the bytes
// of a client so that the server behind it knows who the client is. It is pure and, but for [Read], does not allocate.
//
// The text at https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt is "the specification" here.
package proxyproto

import (
	"encoding/binary"
	"io"
	"net/netip"
	"strconv"
)

// Signature begins every header. No DNS query begins so: as one, it has the opcode IQUERY, which is obsolete (RFC 3425).
const Signature = "\r\n\r\n\x00\r\nQUIT\n"

// MaxSize is the longest header that is read, in octets. The specification promises receivers at most 536; this leaves
// room for senders that add values of their own.
const MaxSize = 1024

const (
	fixedSize = len(Signature) + 4 // signature, version and command, family and transport, length

	versionLocal = 0x20 // version 2, command LOCAL
	versionProxy = 0x21 // version 2, command PROXY

	familyUnspec = 0x0
	familyINET   = 0x1
	familyINET6  = 0x2

	maxTransport = Datagram
)

// Transport is how the client came to the front end.
type Transport byte

// The transports.
const (
	Unspecified Transport = iota
	Stream                // TCP
	Datagram              // UDP
)

// Header is one header.
type Header struct {
	// Local is a connection of the sender's own, such as a health check: there is no client.
	Local     bool
	Transport Transport      // meaningless when Local
	Source    netip.AddrPort // the client; 4-in-6 is undone; the zero AddrPort when Local
	Dest      netip.AddrPort // what the client connected to, likewise
	// Values are the type-length-value vectors behind the addresses, as they came: see [Header.Value]. What [Parse]
	// returns points into its argument.
	Values []byte
}

// Fault is why bytes are no header that is accepted. It is an error.
type Fault byte

// The faults.
const (
	None      Fault = iota + 1 // does not begin with the signature
	Short                      // ends before the header does
	Version                    // another version or command than are known
	Long                       // more than MaxSize octets
	Family                     // a client without an IPv4 or IPv6 address
	Addresses                  // shorter than its addresses
	Values                     // a value that is longer than what is left
)

// Error says what was wrong, and what is wanted.
func (f Fault) Error() string {
	text := "unknown fault"
	switch f {
	case None:
		text = "none: want version 2 of the PROXY protocol"
	case Short:
		text = "cut short"
	case Version:
		text = "version and command: want 0x20 (LOCAL) or 0x21 (PROXY)"
	case Long:
		text = "too long: want at most " + strconv.Itoa(MaxSize) + " octets"
	case Family:
		text = "family and transport: want 0x11, 0x12 (IPv4) or 0x21, 0x22 (IPv6)"
	case Addresses:
		text = "addresses cut short"
	case Values:
		text = "value cut short"
	}
	return "proxy header: " + text
}

// Parse reads the header that b begins with and returns it with its length in octets. The error is a [Fault].
func Parse(b []byte) (Header, int, error) {
	size, err := length(b)
	if err != nil {
		return Header{}, 0, err
	}
	if len(b) < size {
		return Header{}, 0, Short
	}
	h, err := parse(b[:size])
	return h, size, err
}

// Begins reports whether b begins with a header, or with what tries to be one.
func Begins(b []byte) bool {
	return len(b) >= len(Signature) && string(b[:len(Signature)]) == Signature
}

// Read reads a header from r and not an octet more. The error is a [Fault] or that of r; io.EOF means that there was
// nothing at all.
func Read(r io.Reader) (Header, error) {
	b := make([]byte, fixedSize, MaxSize)
	// What is no header may be shorter than one.
	if _, err := io.ReadFull(r, b[:len(Signature)]); err != nil {
		return Header{}, err
	}
	if !Begins(b) {
		return Header{}, None
	}
	if _, err := io.ReadFull(r, b[len(Signature):]); err != nil {
		return Header{}, whole(err)
	}
	size, err := length(b)
	if err != nil {
		return Header{}, err
	}
	if _, err := io.ReadFull(r, b[fixedSize:size]); err != nil {
		return Header{}, whole(err)
	}
	return parse(b[:size])
}

// whole turns the end between two reads into one within the header.
func whole(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// length returns how long a header is, from its fixed part.
func length(b []byte) (int, error) {
	if !Begins(b) {
		return 0, None
	}
	if len(b) < fixedSize {
		return 0, Short
	}
	size := fixedSize + int(binary.BigEndian.Uint16(b[14:]))
	if size > MaxSize {
		return 0, Long
	}
	return size, nil
}

// parse reads a header that is there in whole.
func parse(b []byte) (h Header, err error) {
	version, family, body := b[12], b[13]>>4, b[fixedSize:]
	switch version {
	case versionLocal:
		// Addresses do not count, whatever is there in their place (section 2.2).
		h.Local, h.Values = true, body[min(addressesSize(family), len(body)):]
		return h, nil
	case versionProxy:
	default:
		return Header{}, Version
	}
	h.Transport = Transport(b[13] & 0xf)
	// A client without an address would be taken for the sender, who may do more than a client: it is refused, as the
	// specification allows.
	n := addressesSize(family)
	if n == 0 || h.Transport == Unspecified || h.Transport > maxTransport {
		return Header{}, Family
	}
	if len(body) < n {
		return Header{}, Addresses
	}
	at := (n - 4) / 2
	src, dst := address(body[:at]), address(body[at:2*at])
	h.Source = netip.AddrPortFrom(src, binary.BigEndian.Uint16(body[2*at:]))
	h.Dest = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(body[2*at+2:]))
	h.Values = body[n:]
	for rest := h.Values; len(rest) > 0; {
		var ok bool
		if _, _, rest, ok = cutValue(rest); !ok {
			return Header{}, Values
		}
	}
	return h, nil
}

// addressesSize returns how long two addresses and ports of a family are; 0 = it is not one with ports.
func addressesSize(family byte) int {
	switch family {
	case familyINET:
		return 2*4 + 4
	case familyINET6:
		return 2*16 + 4
	default:
		return 0
	}
}

func address(b []byte) netip.Addr {
	if len(b) == 4 {
		return netip.AddrFrom4([4]byte(b))
	}
	return netip.AddrFrom16([16]byte(b)).Unmap()
}

// cutValue splits the first value off (section 2.2.1 ff.).
func cutValue(b []byte) (kind byte, value, rest []byte, ok bool) {
	const head = 3 // type and length
	if len(b) < head {
		return 0, nil, nil, false
	}
	end := head + int(binary.BigEndian.Uint16(b[1:]))
	if end > len(b) {
		return 0, nil, nil, false
	}
	return b[0], b[head:end], b[end:], true
}

// Value returns the first value of a type, of those before one that is cut short.
func (h *Header) Value(kind byte) (value []byte, ok bool) {
	for rest := h.Values; ; {
		var k byte
		if k, value, rest, ok = cutValue(rest); !ok || k == kind {
			return value, ok
		}
	}
}

// AppendValue appends a value for [Header.Values]. It must not be longer than 65535 octets.
func AppendValue(b []byte, kind byte, value string) []byte {
	b = append(b, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	return append(b, value...)
}

// Append writes h to b. Unless Local, both addresses must be valid; those of different families are written as IPv6.
func (h Header) Append(b []byte) []byte {
	b = append(b, Signature...)
	src, dst := h.Source.Addr().Unmap(), h.Dest.Addr().Unmap()
	switch {
	case h.Local:
		b = append(b, versionLocal, familyUnspec)
		b = binary.BigEndian.AppendUint16(b, uint16(len(h.Values)))
		return append(b, h.Values...)
	case src.Is4() && dst.Is4():
		b = append(b, versionProxy, familyINET<<4|byte(h.Transport))
		b = binary.BigEndian.AppendUint16(b, uint16(addressesSize(familyINET)+len(h.Values)))
		s, d := src.As4(), dst.As4()
		b = append(append(b, s[:]...), d[:]...)
	default:
		b = append(b, versionProxy, familyINET6<<4|byte(h.Transport))
		b = binary.BigEndian.AppendUint16(b, uint16(addressesSize(familyINET6)+len(h.Values)))
		s, d := src.As16(), dst.As16()
		b = append(append(b, s[:]...), d[:]...)
	}
	b = binary.BigEndian.AppendUint16(b, h.Source.Port())
	b = binary.BigEndian.AppendUint16(b, h.Dest.Port())
	return append(b, h.Values...)
}
