package drill

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gtm/meridian/health"
)

// Never stands for a time that did not come.
const Never = time.Duration(-1)

// Timeline is what was seen during a drill. All times are since Start.
type Timeline struct {
	Start   time.Time     `json:"start"`
	Broken  time.Duration `json:"broken"` // first fault or operation
	Healed  time.Duration `json:"healed"` // everything
	End     time.Duration `json:"end"`
	Target  []string      `json:"target"` // sites that the drill breaks, sorted; they may be held down
	Sites   []Site        `json:"sites"`
	Clients []Client      `json:"clients"`
	Faults  []FaultSpan   `json:"faults"`
	Nodes   []NodeLine    `json:"nodes"`
	Series  []Series      `json:"series"` // one for every node and client
}

// Site is what a timeline needs to know of a site.
type Site struct {
	Name     string `json:"name"`
	Capacity uint64 `json:"capacity"` // 0 = not stated
}

// Client is a network in which clients are.
type Client struct {
	Prefix netip.Prefix `json:"prefix"` // sent as EDNS Client Subnet
	Label  string       `json:"label,omitempty"`
	Weight float64      `json:"weight"` // share of the demand relative to the others; above 0
}

// FaultSpan is a fault and when it acted.
type FaultSpan struct {
	Fault Fault         `json:"fault"`
	From  time.Duration `json:"from"`
	To    time.Duration `json:"to"`
}

// NodeLine is what one node said about itself and its view.
type NodeLine struct {
	Name string `json:"name"`
	Site string `json:"site"` // datacenter
	// Dead says that a fault killed or stopped the node for a time: silence is no surprise then.
	Dead   bool          `json:"dead,omitempty"`
	Levels []LevelChange `json:"levels"` // the first entry of each site is how it was before
	Plans  []PlanChange  `json:"plans"`
	Seen   []Sighting    `json:"seen"` // when its own probes took a site down
}

// LevelChange is a site's level and weight from a time on.
type LevelChange struct {
	At     time.Duration `json:"at"`
	Site   string        `json:"site"`
	Level  health.Level  `json:"level"`
	Weight uint16        `json:"weight"` // permille
}

// PlanChange is what a node answered with from a time on.
type PlanChange struct {
	At    time.Duration `json:"at"`
	Epoch string        `json:"epoch"`
	Mode  string        `json:"mode"`
}

// Sighting is an observer's first own opinion that a site is down.
type Sighting struct {
	At   time.Duration `json:"at"`
	Site string        `json:"site"`
}

// Series is what one node answered one client.
type Series struct {
	Node   string  `json:"node"`
	Client int     `json:"client"` // index in Timeline.Clients
	Spells []Spell `json:"spells"` // in order of time, no two neighbours alike
}

// Spell is equal answers in a row.
type Spell struct {
	From  time.Duration `json:"from"`
	To    time.Duration `json:"to"` // the last of them
	Sites []string      `json:"sites,omitempty"`
	TTL   uint32        `json:"ttl"` // seconds
	Fault Verdict       `json:"fault,omitempty"`
	Count int           `json:"count"`
}

// Verdict says what is wrong with an answer; "" = it has addresses.
type Verdict string

// What can be wrong with an answer.
const (
	Good       Verdict = ""
	Empty      Verdict = "empty"      // NOERROR without an address
	NXDomain   Verdict = "NXDOMAIN"   //
	ServFail   Verdict = "SERVFAIL"   //
	OtherRcode Verdict = "rcode"      // any other response code
	Unanswered Verdict = "unanswered" // nothing came in time
)

// Answer is one answer, or the lack of it.
type Answer struct {
	Sites []string // named by its addresses, sorted; an address of no site stands for itself
	TTL   uint32   // seconds, the least
	Fault Verdict
}

func (r *Spell) answer() Answer { return Answer{Sites: r.Sites, TTL: r.TTL, Fault: r.Fault} }

// same compares what clients get, the TTL left out: it counts down in no authoritative answer, but changes with
// every doubt about a site.
func (a Answer) same(b Answer) bool { return a.Fault == b.Fault && slices.Equal(a.Sites, b.Sites) }

func (a Answer) String() string {
	if a.Fault != Good {
		return string(a.Fault)
	}
	return strings.Join(a.Sites, "+")
}

// add enters an answer that came at a time. Times do not go back.
func (s *Series) add(at time.Duration, a Answer) {
	if n := len(s.Spells); n > 0 {
		if last := &s.Spells[n-1]; last.answer().same(a) && last.TTL == a.TTL {
			last.To, last.Count = at, last.Count+1
			return
		}
	}
	s.Spells = append(s.Spells, Spell{From: at, To: at, Sites: a.Sites, TTL: a.TTL, Fault: a.Fault, Count: 1})
}

// at returns the good answer that held at a time: the last before it, or the first of all.
func (s *Series) at(t time.Duration) (Answer, bool) {
	found := -1
	for i := range s.Spells {
		if s.Spells[i].Fault != Good {
			continue
		}
		if s.Spells[i].From > t && found >= 0 {
			break
		}
		found = i
	}
	if found < 0 {
		return Answer{}, false
	}
	return s.Spells[found].answer(), true
}

// before returns the last good answer before anything was broken.
func (t *Timeline) before(s *Series) (Answer, bool) { return s.at(t.Broken) }
