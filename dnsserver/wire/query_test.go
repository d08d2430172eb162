package wire

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// patch returns a query with octets replaced from an offset on.
func patch(b []byte, at int, octets ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], octets)
	return b
}

func TestSilence(t *testing.T) {
	r, snap, out := newResponder(t, Options{}), newSnapshot(t), make([]byte, 512)
	query := newQuery(t, "static.shop.example. A")
	for name, req := range map[string][]byte{
		"empty":                             nil,
		"eleven octets":                     query[:11],
		"QR set (RFC 1035 section 4.1.1)":   patch(query, 2, 0x80),
		"QR set and garbage":                patch(query, 2, 0xff, 0xff, 0xff, 0xff),
		"a NOTIFY response (no loop of us)": patch(query, 2, 0xa4),
	} {
		if answer, m := r.Respond(snap, nil, req, resolver, UDP, 0, out); answer != nil || m != (Meta{}) {
			t.Errorf("%s: got %x, %+v", name, answer, m)
		}
		if answer := r.ServFail(req, out); answer != nil {
			t.Errorf("%s: ServFail: got %x", name, answer)
		}
	}
}

func TestMalformed(t *testing.T) {
	r, snap, out := newResponder(t, Options{}), newSnapshot(t), make([]byte, 512)
	query := newQuery(t, "static.shop.example. A")
	opted := newQuery(t, "static.shop.example. A", withOPT(1232))
	long := append(bytes.Clone(query[:12]), bytes.Repeat(append([]byte{63}, bytes.Repeat([]byte{'a'}, 63)...), 4)...)
	long = append(long, 0, 0, 1, 0, 1) // 4 x 64 + 1 octets of name: one or two too many
	secondOPT := append(patch(opted, 11, 2), opted[len(opted)-11:]...)

	for _, tt := range []struct {
		name     string
		req      []byte
		question bool // must come back
		opt      bool // must be in the answer
	}{
		{"no question (RFC 9619 section 4)", patch(query, 4, 0, 0), false, false},
		{"two questions (RFC 9619 section 4)", patch(query, 4, 0, 2), false, false},
		{"header alone", query[:12], false, false},
		{"name cut", query[:20], false, false},
		{"type cut", query[:len(query)-3], false, false},
		{"label of 64 (RFC 1035 section 2.3.4)", patch(query, 12, 64), false, false},
		{"compressed question", patch(query, 12, 0xc0, 12), false, false},
		{"name of 257 octets (RFC 1035 section 2.3.4)", long, false, false},
		{"garbage behind", append(bytes.Clone(query), 0), true, false},
		{"garbage behind the OPT", append(bytes.Clone(opted), 0), true, true},
		{"record missing", patch(query, 7, 1), true, false},
		{"record cut", opted[:len(opted)-1], true, false},
		{"two OPT (RFC 6891 section 6.1.1)", secondOPT, true, true},
		{"OPT in the answer section (RFC 6891 section 6.1.1)", patch(opted, 6, 0, 1, 0, 0, 0, 0), true, false},
		{"OPT not at the root (RFC 6891 section 6.1.2)", append(patch(query, 11, 1),
			1, 'x', 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0), true, false},
		{"option cut (RFC 6891 section 6.1.2)", append(patch(query, 11, 1),
			0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 3, 0, 3, 0), true, true},
		{"option longer than the OPT", append(patch(query, 11, 1),
			0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 4, 0, 3, 0, 1), true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer, meta := r.Respond(snap, nil, tt.req, resolver, UDP, 0, out)
			m := unpack(t, answer)
			if m.Rcode != dns.RcodeFormatError || meta.Rcode != dns.RcodeFormatError || m.Authoritative {
				t.Errorf("got %v, %+v", m, meta)
			}
			if got := len(m.Question) == 1; got != tt.question {
				t.Errorf("question is %v", m.Question)
			}
			if got := m.IsEdns0() != nil; got != tt.opt {
				t.Errorf("OPT is %v", m.IsEdns0())
			}
		})
	}
}

// The longest name there is has 255 octets; it must get an answer, in the smallest of answers.
func TestLongestName(t *testing.T) {
	r, snap, out := newResponder(t, Options{}), newSnapshot(t), make([]byte, 512)
	label := strings.Repeat("a", 63)
	name := label + "." + label + "." + label + "." + strings.Repeat("b", 48) + ".shop.example."
	answer, _ := r.Respond(snap, nil, newQuery(t, name+" A", withOPT(512)), resolver, UDP, 0, out)
	want(t, unpack(t, answer), "NXDOMAIN aa rd",
		"ns shop.example. 60 SOA ns1.shop.example. hostmaster.shop.example. 1 7200 900 1209600 60", "ar OPT 1232")
}

// Records that mean nothing in a query are skipped, however their names are written.
func TestOtherRecords(t *testing.T) {
	r, snap, out := newResponder(t, Options{}), newSnapshot(t), make([]byte, 512)
	query := newQuery(t, "a.ent.shop.example. A")
	record := []byte{0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1}
	for _, owner := range map[string][]byte{
		"plain": {1, 'x', 2, 'y', 'z', 0}, "pointer": {0xc0, 12}, "label and pointer": {1, 'x', 0xc0, 12}, "root": {0},
	} {
		for _, count := range []int{7, 9, 11} { // answer, authority, additional
			req := append(append(patch(query, count, 1), owner...), record...)
			answer, _ := r.Respond(snap, nil, req, resolver, UDP, 0, out)
			want(t, unpack(t, answer), "NOERROR aa rd", "an a.ent.shop.example. 300 A 192.0.2.9")
		}
	}
	for name, owner := range map[string][]byte{
		"reserved label type": {0x40, 0}, "label without end": {63, 'x'}, "pointer cut": {0xc0},
	} {
		req := append(append(patch(query, 11, 1), owner...), record[:4]...)
		answer, _ := r.Respond(snap, nil, req, resolver, UDP, 0, out)
		if m := unpack(t, answer); m.Rcode != dns.RcodeFormatError || len(m.Question) != 1 {
			t.Errorf("%s: got %v", name, m)
		}
	}
}

func TestOpcodes(t *testing.T) {
	r, out := newResponder(t, Options{}), make([]byte, 512)
	for opcode := 1; opcode < 16; opcode++ {
		req := newQuery(t, "static.shop.example. A", withOPT(1232))
		binary.BigEndian.PutUint16(req[2:], uint16(opcode)<<11|0x0130) // RD, AD, CD
		answer, meta := r.Respond(nil, nil, req, resolver, UDP, 0, out)
		m := unpack(t, answer)
		if len(answer) != 12 || m.Opcode != opcode || m.Rcode != dns.RcodeNotImplemented || !m.RecursionDesired {
			t.Errorf("opcode %d: got %v", opcode, m)
		}
		if meta != (Meta{Rcode: dns.RcodeNotImplemented}) {
			t.Errorf("opcode %d: got %+v", opcode, meta)
		}
	}
}

// Flags that a query sets are copied or cleared: RD (RFC 1035 section 4.1.1) copied; AA, TC, RA and Z cleared; AD
// (RFC 6840 section 5.8, nothing is signed) and CD (RFC 4035 section 3.1.6) cleared.
func TestFlags(t *testing.T) {
	r, snap, out := newResponder(t, Options{}), newSnapshot(t), make([]byte, 512)
	for _, tt := range []struct{ sent, want uint16 }{
		{0, flagsQR | flagsAA},
		{flagsRD, flagsQR | flagsAA | flagsRD},
		{0x07f0, flagsQR | flagsAA | flagsRD}, // everything but QR, opcode and RCODE
		{0x07ff, flagsQR | flagsAA | flagsRD},
	} {
		req := newQuery(t, "static.shop.example. A")
		binary.BigEndian.PutUint16(req[2:], tt.sent)
		answer, _ := r.Respond(snap, nil, req, resolver, UDP, 0, out)
		if got := binary.BigEndian.Uint16(answer[2:]); got != tt.want {
			t.Errorf("flags %04x: got %04x, want %04x", tt.sent, got, tt.want)
		}
	}
}

func TestBeforeFirstSnapshot(t *testing.T) {
	r, out := newResponder(t, Options{}), make([]byte, 512)
	for _, snap := range []*Snapshot{nil, {}} {
		answer, _ := r.Respond(snap, nil, newQuery(t, "static.shop.example. A", withOPT(1232)), resolver, UDP, 0, out)
		want(t, unpack(t, answer), "SERVFAIL rd", "ar OPT 1232")
	}
	answer := r.ServFail(newQuery(t, "static.shop.example. A", withOPT(1232)), out)
	m := unpack(t, answer)
	want(t, m, "SERVFAIL rd")
	if len(m.Question) != 1 || m.Question[0].Name != "static.shop.example." {
		t.Errorf("question is %v", m.Question)
	}
}
