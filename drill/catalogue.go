package drill

import (
	"fmt"
	"slices"
	"time"

	"github.com/meridian-gtm/meridian/replication"
)

const (
	ms  = time.Millisecond
	sec = time.Second
)

// Limits that several scenarios share: those of a hard failure that everybody sees, and of the way back.
var (
	hardDecide   = Paced{8 * sec, 2 * sec}
	hardSpread   = Paced{2 * sec, 500 * ms}
	hardLastOld  = Paced{9 * sec, 2500 * ms}
	hardReturn   = Paced{90 * sec, 6 * sec}
	fullRestore  = Paced{240 * sec, 20 * sec}
	converged    = Paced{30 * sec, 5 * sec}
	outage       = Paced{60 * sec, 6 * sec}
	long         = Paced{120 * sec, 12 * sec}
	untilRestore = Paced{300 * sec, 30 * sec}
)

// hard are the limits of the loss of a site that everybody sees.
var hard = Limits{
	Decide: hardDecide, Spread: hardSpread, LastOld: hardLastOld, Return: hardReturn, Restore: fullRestore, Transitions: 2, Load: 100,
}

// soft are the limits of a failure that needs several probes to be told from bad luck.
var soft = Limits{
	Decide: Paced{30 * sec, 6 * sec}, Spread: hardSpread, LastOld: Paced{31 * sec, 6500 * ms}, Return: Paced{120 * sec, 10 * sec},
	Restore: fullRestore, Transitions: 2, Load: 100,
}

// still are the limits of a fault that no client may notice.
var still = Limits{Restore: Paced{5 * sec, 2 * sec}, Converge: converged, Load: 100}

// at breaks the target site at the first step.
func at(kind Kind) []Step { return []Step{{Break: []Break{{Kind: kind, Site: Target}}}} }

func with(l Limits, change func(*Limits)) Limits {
	change(&l)
	return l
}

// Catalogue returns every drill, the plain ones first.
func Catalogue() []Scenario {
	return []Scenario{
		{
			ID: "site-blackout", Title: "a site loses its power",
			What:  "Every node leaves the site out within seconds and together, no other site is doubted, and the site returns by its ramp.",
			Steps: at(Lose), Lasts: outage, Expect: Pulled, Limits: hard, Wait: untilRestore,
		},
		{
			ID: "region-loss", Title: "a whole region dies: site, traffic manager and databases",
			What:  "The other regions take its clients, its database's leader is elected elsewhere, and no order that a customer was told of is lost.",
			Steps: []Step{{Break: []Break{{Kind: Lose, Site: Target}, {Kind: KillData, Site: Target}, {Kind: KillNode, Site: Target}}}},
			// Long enough for the databases to elect another leader.
			Lasts: Paced{120 * sec, 45 * sec}, Expect: Pulled, Limits: hard, Wait: Paced{300 * sec, 60 * sec},
		},
		{
			ID: "director-crash", Title: "the director that holds a site's VIP dies",
			What:  "The other director takes the VIP before anybody pulls the site.",
			Steps: at(KillDirector), Lasts: outage, Expect: Kept, Limits: still, Wait: untilRestore,
		},
		{
			ID: "gray-slow", Title: "a site answers, but slowly",
			What:  "Slowness is a soft failure: the site is pulled because the others carry its clients, and it comes back by its ramp.",
			Steps: []Step{{Break: []Break{{Kind: Slow, Site: Target, Delay: 400 * ms}}}},
			Lasts: long, Expect: Pulled, Limits: soft, Wait: untilRestore,
		},
		{
			ID: "gray-errors", Title: "a site answers errors that its own checks do not see",
			What:  "Probes ask through the VIP for what clients ask for, so they see what the directors' checks do not.",
			Steps: at(Errors), Lasts: long, Expect: Pulled, Limits: soft, Wait: untilRestore,
		},
		lossy(5, Kept, with(still, func(l *Limits) { l.Restore, l.Converge = fullRestore, Paced{} })),
		lossy(20, Endured, Limits{Return: hardReturn, Restore: fullRestore, Transitions: 4, Load: 100}),
		// Four lucky probes in a row take a site back, and at this rate they come: it may return before the heal.
		lossy(60, Endured, with(soft, func(l *Limits) { l.Transitions = 4 })),
		{
			ID: "path-fault", Title: "one datacenter cannot reach another's VIP",
			What:  "One datacenter's view neither pulls the site nor lowers its weight for the rest of the world.",
			Steps: []Step{{Break: []Break{{Kind: CutPath, Site: Second, To: Target}}}},
			Lasts: long, Expect: Kept, Limits: still, Wait: untilRestore,
		},
		{
			ID: "dc-partition", Title: "a datacenter loses the backbone, the internet is fine",
			What:  "The majority pulls nothing because it hears less; the lone node changes nothing and goes on answering.",
			Steps: at(CutGossip), Lasts: long, Expect: Kept, Limits: still, Wait: untilRestore,
		},
		{
			ID: "backbone-gone", Title: "no datacenter hears another, every VIP is up",
			What:  "Without a quorum anywhere nothing is pulled and everybody is answered; afterwards all nodes answer alike again.",
			Steps: []Step{{Break: []Break{{Kind: CutGossip}}}},
			Lasts: long, Expect: Kept, Limits: still, Wait: untilRestore,
		},
		{
			ID: "dns-node-crash", Title: "a traffic manager node dies",
			What:  "The others change no answer; the node answers the same from its disk as soon as it is started again.",
			Steps: at(KillNode), Lasts: outage, Expect: Kept,
			Limits: with(still, func(l *Limits) { l.Restore = Paced{10 * sec, 5 * sec} }), Wait: untilRestore,
		},
		{
			ID: "flapping", Title: "a site goes and comes, over and over",
			What:  "The re-entry hold grows with every fall, so that the site is answered less and less often while it flaps.",
			Steps: flaps(4), Lasts: Paced{4 * 60 * sec, 4 * 4 * sec}, Expect: Endured,
			Limits: Limits{
				Decide: hardDecide, Spread: hardSpread, Return: Paced{22 * 60 * sec, 40 * sec}, Restore: Paced{24 * 60 * sec, 50 * sec},
				Transitions: 6, Load: 100,
			},
			Wait: Paced{25 * 60 * sec, 60 * sec},
		},
		{
			ID: "key-mismatch", Title: "a node gets a gossip key that no other has",
			What:  "It is as alone as after a partition: nothing is pulled, and with the right key it is one of them again.",
			Steps: at(SwapKey), Lasts: long, Expect: Kept, Limits: still, Wait: untilRestore,
		},
		{
			ID: "config-poison", Title: "a node is told to load a wrong configuration",
			What:  "The reload is refused with every fault named, and the running configuration goes on answering.",
			Steps: at(BadConfig), Lasts: outage, Expect: Kept, Limits: still, Refuses: Reload, Wait: untilRestore,
		},
		{
			ID: "failback-herd", Title: "a site returns after a long outage",
			What:  "Its clients come back by the ramp and not all at once.",
			Steps: at(Lose), Lasts: long, Expect: Pulled, Limits: with(hard, func(l *Limits) { l.Herd = 60 }), Wait: untilRestore,
		},
		{
			ID: "all-down", Title: "every site is lost at once",
			What:  "The all-down policy answers, no query is left empty, and the sites are answered again as soon as they are back.",
			Steps: []Step{{Break: []Break{{Kind: Lose, Site: Every}}}}, Lasts: long, Expect: Endured,
			Limits: Limits{Return: hardReturn, Restore: fullRestore}, Wait: untilRestore,
		},
		{
			ID: "capacity-short", Title: "two sites are lost, the rest cannot carry their clients",
			What: "Hard failures are pulled even so, because a client is better off waiting than refused; the report shows the load.",
			Steps: []Step{
				{Break: []Break{{Kind: Lose, Site: Target}}},
				{At: Paced{40 * sec, 4 * sec}, Break: []Break{{Kind: Lose, Site: Second}}},
			},
			Lasts: Paced{120 * sec, 14 * sec}, Expect: Endured,
			Limits: Limits{Decide: hardDecide, Spread: hardSpread, Return: hardReturn, Restore: fullRestore, Transitions: 2},
			Wait:   untilRestore,
		},
		{
			ID: "operator-race", Title: "operators set the same override through different nodes at once",
			What: "One of the words wins, the same on every node, and what is cleared stays cleared.",
			Steps: []Step{
				{Operate: []Operation{{Action: replication.Weight, Percent: 90}, {Action: replication.Weight, Percent: 80}, {Action: replication.Weight, Percent: 100}}},
				{At: Paced{2 * sec, 1 * sec}, Operate: []Operation{{Action: replication.Weight, Percent: 70}, {Action: replication.Weight, Percent: 60}, {Action: replication.Weight, Percent: 50}}},
				{At: Paced{10 * sec, 4 * sec}, Operate: []Operation{{Action: replication.Weight, Cleared: true}}},
			},
			Lasts: Paced{20 * sec, 6 * sec}, Expect: Endured, Limits: Limits{Restore: Paced{30 * sec, 5 * sec}, Converge: converged, Load: 100},
			Wait: untilRestore,
		},
		{
			ID: "node-pause", Title: "a node stands still and goes on as if nothing were",
			What:  "It publishes no failure for probes that it could not run, and nobody is pulled by what it missed.",
			Steps: at(PauseNode), Lasts: outage, Expect: Kept,
			Limits: with(still, func(l *Limits) { l.Restore = Paced{10 * sec, 5 * sec} }), Wait: untilRestore,
		},
		{
			ID: "clock-skew", Title: "a node's wall clock is wrong by minutes",
			What:  "No verdict rests on another node's clock.",
			Steps: []Step{{Break: []Break{{Kind: SkewClock, Site: Target, Delay: 5 * time.Minute}}}},
			Lasts: long, Expect: Kept, Limits: still, Wait: untilRestore,
		},
		{
			ID: "disk-full", Title: "a node's disk is full",
			What:  "It answers on, refuses changes that it could not keep, and says so.",
			Steps: at(FillDisk), Lasts: outage, Expect: Kept, Limits: still, Refuses: Change, Wait: untilRestore,
		},
	}
}

// lossy is the drill of one loss rate.
func lossy(percent int, e Expect, l Limits) Scenario {
	return Scenario{
		ID: fmt.Sprintf("packet-loss-%d", percent), Title: fmt.Sprintf("%d %% of the packets to a site are lost", percent),
		What: map[Expect]string{
			Kept:    "What TCP repairs is no reason to move anybody.",
			Endured: "The loss window sees what \"three failures in a row\" misses; the site does not go to and fro.",
		}[e],
		Steps: []Step{{Break: []Break{{Kind: Lossy, Site: Target, Percent: percent}}}},
		Lasts: long, Expect: e, Limits: l, Wait: untilRestore,
	}
}

// flaps loses the target n times, each time as long as it is back in between.
func flaps(n int) (steps []Step) {
	for i := range n {
		k := time.Duration(i)
		steps = append(steps,
			Step{At: Paced{k * 60 * sec, k * 4 * sec}, Break: []Break{{Kind: Lose, Site: Target}}},
			Step{At: Paced{k*60*sec + 30*sec, k*4*sec + 2*sec}, Heal: true},
		)
	}
	return steps
}

// Find returns a drill of the catalogue.
func Find(id string) (Scenario, bool) {
	all := Catalogue()
	i := slices.IndexFunc(all, func(s Scenario) bool { return s.ID == id })
	if i < 0 {
		return Scenario{}, false
	}
	return all[i], true
}
