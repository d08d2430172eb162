package tap

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

// Exchange is one query and what became of it. What it points to is valid until the sink returns.
type Exchange struct {
	Time      time.Time // when the query was read, for all of a batch
	Client    netip.AddrPort
	Server    netip.AddrPort // that the query came to; the zero AddrPort when the socket serves every address
	Subnet    netip.Prefix   // client subnet that was honoured (RFC 7871); not valid when there was none
	Transport wire.Transport
	Meta      wire.Meta

	// Query is nil when it is longer than 2 KiB, and may end behind its question where no sink needs more.
	Query []byte
	// Sent says that the query was answered: it was a query, and no rate limit dropped the answer.
	Sent bool
	// Answer is nil when nothing was sent, and when query and answer are longer than 2 KiB together, as only some over
	// TCP are. It has no edns-tcp-keepalive option (RFC 7828): that is added for the connection.
	Answer []byte
}

// Name returns the name that the query is about, fully qualified and in lower case. ok is false when it cannot be read.
func (x *Exchange) Name() (name string, ok bool) {
	const header = 12
	if len(x.Query) <= header {
		return "", false
	}
	name, _, err := dns.UnpackDomainName(x.Query, header)
	return dns.CanonicalName(name), err == nil
}

// Sink gets exchanges. Take is called by one goroutine and must not wait.
type Sink interface {
	Take(x *Exchange)
}

// Runner is a [Sink] with something to do beside: Run is called by a goroutine of its own when the tap runs, and its
// context ends when the last exchange was taken.
type Runner interface {
	Run(ctx context.Context)
}

// Output is a sink and how much it gets.
type Output struct {
	Sink   Sink
	Sample int // one of so many queries, 1..1,000,000
	// Question says that the sink needs no answers, and of queries no more than the question. If all do, rings are small.
	Question bool
}

// maxOutputs is how many sinks a slot can name.
const maxOutputs = 8

// Tap hands exchanges from a server to sinks.
type Tap struct {
	outputs []Output
	room    int           // of a slot, octets
	wake    chan struct{} // a ring is half full
	lost    atomic.Uint64

	mu    sync.Mutex // guards rings
	rings []*ring
}

// New reports every output that is out of range. Without outputs it returns nil, which is no tap.
func New(outputs ...Output) (*Tap, error) {
	var errs []error
	for i, o := range outputs {
		if o.Sample < 1 || o.Sample > 1_000_000 {
			errs = append(errs, fmt.Errorf("tap: output %d: sample %d: want 1..1000000", i, o.Sample))
		}
	}
	if len(outputs) > maxOutputs {
		errs = append(errs, fmt.Errorf("tap: %d outputs: want at most %d", len(outputs), maxOutputs))
	}
	if len(errs) > 0 || len(outputs) == 0 {
		return nil, errors.Join(errs...)
	}
	t := &Tap{outputs: outputs, room: questionSize, wake: make(chan struct{}, 1)}
	for _, o := range outputs {
		if !o.Question {
			t.room = wholeSize
		}
	}
	return t, nil
}

// Lost returns how many exchanges were lost because the sinks were slower than the queries.
func (t *Tap) Lost() uint64 { return t.lost.Load() }

// drainEvery is how long an exchange waits at most.
const drainEvery = 25 * time.Millisecond

// Run hands exchanges to the sinks until ctx ends, then those that are left, and ends when the last [Runner] has.
func (t *Tap) Run(ctx context.Context) {
	var runners sync.WaitGroup
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	for _, o := range t.outputs {
		if r, ok := o.Sink.(Runner); ok {
			runners.Go(func() { r.Run(running) })
		}
	}
	defer runners.Wait()
	defer stop()
	ticker := time.NewTicker(drainEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ticker.C:
		case <-t.wake:
		case <-ctx.Done():
		}
		t.drain()
	}
	t.drain()
}

// drain empties the rings.
func (t *Tap) drain() {
	t.mu.Lock()
	rings := t.rings
	t.mu.Unlock()
	var x Exchange
	for _, r := range rings {
		for s := r.next(); s != nil; s = r.next() {
			s.read(&x)
			for i, o := range t.outputs {
				if s.wanted>>i&1 == 1 {
					o.Sink.Take(&x)
				}
			}
			r.free(s)
		}
	}
}

func (s *slot) read(x *Exchange) {
	*x = Exchange{
		Time: time.Unix(0, s.time), Client: s.client, Server: s.server, Subnet: s.subnet, Transport: s.transport,
		Meta: s.meta, Sent: s.sent,
	}
	if s.query > 0 {
		x.Query = s.room[:s.query:s.query]
	}
	if s.answer > 0 {
		x.Answer = s.room[s.query : s.query+s.answer]
	}
}

// Feed is a ring that points write to.
type Feed struct {
	tap  *Tap
	ring *ring
}

// NewFeed adds a ring, for one goroutine or for several. A nil tap has a nil feed.
func (t *Tap) NewFeed() *Feed {
	if t == nil {
		return nil
	}
	r := newRing(t.room)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rings = append(t.rings[:len(t.rings):len(t.rings)], r)
	return &Feed{tap: t, ring: r}
}
