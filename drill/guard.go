package drill

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	// silentFor is how long a living node may answer nobody.
	silentFor = 3 * time.Second
	// overloadFor is how long a site may be sent more than it carries.
	overloadFor = time.Second
)

// fail notes the first breach.
func (w *watcher) fail(format string, args ...any) {
	if w.breach == "" {
		w.breach = fmt.Sprintf(format, args...)
		close(w.breached)
	}
}

// weigh checks what the latest answers put on every site. Only fresh answers count here: caches are modelled later.
func (w *watcher) weigh(now time.Time) {
	if w.lenient {
		return
	}
	if site, part := overloaded(w.latest, w.fleet.Clients, w.line.Sites, w.target); site == "" {
		w.over = time.Time{}
	} else if w.over.IsZero() {
		w.over = now
	} else if now.Sub(w.over) > overloadFor {
		w.fail("%s is sent %.0f %% of its capacity", site, part*100)
	}
}

// overloaded returns the site with the largest load that is above its capacity; broken sites do not count.
func overloaded(latest [][]Answer, clients []Client, sites []Site, broken []string) (worst string, load float64) {
	sent := map[string]float64{}
	total := 0.0
	for _, answers := range latest {
		for c, a := range answers {
			for _, site := range a.Sites {
				sent[site] += clients[c].Weight / float64(len(a.Sites))
			}
			if len(a.Sites) > 0 {
				total += clients[c].Weight
			}
		}
	}
	capacity := 0.0
	for _, s := range sites {
		capacity += float64(s.Capacity)
	}
	for _, s := range sites {
		if s.Capacity == 0 || total == 0 || slices.Contains(broken, s.Name) {
			continue
		}
		if part := sent[s.Name] / total * capacity * Demand / 100 / float64(s.Capacity); part > 1.005 && part > load {
			worst, load = s.Name, part
		}
	}
	return worst, load
}

// glance says in a line what is answered now.
func (w *watcher) glance() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	sent := map[string]float64{}
	total := 0.0
	for _, answers := range w.latest {
		for c, a := range answers {
			if a.Fault == Good && len(a.Sites) > 0 {
				sent[a.String()] += w.fleet.Clients[c].Weight
				total += w.fleet.Clients[c].Weight
			}
		}
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		parts = append(parts, fmt.Sprintf("%s %.0f %%", name, sent[name]/total*100))
	}
	return strings.Join(parts, "  ")
}
