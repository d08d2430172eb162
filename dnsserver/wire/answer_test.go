package wire

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
)

const soa = "ns shop.example. 60 SOA ns1.shop.example. hostmaster.shop.example. 1 7200 900 1209600 60"

func TestAnswers(t *testing.T) {
	r, snap, out := newResponder(t, Options{}), newSnapshot(t), make([]byte, 1232)
	for _, tt := range []struct {
		name     string
		question string
		lines    []string
	}{
		{"record set (RFC 1034 section 4.3.2)", "static.shop.example. A", []string{"NOERROR aa rd",
			"an static.shop.example. 300 A 192.0.2.1", "an static.shop.example. 300 A 192.0.2.2",
			"an static.shop.example. 300 A 192.0.2.3"}},
		{"NODATA (RFC 2308 section 2.2)", "static.shop.example. AAAA", []string{"NOERROR aa rd", soa}},
		{"NODATA at an empty non-terminal (RFC 4592 section 2.2.2)", "ent.shop.example. A", []string{"NOERROR aa rd", soa}},
		{"NXDOMAIN (RFC 2308 section 2.1)", "gone.shop.example. A", []string{"NXDOMAIN aa rd", soa}},
		{"wildcard (RFC 4592 section 3.3.2)", "x.y.wild.shop.example. TXT", []string{"NOERROR aa rd",
			`an x.y.wild.shop.example. 300 TXT "wild"`}},
		{"additional addresses (RFC 1035 section 3.3.9)", "mail.shop.example. MX", []string{"NOERROR aa rd",
			"an mail.shop.example. 300 MX 10 static.shop.example.",
			"ar static.shop.example. 300 A 192.0.2.1", "ar static.shop.example. 300 A 192.0.2.2",
			"ar static.shop.example. 300 A 192.0.2.3"}},
		{"CNAME chain (RFC 1034 section 3.6.2)", "chain.shop.example. A", []string{"NOERROR aa rd",
			"an chain.shop.example. 300 CNAME alias.shop.example.", "an alias.shop.example. 300 CNAME static.shop.example.",
			"an static.shop.example. 300 A 192.0.2.1", "an static.shop.example. 300 A 192.0.2.2",
			"an static.shop.example. 300 A 192.0.2.3"}},
		{"chain to nothing: RCODE of its end (RFC 6604 section 3)", "togone.shop.example. A", []string{"NXDOMAIN aa rd",
			"an togone.shop.example. 300 CNAME gone.shop.example.", soa}},
		{"chain out of the zone", "away.shop.example. A", []string{"NOERROR aa rd",
			"an away.shop.example. 300 CNAME www.elsewhere.example."}},
		{"DNAME (RFC 6672 section 3.1)", "b.old.shop.example. A", []string{"NOERROR aa rd",
			"an old.shop.example. 300 DNAME new.shop.example.", "an b.old.shop.example. 300 CNAME b.new.shop.example.",
			"an b.new.shop.example. 300 A 192.0.2.8"}},
		{"DNAME to a name that is too long (RFC 6672 section 2.2)", longAlias + ".yx.shop.example. A", []string{"YXDOMAIN aa rd",
			"an yx.shop.example. 300 DNAME longer.than.the.name.it.stands.in.for.shop.example."}},
		{"referral: not authoritative (RFC 1034 section 4.2.1)", "www.sub.shop.example. A", []string{"NOERROR rd",
			"ns sub.shop.example. 300 NS ns.sub.shop.example.", "ar ns.sub.shop.example. 300 A 192.0.2.77"}},
		{"outside the zones", "elsewhere.example. A", []string{"REFUSED rd"}},
		{"the root", ". NS", []string{"REFUSED rd"}},

		{"steered", "www.shop.example. A", []string{"NOERROR aa rd", "an www.shop.example. 30 A " + usV4}},
		{"steered, IPv6", "www.shop.example. AAAA", []string{"NOERROR aa rd", "an www.shop.example. 30 AAAA " + usV6}},
		{"steered apex", "shop.example. A", []string{"NOERROR aa rd", "an shop.example. 30 A " + usV4}},
		{"steered wildcard", "x.app.shop.example. A", []string{"NOERROR aa rd", "an x.app.shop.example. 30 A " + usV4}},
		{"steered behind a CNAME", "toshop.shop.example. A", []string{"NOERROR aa rd",
			"an toshop.shop.example. 300 CNAME www.shop.example.", "an www.shop.example. 30 A " + usV4}},
		{"round-robin", "rr.shop.example. A", []string{"NOERROR aa rd",
			"an rr.shop.example. 30 A " + usV4, "an rr.shop.example. 30 A " + euV4}},
		{"no address of the family: NODATA", "v4.shop.example. AAAA", []string{"NOERROR aa rd", soa}},
		{"other types at a steered name: NODATA", "www.shop.example. TXT", []string{"NOERROR aa rd", soa}},
		{"other types at the steered apex", "shop.example. SOA", []string{"NOERROR aa rd", "an" + soaAt300}},

		{"ANY (RFC 8482 section 4.2)", "static.shop.example. ANY", []string{"NOERROR aa rd",
			`an static.shop.example. 3600 HINFO "RFC8482" ""`}},
		{"ANY at a steered name", "www.shop.example. ANY", []string{"NOERROR aa rd",
			`an www.shop.example. 3600 HINFO "RFC8482" ""`}},
		{"ANY at a name with a real HINFO", "hinfo.shop.example. ANY", []string{"NOERROR aa rd",
			`an hinfo.shop.example. 3600 HINFO "RFC8482" ""`}},
		{"ANY at a CNAME (RFC 8482 section 4.2)", "alias.shop.example. ANY", []string{"NOERROR aa rd",
			"an alias.shop.example. 300 CNAME static.shop.example."}},
		{"ANY at nothing", "gone.shop.example. ANY", []string{"NXDOMAIN aa rd", soa}},
		{"ANY below a delegation", "www.sub.shop.example. ANY", []string{"NOERROR rd",
			"ns sub.shop.example. 300 NS ns.sub.shop.example.", "ar ns.sub.shop.example. 300 A 192.0.2.77"}},

		{"AXFR (RFC 5936 section 2.2.1)", "shop.example. AXFR", []string{"REFUSED rd"}},
		{"IXFR", "shop.example. IXFR", []string{"REFUSED rd"}},
		{"MAILB (RFC 1035 section 3.2.3)", "shop.example. MAILB", []string{"NOTIMP rd"}},
		{"MAILA", "shop.example. MAILA", []string{"NOTIMP rd"}},
		{"OPT is no question", "shop.example. OPT", []string{"FORMERR rd"}},
		{"TSIG is no question", "shop.example. TSIG", []string{"FORMERR rd"}},
		{"NXNAME is no question (RFC 9824 section 3.4)", "shop.example. NXNAME", []string{"FORMERR rd"}},
		{"class HESIOD", "static.shop.example. A HS", []string{"REFUSED rd"}},
		{"class ANY", "static.shop.example. A ANY", []string{"REFUSED rd"}},
		{"class CHAOS", "static.shop.example. TXT CH", []string{"REFUSED rd"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, tr := range []Transport{UDP, TCP} {
				answer, meta := r.Respond(snap, nil, newQuery(t, tt.question), resolver, tr, 0, out)
				m := unpack(t, answer)
				want(t, m, tt.lines...)
				if int(meta.Rcode) != m.Rcode || meta.Qtype != m.Question[0].Qtype || meta.Truncated || meta.EDNS {
					t.Errorf("%v: meta is %+v", tr, meta)
				}
			}
		})
	}
}

const soaAt300 = " shop.example. 300 SOA ns1.shop.example. hostmaster.shop.example. 1 7200 900 1209600 60"

func TestMeta(t *testing.T) {
	r, snap, out := newResponder(t, Options{}), newSnapshot(t), make([]byte, 1232)
	for _, tt := range []struct {
		question string
		c        change
		want     Meta
	}{
		{"www.shop.example. A", withECS(officeV4),
			Meta{Qtype: dns.TypeA, Service: "shop", Cause: steer.CausePolicy, Sites: 1, EDNS: true, ECS: true}},
		{"toshop.shop.example. A", withECS("0.0.0.0/0"),
			Meta{Qtype: dns.TypeA, Service: "shop", Cause: steer.CausePolicy, Sites: 2, EDNS: true}},
		{"v4.shop.example. AAAA", withOPT(1232),
			Meta{Qtype: dns.TypeAAAA, Service: "v4", Cause: steer.CauseNoFamily, EDNS: true}},
		{"static.shop.example. A", withECS(officeV4), Meta{Qtype: dns.TypeA, EDNS: true}},
		{"gone.shop.example. MX", withOPT(1232), Meta{Qtype: dns.TypeMX, Rcode: dns.RcodeNameError, EDNS: true}},
	} {
		_, m := r.Respond(snap, nil, newQuery(t, tt.question, tt.c), resolver, UDP, 0, out)
		if service, ok := snap.Plan.Service(tt.want.Service); ok {
			tt.want.SiteNames = snap.Plan.Sites(service)
		}
		if m != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.question, m, tt.want)
		}
	}
}

// The question comes back octet by octet, and owner names with it: resolvers that mix the case (0x20) compare.
func TestQuestionCase(t *testing.T) {
	r, snap, out := newResponder(t, Options{}), newSnapshot(t), make([]byte, 1232)
	for _, tt := range []struct{ question, owner string }{
		{"StAtIc.sHoP.eXaMpLe. A", "StAtIc.sHoP.eXaMpLe."},
		{"WwW.ShOp.ExAmPlE. A", "WwW.ShOp.ExAmPlE."},
		{"X.aPP.ShOp.ExAmPlE. A", "X.aPP.ShOp.ExAmPlE."},
		{"X.wILD.ShOp.ExAmPlE. TXT", "X.wILD.ShOp.ExAmPlE."},
		{"ToShOp.ShOp.ExAmPlE. A", "ToShOp.ShOp.ExAmPlE."},
		{"StAtIc.sHoP.eXaMpLe. ANY", "StAtIc.sHoP.eXaMpLe."},
		{"GoNe.ShOp.ExAmPlE. A", "ShOp.ExAmPlE."}, // the SOA's
		{"NoT.HeRe. A", ""},
	} {
		req := newQuery(t, tt.question)
		answer, _ := r.Respond(snap, nil, req, resolver, UDP, 0, out)
		if !bytes.HasPrefix(answer[12:], req[12:]) {
			t.Errorf("%s: question is not echoed: %x", tt.question, answer)
		}
		m := unpack(t, answer)
		for _, rr := range append(m.Answer[:min(1, len(m.Answer))], m.Ns...) {
			if rr.Header().Name != tt.owner {
				t.Errorf("%s: owner is %s", tt.question, rr.Header().Name)
			}
		}
		if tt.owner == "" && m.Rcode != dns.RcodeRefused {
			t.Errorf("%s: got %v", tt.question, m)
		}
	}
}

// Every owner that ends like an earlier name points to it (RFC 1035 section 4.1.4).
func TestCompression(t *testing.T) {
	r, snap, out := newResponder(t, Options{}), newSnapshot(t), make([]byte, 1232)
	for _, tt := range []struct {
		question string
		size     int
	}{
		{"static.shop.example. A", 12 + 25 + 3*16},
		{"rr.shop.example. A", 12 + 21 + 2*16},
		// CNAME: 12 + "www" and a pointer; A: a pointer to the CNAME's target
		{"toshop.shop.example. A", 12 + 25 + 12 + 6 + 16},
	} {
		answer, _ := r.Respond(snap, nil, newQuery(t, tt.question), resolver, UDP, 0, out)
		if len(answer) != tt.size {
			t.Errorf("%s: %d octets, want %d: %x", tt.question, len(answer), tt.size, answer)
		}
	}
}

// Responders share the records of a snapshot and must not write to them; the race detector watches.
func TestSharedSnapshot(t *testing.T) {
	r, snap := newResponder(t, Options{}), newSnapshot(t)
	var group sync.WaitGroup
	for range 4 {
		clone := r.Clone()
		group.Go(func() {
			out := make([]byte, 1232)
			for _, question := range []string{"mail.shop.example. MX", "chain.shop.example. A", "gone.shop.example. A",
				"x.wild.shop.example. TXT", "a.sub.shop.example. A", "www.shop.example. A"} {
				req := newQuery(t, question)
				for range 50 {
					if answer, _ := clone.Respond(snap, nil, req, resolver, UDP, 0, out); answer == nil {
						t.Error("no answer")
					}
				}
			}
		})
	}
	group.Wait()
}

// A snapshot whose parts do not fit together is a fault of ours, and no reason to deny that the name exists.
func TestMismatchedSnapshot(t *testing.T) {
	r, snap, out := newResponder(t, Options{}), newSnapshot(t), make([]byte, 1232)
	empty, err := steer.Compile(steer.Inputs{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, plan := range []*steer.Plan{nil, empty} {
		answer, meta := r.Respond(&Snapshot{Zones: snap.Zones, Plan: plan}, nil, newQuery(t, "toshop.shop.example. A"), resolver,
			UDP, 0, out)
		want(t, unpack(t, answer), "SERVFAIL rd")
		if meta.Service != "" {
			t.Errorf("meta is %+v", meta)
		}
	}
}

func TestRotation(t *testing.T) {
	r, snap, out := newResponder(t, Options{}), newSnapshot(t), make([]byte, 1232)
	first := map[string]int{}
	for turn := range uint32(10) {
		answer, _ := r.Respond(snap, nil, newQuery(t, "rr.shop.example. A"), resolver, UDP, turn, out)
		first[unpack(t, answer).Answer[0].(*dns.A).A.String()]++
	}
	if first[usV4] != 5 || first[euV4] != 5 {
		t.Errorf("first addresses: %v", first)
	}
}

func TestChaos(t *testing.T) {
	snap, out := newSnapshot(t), make([]byte, 512)
	named := newResponder(t, Options{Version: "meridian", Hostname: strings.Repeat("h", 255)})
	silent := newResponder(t, Options{})
	for question, text := range map[string]string{
		"version.bind. TXT CH":   `meridian`,
		"VERSION.Server. TXT CH": `meridian`,
		"hostname.bind. TXT CH":  strings.Repeat("h", 255),
		"id.server. TXT CH":      strings.Repeat("h", 255), // RFC 4892 section 3
		"authors.bind. TXT CH":   "",
		"version.bind. A CH":     "",
		"version.bind. TXT IN":   "",
	} {
		answer, _ := named.Respond(snap, nil, newQuery(t, question), resolver, UDP, 0, out)
		if m := unpack(t, answer); text == "" {
			want(t, m, "REFUSED rd")
		} else {
			want(t, m, "NOERROR aa rd", "an "+strings.Fields(question)[0]+` 0 CH TXT "`+text+`"`)
		}
		answer, _ = silent.Respond(snap, nil, newQuery(t, question), resolver, UDP, 0, out)
		want(t, unpack(t, answer), "REFUSED rd")
	}
}
