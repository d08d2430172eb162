package world

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
)

// proxyHeader is what a director writes before the first byte that it forwards: version 2 of the PROXY protocol
// (section 2.2 of its specification), with the director's own name in a custom TLV (section 2.2.7).
type proxyHeader struct {
	// Local is a connection of the director's own, a health check: there is no client.
	Local    bool
	Source   netip.AddrPort // the client
	Dest     netip.AddrPort // the address that the client connected to: the VIP
	Director string         // at most 255 bytes are read
}

const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	proxyLocal     = 0x20 // version 2, command LOCAL
	proxyProxy     = 0x21 // version 2, command PROXY
	proxyTCP4      = 0x11
	proxyTCP6      = 0x21
	proxyDirector  = 0xE0 // first of the types for custom use
	proxyMaxBody   = 536  // more than this may not arrive in one segment, so senders must not send it
	proxyMaxName   = 255
)

// append writes h in wire format. Source and Dest are of one family after 4-in-6 is undone.
func (h proxyHeader) append(b []byte) []byte {
	b = append(b, proxySignature...)
	command, family := byte(proxyProxy), byte(proxyTCP4)
	if h.Local {
		command, family = proxyLocal, 0
	}
	var body []byte
	if !h.Local {
		src, dst := h.Source.Addr().Unmap(), h.Dest.Addr().Unmap()
		if !src.Is4() || !dst.Is4() {
			family = proxyTCP6
			src, dst = netip.AddrFrom16(src.As16()), netip.AddrFrom16(dst.As16())
		}
		body = append(append(body, src.AsSlice()...), dst.AsSlice()...)
		body = binary.BigEndian.AppendUint16(body, h.Source.Port())
		body = binary.BigEndian.AppendUint16(body, h.Dest.Port())
	}
	name := h.Director[:min(len(h.Director), proxyMaxName)]
	if name != "" {
		body = append(body, proxyDirector)
		body = binary.BigEndian.AppendUint16(body, uint16(len(name)))
		body = append(body, name...)
	}
	b = append(b, command, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	return append(b, body...)
}

var errNoProxyHeader = errors.New("no PROXY protocol version 2 header: replicas take connections from directors only")

// readProxyHeader reads a header from r and not a byte more.
func readProxyHeader(r io.Reader) (proxyHeader, error) {
	var fixed [16]byte
	if _, err := io.ReadFull(r, fixed[:len(proxySignature)]); err != nil {
		return proxyHeader{}, fmt.Errorf("proxy header: %w", err)
	}
	if string(fixed[:len(proxySignature)]) != proxySignature {
		return proxyHeader{}, errNoProxyHeader
	}
	if _, err := io.ReadFull(r, fixed[len(proxySignature):]); err != nil {
		return proxyHeader{}, fmt.Errorf("proxy header: %w", err)
	}
	command, family, size := fixed[12], fixed[13], int(binary.BigEndian.Uint16(fixed[14:]))
	if command != proxyLocal && command != proxyProxy {
		return proxyHeader{}, fmt.Errorf("proxy header: version and command 0x%02x: want 0x20 or 0x21", command)
	}
	if size > proxyMaxBody {
		return proxyHeader{}, fmt.Errorf("proxy header: %d bytes: want at most %d", size, proxyMaxBody)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return proxyHeader{}, fmt.Errorf("proxy header: %w", err)
	}
	h := proxyHeader{Local: command == proxyLocal}
	n := 0
	switch family {
	case proxyTCP4:
		n = 4
	case proxyTCP6:
		n = 16
	case 0: // unspecified: no addresses
	default:
		return proxyHeader{}, fmt.Errorf("proxy header: family 0x%02x: want TCP over IPv4 or IPv6", family)
	}
	if n == 0 && !h.Local {
		return proxyHeader{}, errors.New("proxy header: a proxied connection without addresses")
	}
	if n > 0 {
		if len(body) < 2*n+4 {
			return proxyHeader{}, fmt.Errorf("proxy header: %d bytes: addresses cut short", size)
		}
		src, _ := netip.AddrFromSlice(body[:n])
		dst, _ := netip.AddrFromSlice(body[n : 2*n])
		h.Source = netip.AddrPortFrom(src, binary.BigEndian.Uint16(body[2*n:]))
		h.Dest = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(body[2*n+2:]))
		body = body[2*n+4:]
	}
	if h.Local {
		h.Source, h.Dest = netip.AddrPort{}, netip.AddrPort{} // to be discarded (section 2.2)
	}
	for len(body) > 0 {
		if len(body) < 3 {
			return proxyHeader{}, errors.New("proxy header: TLV cut short")
		}
		size := int(binary.BigEndian.Uint16(body[1:]))
		if size > len(body)-3 {
			return proxyHeader{}, fmt.Errorf("proxy header: TLV 0x%02x: %d bytes: %d are left", body[0], size, len(body)-3)
		}
		if body[0] == proxyDirector {
			if size > proxyMaxName {
				return proxyHeader{}, fmt.Errorf("proxy header: director: %d bytes: want at most %d", size, proxyMaxName)
			}
			h.Director = string(body[3 : 3+size])
		}
		body = body[3+size:]
	}
	return h, nil
}
