package tour

import (
	"context"
	"sync"
	"time"

	"github.com/meridian-gtm/meridian/demo/lab"
)

// every is the pause between two rounds of questions: 20 a second to every node for every city.
const every = 50 * time.Millisecond

// watch keeps asking every node for every city and remembers what was answered when.
type watch struct {
	lab *lab.Lab

	mu      sync.Mutex
	answers map[pair]answer
	last    map[sighting]time.Time // when a node last gave a site to anybody
	changed chan struct{}
}

type pair struct{ member, city string }

type sighting struct{ member, site string }

// answer is the latest one that a node gave a city.
type answer struct {
	Site string
	Addr string
	TTL  uint32
	At   time.Time
}

func newWatch(l *lab.Lab) *watch {
	return &watch{lab: l, answers: map[pair]answer{}, last: map[sighting]time.Time{}, changed: make(chan struct{}, 1)}
}

// run asks until ctx ends.
func (w *watch) run(ctx context.Context) {
	var group sync.WaitGroup
	for _, m := range w.lab.Members {
		group.Go(func() {
			ticker := time.NewTicker(every)
			defer ticker.Stop()
			for {
				for _, c := range w.lab.Clients {
					w.ask(ctx, m, c)
				}
				select {
				case <-ticker.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	group.Wait()
}

func (w *watch) ask(ctx context.Context, m lab.Member, c lab.Client) {
	r, err := w.lab.Ask(ctx, m, lab.Host, c)
	if err != nil || len(r.Addrs) == 0 {
		return // the ledger has it
	}
	now := time.Now()
	a := answer{Site: w.lab.SiteOf(r.Addrs[0]), Addr: r.Addrs[0].String(), TTL: r.TTL, At: now}
	w.mu.Lock()
	w.answers[pair{m.Name, c.City}] = a
	w.last[sighting{m.Name, a.Site}] = now
	w.mu.Unlock()
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// get returns what a node answered a city last.
func (w *watch) get(m lab.Member, c lab.Client) answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answers[pair{m.Name, c.City}]
}

// lastSeen returns when a node last gave site to anybody.
func (w *watch) lastSeen(m lab.Member, site string) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last[sighting{m.Name, site}]
}

// until waits for cond, which is asked after every answer that came in after the call.
func (w *watch) until(ctx context.Context, within time.Duration, cond func() bool) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	for {
		select {
		case <-w.changed:
			if cond() {
				return true
			}
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}
