package probe

import (
	"context"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/meridian-gtm/meridian/health"
)

// Options of a prober. The zero value is ready to use.
type Options struct {
	// Dial opens the connections of probes; nil = the network.
	Dial DialFunc
	// Concurrency is how many probes may be under way at once; further ones wait their turn. 0 = 512.
	Concurrency int
	// Witnesses are third parties that accept TCP connections; none = Witnessed is always false.
	Witnesses []netip.AddrPort
	// WitnessInterval is the time between two rounds of asking them, and what each may take to answer. 0 = 2 s.
	WitnessInterval time.Duration
	// Logger takes changes of opinion and stalls of this machine; nil discards.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Dial == nil {
		o.Dial = dialer.DialContext
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 512
	}
	if o.WitnessInterval <= 0 {
		o.WitnessInterval = 2 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Prober keeps an observer of every target. Its methods are safe for concurrent use; none waits for a probe.
type Prober struct {
	opts    Options
	begin   time.Time     // origin of the observers' time
	changed chan struct{} // something to publish
	kick    chan struct{} // for Run: a wake has moved, or a probe waits

	mu        sync.Mutex
	observers map[health.Target]*observer
	sorted    []*observer // by target
	wakes     wakes
	ready     []*observer // wait for a probe, in the order of becoming due
	running   int         // probes under way
	round     bool        // all targets have been probed once
	routed    [2]routes   // by family: v4, v6
	witness   witness
	counts    map[countKey]uint64
	stalls    uint64
}

// observer is the observer of one target and its place in the schedule.
type observer struct {
	Target
	state  health.ObserverState
	begun  bool          // has had its first tick
	gone   bool          // no longer a target: what is under way is dropped
	wake   time.Duration // next tick
	index  int           // in Prober.wakes
	queued []time.Duration
	lost   time.Duration // since when no probe has found a route; 0 = routed
}

// job is a probe to make.
type job struct {
	of      *observer
	target  Target        // of the observer when the probe began
	started time.Duration // time of the step that asked for it
}

// New makes a prober of targets. It does nothing until [Prober.Run].
func New(targets []Target, o Options) *Prober {
	p := &Prober{
		opts: o.withDefaults(), begin: time.Now(),
		changed: make(chan struct{}, 1), kick: make(chan struct{}, 1),
		observers: map[health.Target]*observer{}, counts: map[countKey]uint64{},
	}
	p.witness.addrs = slices.Clone(o.Witnesses)
	p.Update(targets)
	return p
}

// now is the observers' time: monotonic, 0 at New.
func (p *Prober) now() time.Duration { return time.Since(p.begin) }

// Run probes until ctx ends, waits for the probes under way to notice, and returns nil. It must be called once.
func (p *Prober) Run(ctx context.Context) error {
	var probes sync.WaitGroup
	defer probes.Wait()
	probes.Go(func() { p.watchWitnesses(ctx) })
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-p.kick:
		}
		for {
			j, ok := p.next()
			if !ok {
				break
			}
			probes.Go(func() { p.finish(j, probe(ctx, p.opts.Dial, j.target)) })
		}
		timer.Reset(p.untilWake())
	}
}

// Update replaces the targets. One whose address and definition stay keeps its observer, whatever its pace becomes;
// the others begin anew or end.
func (p *Prober) Update(targets []Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	next := make(map[health.Target]*observer, len(targets))
	for _, t := range targets {
		o := p.observers[t.ID]
		if o == nil || !sameDefinition(o.Target, t) {
			o = &observer{wake: now}
			p.wakes.add(o)
		}
		needed := o.Policy.Needed
		o.Target = t
		o.Policy.Needed = needed || t.Policy.Needed
		next[t.ID] = o
	}
	for id, o := range p.observers {
		if next[id] != o {
			o.gone = true
			p.wakes.remove(o)
		}
	}
	p.ready = slices.DeleteFunc(p.ready, func(o *observer) bool { return o.gone })
	p.observers = next
	p.sorted = p.sorted[:0]
	for _, o := range next {
		p.sorted = append(p.sorted, o)
	}
	slices.SortFunc(p.sorted, func(a, b *observer) int { return a.ID.Compare(b.ID) })
	signal(p.changed)
	signal(p.kick)
}

// sameDefinition reports whether a and b probe the same thing in the same way, at whatever pace.
func sameDefinition(a, b Target) bool {
	a.Check.Timing, b.Check.Timing = health.Timing{}, health.Timing{}
	return a.Addr == b.Addr && reflect.DeepEqual(a.Check, b.Check)
}

// Poke tells the observer of t that a peer has begun to suspect it, so that it looks now. Unknown targets are ignored.
func (p *Prober) Poke(t health.Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.observers[t]; o != nil && o.begun {
		p.step(o, health.Event{Kind: health.EventAlert}, p.now())
		signal(p.kick)
	}
}

// Needed says whether t's pool is short without it, which waives the wait before its return. Unknown targets are
// ignored.
func (p *Prober) Needed(t health.Target, needed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.observers[t]; o != nil {
		o.Policy.Needed = needed
	}
}

// Changed yields a value when there is something new to publish: an opinion, the end of the first round, the word of
// the witnesses. Several changes may be one value; there is one reader.
func (p *Prober) Changed() <-chan struct{} { return p.changed }

// Evidence returns what the observers say now, sorted by target.
func (p *Prober) Evidence() []health.TargetEvidence {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	out := make([]health.TargetEvidence, len(p.sorted))
	for i, o := range p.sorted {
		out[i] = o.state.Evidence(o.ID, now, o.Policy)
	}
	return out
}

// Round reports whether every target has been probed once since New. It stays true: targets that come later do not
// make the others' evidence worth less.
func (p *Prober) Round() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.round
}

// Progress returns how many of the targets have been probed.
func (p *Prober) Progress() (probed, targets int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.probed(), len(p.sorted)
}

func (p *Prober) probed() (n int) {
	for _, o := range p.sorted {
		if o.state.Probed() {
			n++
		}
	}
	return n
}

// signal leaves a value in a channel of one, unless there is one already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
