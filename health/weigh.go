package health

import (
	"fmt"
	"slices"
	"time"
)

// weighing is what a tally comes to.
type weighing struct {
	level   Level
	weight  uint16
	avoid   []string
	age     time.Duration
	foreign int // datacenters that voted, the site's own left out
	reason  string
}

// leastPartial is the least share, in permille, that a site reached by some datacenters only is left with.
const leastPartial = FullWeight / 4

// weigh comes to a level by the votes alone. With soft, soft failures count as down too.
func (t *tally) weigh(soft bool, p Policy) weighing {
	votes := t.votes()
	if soft {
		for i := range votes {
			votes[i].U = t.ballots[i].softU
		}
	}
	got, of := Tally(votes)
	var w weighing
	var reach int
	var dissent []int // foreign datacenters that do not plainly reach it
	var upAges, downAges []time.Duration
	cause := ""
	for i := range votes {
		v, b := &votes[i], &t.ballots[i]
		if !v.Counted || v.Own {
			continue
		}
		w.foreign++
		if v.U == 2 {
			reach++
		} else {
			dissent = append(dissent, i)
			if cause == "" && v.Reason != "" {
				cause = ": " + v.Reason
			}
		}
		switch {
		case v.U > 0:
			upAges = append(upAges, b.upFor)
		case soft:
			downAges = append(downAges, b.softFor)
		default:
			downAges = append(downAges, b.downFor)
		}
	}
	why, corroborated := t.corroborated(votes, soft, p)
	tally := fmt.Sprintf("%d of %d foreign datacenters reach it (votes %d of %d)", reach, w.foreign, got, of)
	if len(t.ballots) == 1 {
		tally = fmt.Sprintf("the only datacenter decides (votes %d of %d)", got, of)
	}
	switch {
	case w.foreign == 0:
	case 3*got <= of && corroborated:
		w.level, w.age = Down, lowerMedian(downAges)
		w.reason = fmt.Sprintf("down: %s, %s%s", tally, why, cause)
	case 3*got >= 2*of:
		w.level, w.weight, w.age = Up, FullWeight, lowerMedian(upAges)
		w.reason = "up: " + tally
		if len(dissent) == 1 && votes[dissent[0]].U == 0 {
			w.avoid = []string{t.ballots[dissent[0]].region}
			w.reason += fmt.Sprintf(", %s alone does not%s", votes[dissent[0]].Datacenter, cause)
		}
	default:
		w.level, w.weight = Partial, FullWeight
		w.age = slices.Min(append(upAges, downAges...))
		w.reason = "partial: " + tally
		if len(dissent) == 1 && len(votes) > 1 {
			w.avoid = []string{t.ballots[dissent[0]].region}
			w.reason += fmt.Sprintf(", %s alone does not%s", votes[dissent[0]].Datacenter, cause)
		} else {
			w.weight = uint16(max(leastPartial, FullWeight*got/of))
			w.reason += cause
		}
	}
	return w
}

// corroborated says whether, and by what, a target that the votes hold down is more than one datacenter's opinion.
func (t *tally) corroborated(votes []Vote, soft bool, p Policy) (string, bool) {
	if len(votes) == 1 {
		return "nobody else could know", true
	}
	var down []int
	var own *ballot
	for i := range votes {
		switch v := &votes[i]; {
		case v.Own:
			own = &t.ballots[i]
		case v.Counted && v.U == 0:
			down = append(down, i)
		}
	}
	if len(down) >= 2 {
		return fmt.Sprintf("%d agree that it is down", len(down)), true
	}
	if len(down) == 0 {
		return "", false
	}
	b := &t.ballots[down[0]]
	since, ownU := b.downFor, 2
	if own != nil {
		ownU = own.U
	}
	if soft {
		since = b.softFor
		if own != nil {
			ownU = own.softU
		}
	}
	switch {
	case own != nil && own.Counted && ownU == 0:
		return "its own datacenter agrees", true
	case own != nil && own.heard < since:
		return "its own datacenter talks while it does not answer", true
	case b.sighted && since >= p.CorroborationHold:
		return fmt.Sprintf("%s alone has held it down for %v", b.Datacenter, p.CorroborationHold), true
	}
	return "", false
}

// votes returns the ballots without what only the count needs.
func (t *tally) votes() []Vote {
	votes := make([]Vote, len(t.ballots))
	for i := range t.ballots {
		votes[i] = t.ballots[i].Vote
	}
	return votes
}

// own returns the ballot of the site's own datacenter, or nil.
func (t *tally) own() *ballot {
	if i := slices.IndexFunc(t.ballots, func(b ballot) bool { return b.Own }); i >= 0 {
		return &t.ballots[i]
	}
	return nil
}
