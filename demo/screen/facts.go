package screen

import "time"

// Facts is everything a frame shows.
type Facts struct {
	Title  string
	Now    time.Time
	Up     time.Duration // since the start
	Sites  []Site        // the first nine have a key of their own
	Cities []City
	Faults []Fault
	Events []Event // oldest first, Seq rising

	Asked int // DNS queries that the cities have made
	Bad   int // those of them that were empty, NXDOMAIN, SERVFAIL or lost

	// Selected is the index of the site that the keys for directors and slowness act on. Run sets it.
	Selected int
}

// Level is a verdict or a vote.
type Level string

// The levels. Anything else is shown as Unknown.
const (
	Up      Level = "up"
	Partial Level = "partial"
	Down    Level = "down"
	Unknown Level = "unknown"
)

// Site is one datacenter's VIP.
type Site struct {
	Name     string
	Verdict  Level
	Weight   int    // permille, 0..1000
	Reason   string // of the verdict
	Votes    []Vote // by datacenter
	VIP      string
	Director string // that holds the VIP; "" = none
}

// Vote is what one datacenter says about a site; Partial = its nodes do not agree, Unknown = it does not say.
type Vote struct {
	Datacenter string
	Says       Level
}

// City is a place that asks DNS again and again.
type City struct {
	Name  string
	Addrs []string      // of the answer, in order
	Site  string        // of the first address
	TTL   uint32        // seconds
	Took  time.Duration // for the answer to come
	Fault string        // why there is no answer; "" = there is one
}

// Fault is something that is broken on purpose.
type Fault struct {
	Text string
	Left time.Duration // until it heals by itself
}

// Event is something that happened.
type Event struct {
	Seq  int // rises by one or more; Lines prints every event once
	At   time.Time
	Text string
}
