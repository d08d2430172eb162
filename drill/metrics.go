package drill

import (
	"fmt"
	"time"
)

// Metrics are the figures of a drill. Times are since the first fault, or since the heal where said; [Never] is what
// did not come true.
type Metrics struct {
	Detect    time.Duration `json:"detect"` // first observer that held a broken site down
	Detected  []NodeTime    `json:"detected"`
	Decide    time.Duration `json:"decide"` // last node that held a broken site down
	DecideP50 time.Duration `json:"decide_p50"`
	Decided   []NodeTime    `json:"decided"`
	Spread    time.Duration `json:"spread"`   // between the first node and the last
	LastOld   time.Duration `json:"last_old"` // last answer that named a site broken for all; of all nodes
	LastOlds  []NodeTime    `json:"last_olds"`

	// WrongSeconds is how long an average client was answered with a site that could not serve it.
	WrongSeconds float64 `json:"wrong_seconds"`

	FalsePulls  []string `json:"false_pulls"` // node and site: held down though not broken
	Moved       []string `json:"moved"`       // clients that were answered otherwise before the heal
	Transitions int      `json:"transitions"` // times that a broken site was pulled or taken back; most of any node and site

	Return   time.Duration `json:"return"`   // since the heal, until every node answered the broken sites again
	Restore  time.Duration `json:"restore"`  // since the heal, until every answer was as before for good
	Ramp     time.Duration `json:"ramp"`     // since the heal, until every node gave every site its full weight for good
	Converge time.Duration `json:"converge"` // since the heal, until all nodes had the same plan in normal mode for good
	Herd     float64       `json:"herd"`     // largest part of a site's clients that returned within a second, 0..1

	Impact Impact  `json:"impact"` // what clients with caches noticed, modelled
	Count  Count   `json:"count"`
	Rate   float64 `json:"rate"` // rounds of questions a second, of the slowest node
}

// NodeTime is a time of one node.
type NodeTime struct {
	Node string        `json:"node"`
	Took time.Duration `json:"took"`
}

// Count is what became of the queries.
type Count struct {
	Asked      int `json:"asked"`
	Empty      int `json:"empty"`
	NXDomain   int `json:"nxdomain"`
	ServFail   int `json:"servfail"`
	Other      int `json:"other"`
	Unanswered int `json:"unanswered"` // by nodes that were alive
	Dead       int `json:"dead"`       // unanswered by nodes that the drill killed
}

// Bad is the number of queries that left a client without an address although it asked a living node.
func (c Count) Bad() int { return c.Empty + c.NXDomain + c.ServFail + c.Other + c.Unanswered }

// String sums up for people.
func (c Count) String() string {
	text := fmt.Sprintf("%d queries: %d empty, %d NXDOMAIN, %d SERVFAIL, %d other, %d unanswered",
		c.Asked, c.Empty, c.NXDomain, c.ServFail, c.Other, c.Unanswered)
	if c.Dead > 0 {
		text += fmt.Sprintf(", and %d to a dead node", c.Dead)
	}
	return text
}

// Measure makes the figures of what was seen.
func Measure(t *Timeline, m Mix) Metrics {
	out := Metrics{
		Detect: Never, Decide: Never, DecideP50: Never, Spread: Never, LastOld: Never,
		Return: Never, Restore: Never, Ramp: Never, Converge: Never,
		FalsePulls: []string{}, Moved: []string{},
	}
	out.detection(t)
	out.answers(t)
	out.levels(t)
	out.recovery(t)
	out.Impact = t.impact(m)
	out.Count, out.Rate = t.count()
	return out
}

// count sums up the queries, with the rate at which the slowest node was asked.
func (t *Timeline) count() (c Count, rate float64) {
	dead := map[string]bool{}
	for i := range t.Nodes {
		dead[t.Nodes[i].Name] = t.Nodes[i].Dead
	}
	asked := map[string]int{}
	for i := range t.Series {
		for _, r := range t.Series[i].Spells {
			c.Asked += r.Count
			asked[t.Series[i].Node] += r.Count
			switch r.Fault {
			case Good:
			case Empty:
				c.Empty += r.Count
			case NXDomain:
				c.NXDomain += r.Count
			case ServFail:
				c.ServFail += r.Count
			case Unanswered:
				if dead[t.Series[i].Node] {
					c.Dead += r.Count
				} else {
					c.Unanswered += r.Count
				}
			default:
				c.Other += r.Count
			}
		}
	}
	for _, n := range asked {
		if per := float64(n) / max(t.End.Seconds(), 1) / float64(max(len(t.Clients), 1)); rate == 0 || per < rate {
			rate = per
		}
	}
	return c, rate
}

// seconds writes a duration for people.
func seconds(d time.Duration) string {
	if d == Never {
		return "never"
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}
