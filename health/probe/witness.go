package probe

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// witness is the word of the witnesses.
type witness struct {
	addrs  []netip.AddrPort
	asked  bool          // a round has ended
	answer bool          // one of them answered in it
	at     time.Duration // when it ended
	heard  time.Duration // end of the latest round with an answer
	ever   bool          // there has been one
}

// Watch replaces the witnesses. What the old ones said stands until the next round.
func (p *Prober) Watch(witnesses []netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.witness.addrs = slices.Clone(witnesses)
	if len(witnesses) == 0 {
		p.witness = witness{}
	}
}

// Witnessed reports whether any witness answers. It is false before the first round and without witnesses, and turns
// false within two WitnessIntervals of the last of them falling silent.
func (p *Prober) Witnessed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.witness.answer && p.now()-p.witness.at <= 3*p.opts.WitnessInterval
}

// WitnessAge returns how long ago a witness last answered; ok is false when none ever has.
func (p *Prober) WitnessAge() (age time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now() - p.witness.heard, p.witness.ever
}

// watchWitnesses asks the witnesses until ctx ends.
func (p *Prober) watchWitnesses(ctx context.Context) {
	ticker := time.NewTicker(p.opts.WitnessInterval)
	defer ticker.Stop()
	for {
		p.mu.Lock()
		addrs := p.witness.addrs
		p.mu.Unlock()
		if len(addrs) > 0 {
			answer := p.ask(ctx, addrs)
			if ctx.Err() != nil {
				return
			}
			p.hear(answer)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// hear notes the end of a round.
func (p *Prober) hear(answer bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &p.witness
	if len(w.addrs) == 0 {
		return // they were taken away meanwhile
	}
	news := !w.asked || w.answer != answer
	w.asked, w.answer, w.at = true, answer, p.now()
	if answer {
		w.heard, w.ever = w.at, true
	}
	if news {
		p.opts.Logger.Info("witnesses", "answer", answer)
		signal(p.changed)
	}
}

// ask reports whether any of addrs accepts a connection. It returns with the first that does.
func (p *Prober) ask(ctx context.Context, addrs []netip.AddrPort) bool {
	ctx, cancel := context.WithTimeout(ctx, p.opts.WitnessInterval)
	defer cancel()
	answers := make(chan bool, len(addrs))
	var asking sync.WaitGroup
	for _, addr := range addrs {
		asking.Go(func() {
			network := "tcp4"
			if addr.Addr().Is6() {
				network = "tcp6"
			}
			conn, err := p.opts.Dial(ctx, network, addr.String())
			if err == nil {
				conn.Close()
			}
			answers <- err == nil
		})
	}
	defer asking.Wait()
	for range addrs {
		if <-answers {
			cancel()
			return true
		}
	}
	return false
}
