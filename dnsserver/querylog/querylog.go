package querylog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/dnsserver/tap"
	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

// Options of a [Log].
type Options struct {
	File   string // is appended to; "" = Stderr
	Sample int    // that the tap takes, written into every line
	MaskV4 int    // bits that are kept of IPv4 clients, 8..32
	MaskV6 int    // of IPv6 ones, 16..128
	Logger *slog.Logger
	Stderr io.Writer // nil = the process's
}

// Log is a sink of a tap.
type Log struct {
	*tap.Outlet
	opts Options
}

var _ tap.Runner = (*Log)(nil)

// New reports every option that is out of range. It opens nothing until it runs.
func New(o Options) (*Log, error) {
	var errs []error
	if o.MaskV4 < 8 || o.MaskV4 > 32 {
		errs = append(errs, fmt.Errorf("query log: mask v4: %d: want 8..32", o.MaskV4))
	}
	if o.MaskV6 < 16 || o.MaskV6 > 128 {
		errs = append(errs, fmt.Errorf("query log: mask v6: %d: want 16..128", o.MaskV6))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	name, open := "stderr", func(context.Context) (io.WriteCloser, error) { return keepOpen{o.Stderr}, nil }
	if o.File != "" {
		name, open = o.File, func(context.Context) (io.WriteCloser, error) { return appendTo(o.File) }
	}
	return &Log{Outlet: tap.NewOutlet(name, open, o.Logger), opts: o}, nil
}

type keepOpen struct{ io.Writer }

func (keepOpen) Close() error { return nil }

// appendTo opens a file at its end. A line that was cut short, by a full disk say, is ended. Only the user of this
// process and its group may read it.
func appendTo(path string) (io.WriteCloser, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		var last [1]byte
		if _, err = f.ReadAt(last[:], info.Size()-1); err == nil && last[0] != '\n' {
			_, err = f.Write([]byte{'\n'})
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// line is one query. What does not apply is left out.
type line struct {
	Time      time.Time     `json:"time"`
	Client    netip.Prefix  `json:"client"`
	ECS       *netip.Prefix `json:"ecs,omitempty"`
	Name      string        `json:"name"`
	Type      string        `json:"type"`
	Transport string        `json:"transport"`
	RCode     string        `json:"rcode"`
	Service   string        `json:"service,omitempty"`
	Cause     string        `json:"cause,omitempty"`
	Sites     []string      `json:"sites,omitempty"`
	TTL       *uint32       `json:"ttl,omitempty"`   // least of the answer section
	Scope     *uint8        `json:"scope,omitempty"` // of the client subnet in the answer
	Size      int           `json:"size,omitempty"`  // octets of the answer
	Truncated bool          `json:"truncated,omitempty"`
	Dropped   bool          `json:"dropped,omitempty"` // by a rate limit
	Sample    int           `json:"sample"`            // one of so many queries is logged
}

// Take implements [tap.Sink]. What was no query is not logged.
func (l *Log) Take(x *tap.Exchange) {
	name, ok := x.Name()
	if !ok {
		return
	}
	out := line{
		Time: x.Time.UTC().Truncate(time.Microsecond), Client: l.mask(x.Client.Addr().Unmap().WithZone(""), 128),
		Name: name, Type: dns.Type(x.Meta.Qtype).String(), Transport: x.Transport.String(), RCode: rcode(x.Meta.Rcode),
		Service: x.Meta.Service, Dropped: !x.Sent, Size: len(x.Answer), Sample: l.opts.Sample,
	}
	if x.Subnet.IsValid() {
		ecs := l.mask(x.Subnet.Addr(), x.Subnet.Bits())
		out.ECS = &ecs
	}
	if x.Meta.Service != "" {
		out.Cause, out.Sites = x.Meta.Cause.String(), sites(&x.Meta)
	}
	var answer dns.Msg
	if answer.Unpack(x.Answer) == nil && x.Answer != nil {
		out.Truncated = answer.Truncated
		for _, rr := range answer.Answer {
			if ttl := rr.Header().Ttl; out.TTL == nil || ttl < *out.TTL {
				out.TTL = &ttl
			}
		}
		out.Scope = scope(&answer)
	}
	b, err := json.Marshal(out)
	if err != nil {
		return // texts, numbers and prefixes: there is nothing that JSON cannot hold
	}
	l.Add(append(b, '\n'))
}

// mask cuts an address to a network that is no longer than bits.
func (l *Log) mask(a netip.Addr, bits int) netip.Prefix {
	most := l.opts.MaskV4
	if a.Is6() {
		most = l.opts.MaskV6
	}
	masked, _ := a.Prefix(min(bits, most)) // which either family has
	return masked
}

func rcode(n uint16) string {
	if name, ok := dns.RcodeToString[int(n)]; ok && n != dns.RcodeBadVers {
		return name
	} else if ok {
		return "BADVERS" // the library knows 16 by its TSIG name
	}
	return strconv.Itoa(int(n))
}

// sites names those answered, of the first [steer.MaxSites].
func sites(m *wire.Meta) (names []string) {
	if m.SiteNames == nil {
		return nil
	}
	for i, name := range (*m.SiteNames)[:min(len(*m.SiteNames), steer.MaxSites)] {
		if m.Sites>>i&1 == 1 {
			names = append(names, name)
		}
	}
	return names
}

func scope(answer *dns.Msg) *uint8 {
	opt := answer.IsEdns0()
	if opt == nil {
		return nil
	}
	for _, o := range opt.Option {
		if subnet, ok := o.(*dns.EDNS0_SUBNET); ok {
			return &subnet.SourceScope
		}
	}
	return nil
}
