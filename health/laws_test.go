package health

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The laws hold for every input, so they are tried on random ones. A failure names the seed that repeats it.

// world is a random fleet with the evidence of its nodes.
type world struct {
	*rand.Rand
	fleet    Fleet
	observed []Observed
	prior    Prior
}

// forAll calls law with random worlds.
func forAll(t *testing.T, law func(w *world) error) {
	t.Helper()
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for i := range uint64(inputsPerLaw) {
		w := &world{Rand: rand.New(rand.NewPCG(seed, i))}
		w.build()
		if err := law(w); err != nil {
			t.Fatalf("seed %d, input %d: %v\n%s", seed, i, err, w)
		}
	}
}

func (w *world) String() string {
	s := fmt.Sprintf("prior %+v\n", w.prior)
	for _, o := range w.observed {
		s += fmt.Sprintf("%s epoch %d seq %d silent %v isolated %v blind %v warm %v score %d:", o.Evidence.Node,
			o.Evidence.Epoch, o.Evidence.Seq, o.Silent, o.Evidence.Isolated, o.Evidence.Blind, o.Evidence.Warm, o.Evidence.Score)
		for _, e := range o.Evidence.Targets {
			s += fmt.Sprintf(" %s=%v", e.Target.Site, e.State)
			if e.Soft {
				s += "(soft)"
			}
			s += fmt.Sprintf("/%v#%d", e.Held, e.Policy)
		}
		s += "\n"
	}
	return s
}

func (w *world) chance(percent int) bool { return w.IntN(100) < percent }

func (w *world) age() time.Duration {
	return time.Duration(w.IntN(4)) * []time.Duration{ms, sec, 7 * sec, 40 * sec}[w.IntN(4)]
}

func (w *world) build() {
	names := []string{"ap", "eu", "sa", "us", "za"}[:1+w.IntN(5)]
	w.fleet = fleetOf(names...)
	for i, n := range names {
		w.fleet.Datacenters[i].Weight = uint32(w.IntN(3))
		for node := range 1 + w.IntN(3) {
			w.observed = append(w.observed, w.evidence(fmt.Sprintf("%s-%d", n, node), n))
		}
	}
	w.prior = Prior{
		Verdicts: map[Target]Verdict{}, QuorumLost: w.age(), Witnessed: w.chance(50), Warm: w.chance(20),
	}
	for _, t := range w.fleet.Targets {
		if w.chance(80) {
			v := Verdict{Level: Level(w.IntN(4)), Age: w.age(), Weight: FullWeight}
			if v.Level == Down {
				v.Weight = 0
			}
			w.prior.Verdicts[t] = v
		}
	}
}

func (w *world) evidence(node, dc string) Observed {
	o := Observed{
		Evidence: Evidence{Node: node, Datacenter: dc, Epoch: 1, Seq: w.Uint64N(9),
			Isolated: w.chance(5), Blind: w.chance(10), Warm: w.chance(5)},
		Silent: w.age() / 2,
	}
	if w.chance(5) {
		o.Evidence.Score = w.IntN(8)
	}
	up := []int{10, 50, 90, 100}[w.IntN(4)]
	for _, t := range w.fleet.Targets {
		o.Evidence.Targets = append(o.Evidence.Targets, w.opinion(t, up))
	}
	return o
}

func (w *world) opinion(t Target, up int) TargetEvidence {
	e := TargetEvidence{Target: t, Age: w.age(), State: StateUp, Back: w.chance(30)}
	switch {
	case w.chance(5):
		e.State = StateUnknown
	case w.chance(up):
		if w.chance(20) {
			e.State = StateSuspect
		}
	default:
		e.State, e.Soft, e.Reason = StateDown, w.chance(20), "connect refused"
		if w.chance(20) {
			e.State = StateRecovering
		}
	}
	e.Held = e.Age + w.age()
	if w.chance(3) {
		e.Policy = 1
	}
	return e
}

// trust makes every node fresh and trusted, with one definition, so that the votes alone decide.
func (w *world) trust() {
	for i := range w.observed {
		o := &w.observed[i]
		o.Silent = min(o.Silent, 9*sec)
		o.Evidence.Isolated, o.Evidence.Warm, o.Evidence.Score = false, false, 0
		o.Evidence.Targets = slices.Clone(o.Evidence.Targets)
		for j := range o.Evidence.Targets {
			o.Evidence.Targets[j].Policy = 0
		}
	}
	w.prior = Prior{}
}

// one returns the opinion of node i on a random target.
func (w *world) one(i int) *TargetEvidence {
	return &w.observed[i].Evidence.Targets[w.IntN(len(w.fleet.Targets))]
}

func (w *world) decide() Decision { return decide(w.fleet, w.observed, w.prior) }

func (w *world) copy() *world {
	c := *w
	c.observed = slices.Clone(w.observed)
	for i := range c.observed {
		c.observed[i].Evidence.Targets = slices.Clone(c.observed[i].Evidence.Targets)
	}
	c.prior.Verdicts = maps.Clone(w.prior.Verdicts)
	return &c
}

// shown is a verdict without the heads that were counted.
func shown(v Verdict) string {
	return fmt.Sprint(v.Level, v.Weight, v.AvoidRegions, v.TTL, v.Age, v.Held, v.Reason)
}

func TestLawEqualInputsGiveByteEqualVerdictsInAnyOrder(t *testing.T) {
	forAll(t, func(w *world) error {
		want := w.decide()
		before := w.String()
		c := w.copy()
		w.Shuffle(len(c.observed), func(i, j int) { c.observed[i], c.observed[j] = c.observed[j], c.observed[i] })
		w.Shuffle(len(c.fleet.Datacenters), func(i, j int) {
			c.fleet.Datacenters[i], c.fleet.Datacenters[j] = c.fleet.Datacenters[j], c.fleet.Datacenters[i]
		})
		w.Shuffle(len(c.fleet.Targets), func(i, j int) {
			c.fleet.Targets[i], c.fleet.Targets[j] = c.fleet.Targets[j], c.fleet.Targets[i]
		})
		got := c.decide()
		if a, b := encoded(t, got.Verdicts), encoded(t, want.Verdicts); a != b {
			return fmt.Errorf("verdicts differ:\n%s\n%s", a, b)
		}
		if a, b := asJSON(t, got.Alarms), asJSON(t, want.Alarms); a != b || got.Mode != want.Mode {
			return fmt.Errorf("alarms differ:\n%s\n%s", a, b)
		}
		if after := w.String(); before != after {
			return fmt.Errorf("the input was changed to %s", after)
		}
		return nil
	})
}

func TestLawMoreNodesInOneDatacenterChangeNothing(t *testing.T) {
	forAll(t, func(w *world) error {
		want := w.decide()
		dc := w.fleet.Datacenters[w.IntN(len(w.fleet.Datacenters))].Name
		c := w.copy()
		for range 1 + w.IntN(4) {
			for _, o := range w.observed {
				if o.Evidence.Datacenter == dc {
					o.Evidence.Node += fmt.Sprintf("-copy-%d", len(c.observed))
					c.observed = append(c.observed, o)
				}
			}
		}
		got := c.decide()
		for _, target := range w.fleet.Targets {
			if a, b := shown(got.Verdicts[target]), shown(want.Verdicts[target]); a != b {
				return fmt.Errorf("%v with more nodes in %s: %s: want %s", target, dc, a, b)
			}
		}
		return nil
	})
}

func TestLawOneMoreUpNeverLowers(t *testing.T) {
	rank := func(v Verdict) int { return 10_000*(3-v.Level.badness()) + int(v.Weight) }
	forAll(t, func(w *world) error {
		w.trust()
		i := w.IntN(len(w.observed))
		before := w.one(i)
		target := before.Target
		// By the votes alone: ramps and soft pulls look at ages and at other sites.
		view := Aggregate(w.observed, w.fleet)
		if own := view.tallies[target].own(); own != nil && own.Datacenter == w.observed[i].Evidence.Datacenter {
			return nil // its own word also corroborates: it shows that the hosts are alive
		}
		weigh := func(v View) Verdict {
			x := v.tallies[target].weigh(false, w.fleet.Policy)
			return Verdict{Level: x.level, Weight: x.weight}
		}
		low := weigh(view)
		before.State, before.Soft = StateUp, false
		high := weigh(Aggregate(w.observed, w.fleet))
		if low.Level != Unknown && rank(high) < rank(low) {
			return fmt.Errorf("%v: one more up lowered %v %d to %v %d", target, low.Level, low.Weight, high.Level, high.Weight)
		}
		return nil
	})
}

func TestLawOneDatacenterCannotPullAgainstAnother(t *testing.T) {
	forAll(t, func(w *world) error {
		if len(w.fleet.Datacenters) < 3 {
			return nil
		}
		w.trust()
		for i := range w.observed {
			for j := range w.observed[i].Evidence.Targets {
				w.observed[i].Evidence.Targets[j].Soft = false
			}
		}
		view := Aggregate(w.observed, w.fleet)
		d := Decide(view, w.prior, w.fleet)
		for target, v := range d.Verdicts {
			down, up := 0, 0
			for _, vote := range v.Votes {
				if vote.Counted && !vote.Own {
					down += boolInt(vote.U == 0)
					up += boolInt(vote.U == 2)
				}
			}
			if v.Level == Down && down <= 1 && up >= 1 {
				return fmt.Errorf("%v is down by %d against %d: %s", target, down, up, v.Reason)
			}
			// And half of the foreign datacenters keep a site.
			if v.Level == Down && up >= down {
				return fmt.Errorf("%v is down though %d of the foreign datacenters reach it and %d do not: %s", target, up, down, v.Reason)
			}
		}
		return nil
	})
}

func TestLawUnanimousForeignDownAlwaysPulls(t *testing.T) {
	forAll(t, func(w *world) error {
		w.trust()
		site := w.fleet.Sites[w.IntN(len(w.fleet.Sites))]
		for i := range w.observed {
			for j := range w.observed[i].Evidence.Targets {
				e := &w.observed[i].Evidence.Targets[j]
				switch {
				case e.Target.Site != site.Name:
					e.State, e.Soft = StateUp, false
				case w.observed[i].Evidence.Datacenter != site.Datacenter:
					e.State, e.Soft = StateDown, false
				}
			}
		}
		if len(w.fleet.Datacenters) < 3 {
			return nil
		}
		w.prior.Verdicts = lastGood(site.Name + "=up")
		if v := w.decide().Verdicts[at(site.Name)]; v.Level != Down || v.Weight != 0 {
			return fmt.Errorf("%s: %v, weight %d: %s", site.Name, v.Level, v.Weight, v.Reason)
		}
		return nil
	})
}

func TestLawOwnEvidenceNeitherPullsNorVetoes(t *testing.T) {
	forAll(t, func(w *world) error {
		if len(w.fleet.Datacenters) < 2 {
			return nil
		}
		w.trust()
		for i := range w.observed {
			for j := range w.observed[i].Evidence.Targets {
				w.observed[i].Evidence.Targets[j].Soft = false
			}
		}
		site := w.fleet.Sites[w.IntN(len(w.fleet.Sites))]
		target := at(site.Name)
		say := func(s State) (*tally, weighing) {
			for i := range w.observed {
				if w.observed[i].Evidence.Datacenter == site.Datacenter {
					for j := range w.observed[i].Evidence.Targets {
						if e := &w.observed[i].Evidence.Targets[j]; e.Target == target {
							e.State = s
						}
					}
				}
			}
			c := Aggregate(w.observed, w.fleet).tallies[target]
			return c, c.weigh(false, w.fleet.Policy)
		}
		c, silent := say(StateUnknown)
		_, down := say(StateDown)
		_, up := say(StateUp)
		foreignDown, foreignUp := 0, 0
		for _, b := range c.ballots {
			if b.Counted && !b.Own {
				foreignDown += boolInt(b.U == 0)
				foreignUp += boolInt(b.U == 2)
			}
		}
		if silent.foreign == 0 {
			if up.level == Down || down.level == Down || up.level == Up {
				return fmt.Errorf("%v decided by its own datacenter alone: %v, %v", target, up.level, down.level)
			}
			return nil
		}
		if foreignDown == 0 && down.level == Down {
			return fmt.Errorf("%v pulled by its own datacenter: %s", target, down.reason)
		}
		if foreignDown == silent.foreign && foreignDown >= 2 && up.level != Down {
			return fmt.Errorf("%v kept by its own datacenter: %s", target, up.reason)
		}
		if foreignUp == silent.foreign && down.level != Up {
			return fmt.Errorf("%v lowered by its own datacenter: %s", target, down.reason)
		}
		return nil
	})
}

func TestLawUntrustedEvidenceDoesNotCount(t *testing.T) {
	forAll(t, func(w *world) error {
		var trusted []Observed
		for _, o := range Aggregate(w.observed, w.fleet).Observers {
			if o.Counted {
				i := slices.IndexFunc(w.observed, func(x Observed) bool { return x.Evidence.Node == o.Node })
				trusted = append(trusted, w.observed[i])
			}
		}
		// What the others say may be anything; that they are there still counts for the quorum.
		c := w.copy()
		for i := range c.observed {
			o := &c.observed[i]
			if slices.ContainsFunc(trusted, func(x Observed) bool { return x.Evidence.Node == o.Evidence.Node }) {
				continue
			}
			if o.Evidence.Isolated || o.Evidence.Warm || o.Evidence.Score >= w.fleet.Policy.MaxScore || o.Silent >= w.fleet.Policy.Stale {
				for j := range o.Evidence.Targets {
					o.Evidence.Targets[j] = w.opinion(o.Evidence.Targets[j].Target, 50)
				}
			}
		}
		if a, b := encoded(t, c.decide().Verdicts), encoded(t, w.decide().Verdicts); a != b {
			return fmt.Errorf("untrusted evidence counts:\n%s\n%s", a, b)
		}
		return nil
	})
}

func TestLawMinority(t *testing.T) {
	forAll(t, func(w *world) error {
		view := Aggregate(w.observed, w.fleet)
		if view.Quorate {
			return nil
		}
		d := Decide(view, w.prior, w.fleet)
		reached, pulled, kept := 0, 0, 0
		for _, target := range w.fleet.Targets {
			v, before := d.Verdicts[target], w.prior.Verdicts[target].Level
			up, _, _ := view.tallies[target].agreed()
			reached += boolInt(up && v.Level == Up)
			kept += boolInt(v.Level != Down)
			if v.Level != Down || before == Down {
				continue
			}
			pulled++
			switch {
			case w.prior.QuorumLost < w.fleet.Policy.MinorityHold:
				return fmt.Errorf("%v pulled %v after quorum was lost", target, w.prior.QuorumLost)
			case !w.prior.Witnessed:
				return fmt.Errorf("%v pulled while witnesses are silent", target)
			}
		}
		if pulled > 0 && (reached == 0 || kept == 0) {
			return fmt.Errorf("%d pulled and no site is left that is reached", pulled)
		}
		return nil
	})
}

func TestLawDampingNeverDelaysAPull(t *testing.T) {
	forAll(t, func(w *world) error {
		w.trust()
		want := w.decide()
		c := w.copy()
		c.fleet.Policy.Hold, c.fleet.Policy.MaxHold = time.Hour, time.Hour
		c.fleet.Policy.Ramp, c.fleet.Policy.Settle = time.Hour, time.Hour
		for target, v := range c.decide().Verdicts {
			if (v.Level == Down) != (want.Verdicts[target].Level == Down) {
				return fmt.Errorf("%v: %v with strong damping, %v without", target, v.Level, want.Verdicts[target].Level)
			}
		}
		return nil
	})
}

func TestLawVerdictsFollowFromTheVotesTheyShow(t *testing.T) {
	forAll(t, func(w *world) error {
		for target, v := range w.decide().Verdicts {
			if v.Weight > FullWeight || v.TTL == 0 || v.Reason == "" || v.Age < 0 {
				return fmt.Errorf("%v: %+v", target, v)
			}
			if v.Held || len(v.Reason) > 4 && v.Reason[:4] == "soft" || !Aggregate(w.observed, w.fleet).Quorate {
				continue
			}
			got, of := Tally(v.Votes)
			if of == 0 {
				return fmt.Errorf("%v: %v by no votes", target, v.Level)
			}
			foreign := slices.ContainsFunc(v.Votes, func(x Vote) bool { return x.Counted && !x.Own })
			want := Partial
			switch {
			case !foreign:
				want = Up
			case v.Level == Down:
				if 3*got > of {
					return fmt.Errorf("%v: down by %d of %d", target, got, of)
				}
				continue
			case 3*got >= 2*of:
				want = Up
			}
			if v.Level != want {
				return fmt.Errorf("%v: %v by %d of %d: want %v", target, v.Level, got, of, want)
			}
		}
		return nil
	})
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
