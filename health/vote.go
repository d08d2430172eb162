package health

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// View is all evidence, counted. [Decide] turns it into verdicts.
type View struct {
	Quorate   bool       // the datacenters in Fresh hold more than half of the configured weight
	Fresh     []string   // datacenters with a node that is heard and not isolated, sorted
	Observers []Observer // the standing of every node, sorted by name

	tallies map[Target]*tally
	alarms  []Alarm
}

// Complete says that every configured datacenter is heard. A node that has just started is warm until then, or for as
// long as it is ready to wait for those that may be gone.
func (v View) Complete(f Fleet) bool { return len(v.Fresh) == len(f.Datacenters) }

// tally is the count for one target.
type tally struct {
	ballots []ballot // one per configured datacenter, sorted by name
	suspect bool     // a voter holds it suspect or recovering, or voters differ
	quiet   time.Duration
}

// ballot is one datacenter's vote on one target with what the decision needs beside it.
type ballot struct {
	Vote
	region string
	softU  int // U when soft failures count as down too

	// Ages as they are now. A multiple of all nodes moves none of them, nor does a single node among many.
	upFor     time.Duration // lower median of those who reach it
	downFor   time.Duration // since it has voted 0
	softFor   time.Duration // since softU has been 0
	reached   bool          // some voter reaches it well
	returning time.Duration // upper median of the returns of those who do, or never
	sighted   bool          // one of those who say down has witnesses that answer
	heard     time.Duration // silence of its freshest present node, or never
}

// never is an age that no opinion reaches.
const never = time.Duration(1<<63 - 1)

// aged is an age in a record, now. A record from elsewhere may claim anything; a sum must not wrap.
func aged(age, silent time.Duration) time.Duration {
	return min(max(age, 0), maxAge) + min(silent, maxAge)
}

// opinionOf is one voter's word on one target: what the count needs of it, close together. Opinions are parted and sorted
// by target and datacenter, the evidence that they are from lies by node.
type opinionOf struct {
	age    time.Duration // of the opinion, now
	quiet  time.Duration // how long the state has held, now
	reason *string
	policy uint32 // hash of the check's definition
	dc     int32
	up     bool // or down
	soft   bool
	back   bool
	unsure bool // its state is on the way to another, or the failure is soft
	blind  bool
}

// opinion makes an opinion of evidence that has one.
func (o *observer) opinion(e *TargetEvidence) opinionOf {
	return opinionOf{
		age: aged(e.Held, o.Silent), quiet: aged(e.Age, o.Silent), reason: &e.Reason, policy: e.Policy, dc: int32(o.dc),
		up: e.State.opinion() == StateUp, soft: e.Soft, back: e.Back,
		unsure: e.State == StateSuspect || e.State == StateRecovering || e.Soft, blind: o.Evidence.Blind,
	}
}

// Aggregate counts the evidence of all nodes, in any order, against the fleet. Only the newest evidence of a node
// counts; nodes of datacenters and evidence of targets that are not configured do not.
func Aggregate(observed []Observed, f Fleet) View { return new(Counter).Aggregate(observed, f) }

// Counter counts in memory that it keeps for the next time: all that a fleet says is counted whenever some of it changes.
// The zero value is ready for use, by one goroutine at a time.
type Counter struct {
	words [][]opinionOf // by target
	room  []int
	sorter
}

// Aggregate is the function of that name. Nothing of what it returns is in the memory that is kept.
func (c *Counter) Aggregate(observed []Observed, f Fleet) View {
	dcs := slices.Clone(f.Datacenters)
	slices.SortFunc(dcs, func(a, b Datacenter) int { return cmp.Compare(a.Name, b.Name) })
	observers := muster(observed, dcs, f.Policy)

	home := make(map[string]string, len(f.Sites))
	for _, s := range f.Sites {
		home[s.Name] = s.Datacenter
	}
	targets := slices.SortedFunc(slices.Values(f.Targets), Target.Compare)
	at := &places{targets: targets, policies: make([]uint64, len(targets)), room: c.places(observers)}
	var v View
	tallies := c.count(observers, dcs, home, at, f.Policy, nil)
	if setOutliersAside(observers, tallies) || at.mixed {
		tallies = c.count(observers, dcs, home, at, f.Policy, &v.alarms)
	}
	v.tallies = make(map[Target]*tally, len(targets))
	for i, t := range targets {
		v.tallies[t] = tallies[i]
	}
	v.Fresh, v.Quorate = quorum(observers, dcs, f.Policy)

	v.Observers = make([]Observer, 0, len(observers))
	for i := range observers {
		o := &observers[i]
		v.Observers = append(v.Observers, Observer{
			Node: o.Evidence.Node, Datacenter: o.Evidence.Datacenter, Silent: o.Silent,
			Counted: o.why == "", Why: o.why,
		})
		switch o.why {
		case "outlier":
			v.alarms = append(v.alarms, Alarm{"outlier", o.Evidence.Node,
				"holds most of what all other datacenters reach for down: its votes are set aside"})
		case "unknown datacenter":
			v.alarms = append(v.alarms, Alarm{"unknown-datacenter", o.Evidence.Node,
				fmt.Sprintf("says it is in %q, which is not configured here", o.Evidence.Datacenter)})
		}
	}
	return v
}

// places returns room for the places of all targets that observers speak of.
func (c *Counter) places(observers []observer) []int {
	n := 0
	for i := range observers {
		n += len(observers[i].Evidence.Targets)
	}
	c.room = slices.Grow(c.room[:0], n)
	return c.room[:n]
}

// of returns room for the words on so many targets, with nothing said yet.
func (c *Counter) of(targets int) [][]opinionOf {
	c.words = slices.Grow(c.words[:0], targets)[:targets]
	for i := range c.words {
		c.words[i] = c.words[i][:0]
	}
	return c.words
}

// places says where among the sorted targets the evidence of observers has its own.
type places struct {
	targets  []Target
	of       map[Target]int
	policies []uint64 // by target: 1 + the hash of a definition that it is probed under, 0 = none seen
	mixed    bool     // some target is probed under more than one definition
	room     []int    // for the places of observers to come
}

// find fills in what an observer speaks of. Evidence is sorted, too, and speaks of the same targets, mostly: each is next
// to the one before.
func (p *places) find(o *observer) {
	n := len(o.Evidence.Targets)
	o.places, p.room = p.room[:n:n], p.room[n:]
	next := 0
	for j := range o.places {
		e := &o.Evidence.Targets[j]
		if next >= len(p.targets) || p.targets[next] != e.Target {
			if p.of == nil {
				p.of = make(map[Target]int, len(p.targets))
				for i, t := range p.targets {
					p.of[t] = i
				}
			}
			at, ok := p.of[e.Target]
			if !ok {
				o.places[j] = -1
				continue
			}
			next = at
		}
		o.places[j] = next
		policy := 1 + uint64(e.Policy)
		p.mixed = p.mixed || p.policies[next] != 0 && p.policies[next] != policy
		p.policies[next] = policy
		next++
		if e.State.opinion() == StateDown && !e.Soft {
			o.downs++
		}
	}
}

// count makes the tallies of all targets, in their order. With alarms it also sets aside the word of a definition that
// stands alone, which needs a second look at every target.
func (c *Counter) count(observers []observer, dcs []Datacenter, home map[string]string, at *places, p Policy, alarms *[]Alarm) []*tally {
	targets := at.targets
	words := c.of(len(targets))
	for i := range observers {
		o := &observers[i]
		if o.why != "" {
			continue
		}
		if o.places == nil {
			at.find(o)
		}
		for j := range o.Evidence.Targets {
			e := &o.Evidence.Targets[j]
			if at := o.places[j]; at >= 0 && e.State.opinion() != StateUnknown {
				words[at] = append(words[at], o.opinion(e))
			}
		}
	}
	vantages := newVantages(observers, len(dcs), p)
	tallies := make([]*tally, len(targets))
	for i, t := range targets {
		said, home := words[i], home[t.Site]
		if len(dcs) == 1 {
			home = "" // its own evidence is all there can be: it counts as a foreign datacenter's
		}
		if alarms != nil {
			var dropped int
			if said, dropped = dropLoneDefinition(said, dcs, home); dropped > 0 {
				*alarms = append(*alarms, Alarm{"definition", t.String(), fmt.Sprintf(
					"%d observers with a check definition of their own alone say down: set aside", dropped)})
			}
		}
		tallies[i] = c.newTally(said, vantages, dcs, home, p)
	}
	return tallies
}

// vantage is what a datacenter's ballots on all targets have in common.
type vantage struct {
	age   time.Duration // silence of its freshest observer, or never
	heard time.Duration // of its freshest present node, or never
	why   string        // it does not vote
}

func newVantages(observers []observer, dcs int, p Policy) []vantage {
	vantages := make([]vantage, dcs)
	for i := range vantages {
		vantages[i] = vantage{never, never, "no observer"}
	}
	for i := range observers {
		o := &observers[i]
		if o.dc < 0 {
			continue
		}
		x := &vantages[o.dc]
		x.age = min(x.age, o.Silent)
		if o.present(p) {
			x.heard = min(x.heard, o.Silent)
		}
		switch {
		case o.why == "":
			x.why = "no opinion"
		case x.why != "no opinion":
			x.why = o.why
		}
	}
	return vantages
}

// sorter holds the memory in which opinions are sorted, from one target to the next.
type sorter struct {
	heads                             []int
	by                                [][]opinionOf
	room                              []opinionOf
	up, always, down, soft, returning []time.Duration
}

func (s *sorter) newTally(said []opinionOf, vantages []vantage, dcs []Datacenter, home string, p Policy) *tally {
	t := &tally{ballots: make([]ballot, len(dcs)), quiet: never}
	by := s.byDatacenter(said, len(dcs))
	for i, d := range dcs {
		b := &t.ballots[i]
		b.Datacenter = d.Name
		b.region = cmp.Or(d.Region, d.Name)
		b.Own = d.Name == home
		b.heard = vantages[i].heard
		s.count(b, by[i], p)
		if !b.Counted {
			b.Reason = vantages[i].why
		}
		if vantages[i].age != never {
			b.Age = vantages[i].age
		}
	}
	for i := range said {
		o := &said[i]
		t.quiet = min(t.quiet, o.quiet)
		t.suspect = t.suspect || o.unsure || o.up != said[0].up
	}
	return t
}

// byDatacenter parts opinions, their order kept.
func (s *sorter) byDatacenter(said []opinionOf, dcs int) [][]opinionOf {
	s.heads = append(s.heads[:0], make([]int, dcs)...)
	for i := range said {
		s.heads[said[i].dc]++
	}
	s.room = slices.Grow(s.room[:0], len(said))
	s.by = s.by[:0]
	room := s.room[:len(said)]
	for _, n := range s.heads {
		s.by = append(s.by, room[:0:n])
		room = room[n:]
	}
	for i := range said {
		dc := said[i].dc
		s.by[dc] = append(s.by[dc], said[i])
	}
	return s.by
}

// count fills in the ballot of a datacenter of what its voters said.
func (s *sorter) count(b *ballot, said []opinionOf, p Policy) {
	up, always, down, soft, returning := s.up[:0], s.always[:0], s.down[:0], s.soft[:0], s.returning[:0]
	for i := range said {
		o := &said[i]
		b.Voters++
		if o.up {
			up = append(up, o.age)
			if o.back {
				returning = append(returning, o.age)
			} else {
				always = append(always, o.age)
			}
			continue
		}
		b.Reason = cmp.Or(b.Reason, *o.reason)
		b.sighted = b.sighted || !o.blind
		soft = append(soft, o.age)
		if !o.soft {
			down = append(down, o.age)
		}
	}
	b.NotDown = b.Voters - len(down)
	b.Counted = b.Voters > 0
	b.U = share(b.NotDown, b.Voters)
	b.softU = share(len(up), b.Voters)
	b.upFor, b.downFor, b.softFor = lowerMedian(up), voteAge(down, b.Voters), voteAge(soft, b.Voters)
	if len(up) == 0 {
		b.upFor = b.softFor // reached, but not well
	}
	b.reached = len(up) > 0
	returning = slices.Grow(returning, len(always))
	b.returning = returnAge(returning, always, len(down) > 0, p.Ramp)
	s.up, s.always, s.down, s.soft, s.returning = up, always, down, soft, returning
}

// returnAge is the upper median of the returns, where always are the ages of those who saw none. Of these, who has
// watched for as long as a ramp takes knows that there was none. Who has just started does not: it must not end a
// ramp, and where it is contested, because others hold the target down, what it sees is the return itself.
// It does as it pleases with the memory of returns.
func returnAge(returns, always []time.Duration, contested bool, ramp time.Duration) time.Duration {
	for _, a := range always {
		switch {
		case a >= ramp:
			returns = append(returns, never)
		case contested:
			returns = append(returns, a)
		}
	}
	if len(returns) == 0 {
		return never
	}
	return upperMedian(returns)
}

// share turns a datacenter's heads into its vote: 0 if at most a third hold the target not-down, 2 if at least two
// thirds do, else 1.
func share(notDown, voters int) int {
	switch {
	case voters == 0 || 3*notDown <= voters:
		return 0
	case 3*notDown >= 2*voters:
		return 2
	default:
		return 1
	}
}

// voteAge is how long a datacenter with so many voters has voted 0, when down are the ages of its downs: the age of
// the one that made the two thirds. One more voter who reaches the target can only make it younger.
func voteAge(down []time.Duration, voters int) time.Duration {
	quorum := (2*voters + 2) / 3
	if len(down) == 0 || len(down) < quorum {
		return 0
	}
	return nth(down, len(down)-quorum)
}

// Tally returns the sum of the votes that were counted, and the most that it could have been. A foreign
// datacenter's vote counts double, the site's own once: with direct routing its hosts may be answering themselves.
// The target is down if 3 got <= of (and somebody corroborates it), up if 3 got >= 2 of.
func Tally(votes []Vote) (got, of int) {
	for _, v := range votes {
		if v.Counted {
			got += v.weight() * v.U
			of += v.weight() * 2
		}
	}
	return got, of
}

func (v Vote) weight() int {
	if v.Own {
		return 1
	}
	return 2
}

// upWithout says whether the datacenters other than dc and the site's own hold the target up.
func (t *tally) upWithout(dc int) bool {
	got, of := 0, 0
	for i := range t.ballots {
		if b := &t.ballots[i]; i != dc && b.Counted && !b.Own {
			got += b.U
			of += 2
		}
	}
	return of > 0 && 3*got >= 2*of
}

// dropLoneDefinition removes the downs of a check definition that alone says down while another definition is
// answered from a foreign datacenter: that is a poisoned configuration on its way through the fleet, not an outage.
func dropLoneDefinition(said []opinionOf, dcs []Datacenter, home string) (kept []opinionOf, dropped int) {
	var lone uint32
	down := false
	for _, o := range said {
		if !o.up {
			if down && o.policy != lone {
				return said, 0
			}
			down, lone = true, o.policy
		}
	}
	contradicted := down && slices.ContainsFunc(said, func(o opinionOf) bool {
		return o.up && o.policy != lone && dcs[o.dc].Name != home
	})
	if !contradicted {
		return said, 0
	}
	for _, o := range said {
		if !o.up {
			dropped++
		} else {
			kept = append(kept, o)
		}
	}
	return kept, dropped
}

func lowerMedian(ages []time.Duration) time.Duration {
	if len(ages) == 0 {
		return 0
	}
	return nth(ages, (len(ages)-1)/2)
}

func upperMedian(ages []time.Duration) time.Duration { return nth(ages, len(ages)/2) }

// nth returns what would be at place k of the sorted ages, and moves them about (C. A. R. Hoare, Algorithm 65: find,
// 1961). Ages of many observers are counted for every target at every decision: sorting them all takes several times as long.
func nth(ages []time.Duration, k int) time.Duration {
	for lo, hi := 0, len(ages)-1; lo < hi; {
		pivot := ages[(lo+hi)/2]
		i, j := lo, hi
		for i <= j {
			for ages[i] < pivot {
				i++
			}
			for pivot < ages[j] {
				j--
			}
			if i <= j {
				ages[i], ages[j] = ages[j], ages[i]
				i, j = i+1, j-1
			}
		}
		switch {
		case k <= j:
			hi = j
		case k >= i:
			lo = i
		default:
			return ages[k]
		}
	}
	return ages[k]
}
