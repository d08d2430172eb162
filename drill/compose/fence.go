package compose

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// fence is a packet filter inside one container's network. What it matches is in a set whose elements the kernel takes out
// when their time is over, so that no program has to be alive for it to end.
type fence struct {
	table string        // of its own
	match []netip.Addr  // IPv4
	lasts time.Duration // of each element
	rules []rule
}

// rule is what becomes of packets in one direction.
type rule struct {
	hook string // "input", "output" or "prerouting" of the container
	when string // "ip saddr" or "ip daddr": which address has to match
	then string // "drop", ...
}

// text writes the filter in nft's language.
func (f fence) text() string {
	var b strings.Builder
	elements := make([]string, len(f.match))
	for i, a := range f.match {
		elements[i] = fmt.Sprintf("%s timeout %dms", a, f.lasts.Milliseconds())
	}
	fmt.Fprintf(&b, "table inet %s {\n\tset matched {\n\t\ttype ipv4_addr\n\t\tflags timeout\n\t\telements = { %s }\n\t}\n", f.table, strings.Join(elements, ", "))
	for i, r := range f.rules {
		// Before every other filter, so that nothing is let through on the way.
		kind, priority := "filter", -300
		if r.hook == "prerouting" {
			kind, priority = "nat", -100 // where destinations are changed
		}
		fmt.Fprintf(&b, "\tchain c%d {\n\t\ttype %s hook %s priority %d\n\t\t%s @matched %s\n\t}\n", i, kind, r.hook, priority, r.when, r.then)
	}
	b.WriteString("}\n")
	return b.String()
}

// gone takes the filter away, whether it is there or not.
func (f fence) gone() string { return fmt.Sprintf("table inet %s\ndelete table inet %[1]s\n", f.table) }

// cut drops everything to and from the addresses.
var cut = []rule{{"input", "ip saddr", "drop"}, {"output", "ip daddr", "drop"}}

// unreachable drops what is sent to the addresses: what comes from there still comes.
var unreachable = []rule{{"output", "ip daddr", "drop"}}

// lossy drops a share of what arrives for the addresses.
func lossy(percent int) []rule {
	return []rule{{"input", "ip daddr", fmt.Sprintf("numgen random mod 100 < %d drop", percent)}}
}

// refusing answers every connection to the addresses with a reset.
var refusing = []rule{{"input", "ip daddr", "meta l4proto tcp reject with tcp reset"}}

// delayPort is where connections are delayed, inside a director's network.
const delayPort = 17171

// delayed sends new connections to the addresses through [Delay].
var delayed = []rule{{"prerouting", "ip daddr", fmt.Sprintf("meta l4proto tcp redirect to :%d", delayPort)}}
