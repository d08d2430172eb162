package wire

import "github.com/miekg/dns"

// chaos answers the server identification names of class CHAOS, TXT only (RFC 4892 and BIND's convention).
// Everything else in the class is refused.
func (r *Responder) chaos() (rcode uint16) {
	if r.query.qtype != dns.TypeTXT && r.query.qtype != dns.TypeANY {
		return dns.RcodeRefused
	}
	name, err := canonical(r.query.name())
	if err != nil {
		return dns.RcodeFormatError
	}
	var text string
	switch name {
	case "version.bind.", "version.server.":
		text = r.version
	case "hostname.bind.", "id.server.":
		text = r.hostname
	}
	if text == "" {
		return dns.RcodeRefused
	}
	r.reply.flags |= flagsAA
	r.reply.addRaw(dns.TypeTXT, dns.ClassCHAOS, 0, text)
	return dns.RcodeSuccess
}
