package wire

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/zone"
)

// rdatas has every type that zones may hold, in the form of master files. Types with names in them have one in the
// zone, so that compression shows (RFC 3597 section 4).
const rdatas = `
A 192.0.2.1
AAAA 2001:db8::1
AFSDB 1 db.types.example.
AMTRELAY 10 0 2 2001:db8::15
APL 1:192.0.2.0/24 !1:192.0.2.64/28 2:2001:db8::/32
AVC "app-name:web"
CAA 0 issue "ca.example.net; account=230123"
CDNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==
CDS 60485 8 1 2BB183AF5F22588179A53B0A98631FAD1A292118
CERT PKIX 65535 RSASHA256 AQIDBA==
CNAME target.types.example.
CSYNC 66 3 A NS AAAA
DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=
DLV 60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118
DNAME target.types.example.
DNSKEY 256 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==
DS 60485 8 1 2BB183AF5F22588179A53B0A98631FAD1A292118
EID e32c6f78163a9348
EUI48 00-00-5e-00-53-2a
EUI64 00-00-5e-ef-10-00-00-2a
GID 1000
GPOS -32.6882 116.8652 10.0
HINFO "PDP-11/70" "UNIX"
HIP 2 200100107B1A74DF365639CC39F1D578 AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cIvM4p9+LrV4e19WzK00+CI6zBCQTdtWsuxKbWIy87UOoJTwkUs7lBu+Upr1gsNrut79ryra+bSRGQb1slImA8YVJyuIDsj7kwzG7jnERNqnWxZ48AWkskmdHaVDP4BcelrTI3rMXdXF5D rvs.types.example.
HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.1 ipv6hint=2001:db8::1
HTTPS 0 target.types.example.
IPSECKEY 10 3 2 target.types.example. AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==
ISDN "150862028003217" "004"
KEY 256 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==
KX 10 target.types.example.
L32 10 10.1.2.0
L64 10 2001:0DB8:1140:1000
LOC 42 21 54.000 N 71 06 18.000 W -24.00m 30m 10m 2m
LP 10 target.types.example.
MB target.types.example.
MD target.types.example.
MF target.types.example.
MG target.types.example.
MINFO target.types.example. errors.types.example.
MR target.types.example.
MX 10 target.types.example.
NAPTR 100 50 "s" "z3950+I2L+I2C" "" _z3950._tcp.types.example.
NID 10 0014:4fff:ff20:ee64
NIMLOC 32251b030067
NINFO "zone"
NS target.types.example.
NSAP-PTR target.types.example.
NSEC host.types.example. A MX RRSIG NSEC TYPE1234
NSEC3 1 1 12 AABBCCDD 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR NS SOA MX RRSIG DNSKEY NSEC3PARAM
NSEC3PARAM 1 0 12 AABBCCDD
NXT host.types.example. A MX
OPENPGPKEY AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==
PTR target.types.example.
PX 10 map822.types.example. mapx400.types.example.
RESINFO qnamemin exterr=15-17 infourl=https://resolver.example.net/guide
RKEY 256 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==
RP mbox.types.example. txt.types.example.
RRSIG A 13 3 300 20300101000000 20250101000000 34505 types.example. oJB1W6WNGv+ldvQ3WDG0MQkg5IEhjRip8WTrPYGv07h108dUKGMeDPKijVCHX3DDKdfb+v6oB9wfuh3DTJXUAfI=
RT 10 target.types.example.
SIG A 13 3 300 20300101000000 20250101000000 34505 types.example. oJB1W6WNGv+ldvQ3WDG0MQkg5IEhjRip8WTrPYGv07h108dUKGMeDPKijVCHX3DDKdfb+v6oB9wfuh3DTJXUAfI=
SMIMEA 3 1 1 2BB183AF5F22588179A53B0A98631FAD1A292118
SPF "v=spf1 -all"
SRV 1 2 443 target.types.example.
SSHFP 4 2 123456789abcdef67890123456789abcdef67890
SVCB 1 target.types.example. alpn="h2" port=8443 mandatory=port key667="hello"
TA 60485 8 1 2BB183AF5F22588179A53B0A98631FAD1A292118
TALINK prev.types.example. next.types.example.
TLSA 3 1 1 2BB183AF5F22588179A53B0A98631FAD1A292118
TXT "one" "t;w\"o" "\255\000"
UID 1000
UINFO "user"
URI 10 1 "https://www.types.example/path"
X25 311061700956
ZONEMD 2018031500 1 1 FEBE3D4CE2EC2FFA4BA99D46CD69D6D29711E55217057BEE7EB1A7B641A47BA7FED2DD5B97AE499FAFA4F22C6BD647DE
TYPE65280 \# 4 0A000001
TYPE65281 \# 0
`

// Answers of every type are what the library packs for the same records.
func TestTypes(t *testing.T) {
	covered := map[uint16]bool{}
	out := make([]byte, MaxSize)
	dir := t.TempDir()
	for line := range strings.Lines(strings.TrimSpace(rdatas)) {
		line = strings.TrimSpace(line)
		name, _, _ := strings.Cut(line, " ")
		t.Run(name, func(t *testing.T) {
			// Delegations and DNAMEs do not answer for themselves but at the apex; a DS needs a delegation.
			owner, beside := "host.types.example.", "@ NS ns.elsewhere.test.\n"
			switch name {
			case "NS":
				owner, beside = "types.example.", "target A 192.0.2.1\n"
			case "DNAME":
				owner = "types.example."
			case "DS":
				beside += "host NS ns.elsewhere.test.\n"
			}
			text := "$ORIGIN types.example.\n$TTL 300\n@ SOA ns host 1 2 3 4 5\n" + beside + owner + " " + line + "\n"
			file := filepath.Join(dir, "zone")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			z, err := zone.Load(zone.Source{Origin: "types.example.", File: file})
			if err != nil {
				t.Fatal(err)
			}
			zones, err := zone.NewSet([]*zone.Zone{z})
			if err != nil {
				t.Fatal(err)
			}
			rr, err := dns.NewRR(owner + " 300 IN " + line)
			if err != nil {
				t.Fatal(err)
			}
			rrtype := rr.Header().Rrtype
			covered[rrtype] = true

			m := new(dns.Msg).SetQuestion(owner, rrtype)
			m.Id, m.Compress = 0x1234, true
			req, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			m.Response, m.Authoritative = true, true
			m.Answer = []dns.RR{rr}
			if name == "NS" {
				glue, err := dns.NewRR("target.types.example. 300 IN A 192.0.2.1")
				if err != nil {
					t.Fatal(err)
				}
				m.Extra = []dns.RR{glue}
			}
			want, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			got, meta := newResponder(t, Options{}).Respond(&Snapshot{Zones: zones}, nil, req, resolver, UDP, 0, out)
			if meta.Slow || !bytes.Equal(got, want) {
				t.Errorf("slow %v\n%x, want\n%x", meta.Slow, got, want)
			}
			for _, rrs := range z.RRsets() {
				if rrs[0].Header().Rrtype == rrtype && !bytes.Equal(packed(t, rrs[0]), packed(t, rr)) {
					t.Errorf("the zone returns %v, want %v", rrs[0], rr)
				}
			}
		})
	}
	for rrtype := range dns.TypeToRR {
		if _, special := metaType(rrtype); !special && rrtype != dns.TypeSOA && rrtype != dns.TypeANY && !covered[rrtype] &&
			rrtype != dns.TypeNULL { // which has no presentation form (RFC 1035 section 3.3.10)
			t.Errorf("type %s is not covered", dns.Type(rrtype))
		}
	}
}

// packed returns a record alone and without compression.
func packed(tb testing.TB, rr dns.RR) []byte {
	tb.Helper()
	b := make([]byte, dns.Len(rr)+1)
	n, err := dns.PackRR(rr, b, 0, nil, false)
	if err != nil {
		tb.Fatal(err)
	}
	return b[:n]
}
