package drill

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/health"
)

const (
	// askEvery is the pause between two rounds of questions to a node.
	askEvery = 45 * time.Millisecond
	// lookEvery is the longest pause between two looks at a node's status; an event makes the next one at once.
	lookEvery = 150 * time.Millisecond
)

// Told is an event of a node.
type Told struct {
	At   time.Duration `json:"at"`
	Node string        `json:"node"`
	Kind string        `json:"kind"`
	Text string        `json:"text"`
}

// mostTold bounds the events that a report keeps.
const mostTold = 500

// watcher gathers a timeline.
type watcher struct {
	fleet   Fleet
	siteOf  map[netip.Addr]string
	target  []string
	start   time.Time
	lenient bool // load may exceed capacity

	mu       sync.Mutex
	line     Timeline
	told     []Told
	dead     map[string]bool // nodes that the drill has killed
	good     []time.Time     // by node: its last good answer
	latest   [][]Answer      // by node and client
	refused  map[string]bool // nodes whose last reload was refused
	over     time.Time       // since when a site has been overloaded; zero = none is
	breach   string
	breached chan struct{} // closed at the first breach
}

func newWatcher(o Options, sites []Site, status *control.Status, target []string, start time.Time) *watcher {
	w := &watcher{
		fleet: o.Fleet, siteOf: map[netip.Addr]string{}, target: target, start: start, lenient: o.Force,
		dead: map[string]bool{}, refused: map[string]bool{}, breached: make(chan struct{}),
	}
	for _, s := range status.Sites {
		for _, a := range []netip.Addr{s.V4, s.V6} {
			if a.IsValid() {
				w.siteOf[a] = s.Site
			}
		}
	}
	w.line = Timeline{Start: start, Target: target, Sites: sites, Clients: o.Fleet.Clients}
	for _, n := range o.Fleet.Nodes {
		w.line.Nodes = append(w.line.Nodes, NodeLine{Name: n.Name, Site: n.Site})
		w.good = append(w.good, start)
		w.latest = append(w.latest, make([]Answer, len(o.Fleet.Clients)))
		for c := range o.Fleet.Clients {
			w.line.Series = append(w.line.Series, Series{Node: n.Name, Client: c})
		}
	}
	return w
}

// run watches until ctx ends.
func (w *watcher) run(ctx context.Context) error {
	var group sync.WaitGroup
	faults := make(chan error, len(w.fleet.Nodes))
	for i, n := range w.fleet.Nodes {
		a := &asker{
			server: n.DNS, name: w.fleet.Name, clients: w.fleet.Clients,
			siteOf: func(addr netip.Addr) string { return w.siteOf[addr] },
			note:   func(client int, at time.Time, a Answer) { w.note(i, client, at, a) },
		}
		group.Go(func() { faults <- a.run(ctx, askEvery) })
		if n.API != nil {
			kick := make(chan struct{}, 1)
			group.Go(func() { w.look(ctx, i, kick) })
			group.Go(func() { w.listen(ctx, i, kick) })
		}
	}
	group.Wait()
	close(faults)
	for err := range faults {
		if err != nil {
			return err
		}
	}
	return nil
}

// note enters one answer.
func (w *watcher) note(node, client int, at time.Time, a Answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := w.fleet.Nodes[node].Name
	w.line.Series[node*len(w.fleet.Clients)+client].add(at.Sub(w.start), a)
	switch a.Fault {
	case Good:
		w.good[node] = at
		w.latest[node][client] = a
		w.weigh(at)
	case Unanswered:
		if !w.dead[name] && at.Sub(w.good[node]) > silentFor {
			w.fail("%s has answered nothing for %v", name, silentFor)
		}
	default:
		w.fail("%s answered %s to %s", name, a.Fault, w.fleet.Clients[client].Prefix)
	}
}

// look follows a node's status until ctx ends.
func (w *watcher) look(ctx context.Context, node int, kick <-chan struct{}) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, 2*time.Second)
		s, err := w.fleet.Nodes[node].API.Status(asking)
		cancel()
		if err == nil {
			w.enter(node, s, time.Now())
		}
		select {
		case <-kick:
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// enter adds what changed in a node's status.
func (w *watcher) enter(node int, s *control.Status, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := now.Sub(w.start)
	n := &w.line.Nodes[node]
	for _, site := range s.Sites {
		i := len(n.Levels) - 1
		for i >= 0 && n.Levels[i].Site != site.Site {
			i--
		}
		if i < 0 || n.Levels[i].Level != site.Level || n.Levels[i].Weight != site.Weight {
			n.Levels = append(n.Levels, LevelChange{at, site.Site, site.Level, site.Weight})
		}
		for _, o := range site.Observers {
			if o.State == health.StateDown.String() {
				w.sight(o.Node, site.Site, at-o.Age)
			}
		}
	}
	if i := len(n.Plans) - 1; i < 0 || n.Plans[i].Epoch != s.Epoch || n.Plans[i].Mode != s.Mode {
		n.Plans = append(n.Plans, PlanChange{at, s.Epoch, s.Mode})
	}
	w.refused[s.Node] = s.Config.LastError != ""
}

// sight enters an observer's opinion that a site is down, once.
func (w *watcher) sight(observer, site string, at time.Duration) {
	for i := range w.line.Nodes {
		n := &w.line.Nodes[i]
		if n.Name != observer {
			continue
		}
		// The age of an opinion is told with the pauses between heartbeats: half a second tells two falls apart.
		known := func(s Sighting) bool { return s.Site == site && (s.At-at).Abs() < 500*time.Millisecond }
		if !slices.ContainsFunc(n.Seen, known) {
			n.Seen = append(n.Seen, Sighting{at, site})
		}
	}
}

// listen keeps what a node tells, and has its status looked at when it does.
func (w *watcher) listen(ctx context.Context, node int, kick chan<- struct{}) {
	after := uint64(0)
	for first := true; ctx.Err() == nil; {
		_ = w.fleet.Nodes[node].API.Events(ctx, after, true, func(e control.Event) error {
			after = e.ID
			if e.Time.Before(w.start) && first {
				return nil
			}
			w.tell(w.fleet.Nodes[node].Name, e.Kind, e.Text)
			select {
			case kick <- struct{}{}:
			default:
			}
			return nil
		}) // it ends when the node does
		first, after = false, 0
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
		}
	}
}

func (w *watcher) tell(node, kind, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.told) < mostTold {
		w.told = append(w.told, Told{time.Since(w.start), node, kind, text})
	}
}

// die marks a node whose silence is meant.
func (w *watcher) die(site string, dead bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.line.Nodes {
		if n := &w.line.Nodes[i]; n.Site == site {
			w.dead[n.Name] = dead
			n.Dead = n.Dead || dead
			w.good[i] = time.Now()
		}
	}
}

// restored says that every client is answered as before the first fault, and that all nodes agree on sites that are
// up with their full weight.
func (w *watcher) restored() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.line.Series {
		series := &w.line.Series[i]
		was, known := w.line.before(series)
		if n := len(series.Spells); known && (n == 0 || !series.Spells[n-1].answer().same(was)) {
			return false
		}
	}
	epoch := ""
	for i := range w.line.Nodes {
		n := &w.line.Nodes[i]
		if len(n.Plans) == 0 {
			continue
		}
		p := n.Plans[len(n.Plans)-1]
		if p.Mode != string(health.ModeNormal) || epoch != "" && p.Epoch != epoch {
			return false
		}
		epoch = p.Epoch
		last := map[string]LevelChange{}
		for _, c := range n.Levels {
			last[c.Site] = c
		}
		for _, c := range last {
			if c.Level != health.Up || c.Weight != health.FullWeight {
				return false
			}
		}
	}
	return true
}

// refusedBy says that the nodes of a site refused the last reload.
func (w *watcher) refusedBy(site string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	any := false
	for _, n := range w.fleet.Nodes {
		if n.Site == site && n.API != nil {
			if any = true; !w.refused[n.Name] {
				return false
			}
		}
	}
	return any
}

// snapshot returns the timeline as it is, and what the nodes told.
func (w *watcher) snapshot() (Timeline, []Told, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.line, w.told, w.breach
}

// mark changes the timeline.
func (w *watcher) mark(f func(*Timeline)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.line)
}
