package dnstap

import (
	"net/netip"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/meridian-gtm/meridian/dnsserver/tap"
)

// Field numbers and values of dnstap.proto.
const (
	fieldIdentity = 1
	fieldVersion  = 2
	fieldMessage  = 14
	fieldKind     = 15

	kindMessage = 1

	fieldType            = 1
	fieldFamily          = 2
	fieldProtocol        = 3
	fieldQueryAddress    = 4
	fieldResponseAddress = 5
	fieldQueryPort       = 6
	fieldResponsePort    = 7
	fieldQuerySeconds    = 8
	fieldQueryNanos      = 9
	fieldQueryMessage    = 10
	fieldAnswerSeconds   = 12
	fieldAnswerNanos     = 13
	fieldAnswerMessage   = 14

	typeAuthQuery    = 1
	typeAuthResponse = 2

	familyV4 = 1
	familyV6 = 2
)

// protocols are the values of SocketProtocol by the name of a transport.
var protocols = map[string]uint64{"udp": 1, "tcp": 2, "dot": 3}

// encoder makes frames of exchanges. Its space is used again.
type encoder struct {
	head    []byte // identity and version
	message []byte
	frames  []byte
}

func newEncoder(identity, version string) *encoder {
	e := &encoder{}
	e.head = appendText(e.head, fieldIdentity, identity)
	e.head = appendText(e.head, fieldVersion, version)
	return e
}

// encode returns the frames of an exchange, which are valid until the next call.
func (e *encoder) encode(x *tap.Exchange) []byte {
	e.frames = e.frames[:0]
	e.begin(typeAuthQuery, x)
	if len(x.Query) > 0 {
		e.message = appendOctets(e.message, fieldQueryMessage, x.Query)
	}
	e.end()
	if !x.Sent {
		return e.frames
	}
	e.begin(typeAuthResponse, x)
	e.message = appendTime(e.message, fieldAnswerSeconds, fieldAnswerNanos, x.Time)
	if len(x.Answer) > 0 {
		e.message = appendOctets(e.message, fieldAnswerMessage, x.Answer)
	}
	e.end()
	return e.frames
}

// begin writes what query and response have in common.
func (e *encoder) begin(kind uint64, x *tap.Exchange) {
	b := appendNumber(e.message[:0], fieldType, kind)
	family := uint64(familyV4)
	if x.Client.Addr().Unmap().Is6() {
		family = familyV6
	}
	b = appendNumber(b, fieldFamily, family)
	if p, ok := protocols[x.Transport.String()]; ok {
		b = appendNumber(b, fieldProtocol, p)
	}
	b = appendAddress(b, fieldQueryAddress, fieldQueryPort, x.Client)
	b = appendAddress(b, fieldResponseAddress, fieldResponsePort, x.Server)
	e.message = appendTime(b, fieldQuerySeconds, fieldQueryNanos, x.Time)
}

// end adds the message to the frames.
func (e *encoder) end() {
	size := len(e.head) + protowire.SizeTag(fieldMessage) + protowire.SizeBytes(len(e.message)) +
		protowire.SizeTag(fieldKind) + protowire.SizeVarint(kindMessage)
	e.frames = appendFrameHeader(e.frames, size)
	e.frames = append(e.frames, e.head...)
	e.frames = appendOctets(e.frames, fieldMessage, e.message)
	e.frames = appendNumber(e.frames, fieldKind, kindMessage)
}

func appendNumber(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func appendOctets(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

// appendText leaves an empty text out.
func appendText(b []byte, field protowire.Number, v string) []byte {
	if v == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), v)
}

// appendAddress leaves an address out that is not known.
func appendAddress(b []byte, address, port protowire.Number, v netip.AddrPort) []byte {
	if !v.Addr().IsValid() {
		return b
	}
	if a := v.Addr().Unmap(); a.Is4() {
		octets := a.As4()
		b = appendOctets(b, address, octets[:])
	} else {
		octets := a.As16()
		b = appendOctets(b, address, octets[:])
	}
	return appendNumber(b, port, uint64(v.Port()))
}

func appendTime(b []byte, seconds, nanos protowire.Number, t time.Time) []byte {
	b = appendNumber(b, seconds, uint64(t.Unix()))
	return protowire.AppendFixed32(protowire.AppendTag(b, nanos, protowire.Fixed32Type), uint32(t.Nanosecond()))
}
