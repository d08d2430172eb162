package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/geo"
	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

// genesis is what true clocks show when a scenario begins.
var genesis = time.Date(2026, time.March, 1, 9, 0, 0, 0, time.UTC)

// world is one run of one scenario.
type world struct {
	sc     Scenario
	chance *rand.Rand
	now    time.Duration
	queue  queue
	seams  seams
	pace   pace

	nodes         []*node
	byName        []int // the nodes' numbers in the order of their names
	sites         []*site
	clients       []*client
	fleet         health.Fleet
	inputs        steer.Inputs // without verdicts and overrides
	probeOf       health.Check
	sound, poison uint32 // hashes of the check's good and bad definition

	active []bool // by fault
	weather
	decoded []latest             // by writer
	news    []replication.Record // what unknown returns
	acks    []ack
	checker checker

	stats Stats
	trace trace
}

// site is one VIP.
type site struct {
	name string
	dc   int
	addr netip.Addr
}

// pace is how fast the modelled parts go: those of replication/gossip for its two profiles, and of the owner's loop.
type pace struct {
	gossip, near, foreign, rejoin, refetch time.Duration
	lost                                   time.Duration // silence after which gossip takes a member for dead
	pass, housekeeping, witness            time.Duration
	heartbeat, applied                     time.Duration
	fold                                   time.Duration // least time between two decisions on news
}

func (s Scenario) policy() health.Policy {
	if s.Fast {
		return health.FastPolicy
	}
	return health.DefaultPolicy
}

func (s Scenario) pace() pace {
	p := pace{
		gossip: 200 * time.Millisecond, near: 5 * time.Second, foreign: 10 * time.Second, rejoin: 5 * time.Second,
		refetch: time.Second, lost: 12 * time.Second,
		pass: 250 * time.Millisecond, housekeeping: time.Second, witness: 2 * time.Second, applied: 5 * time.Second,
	}
	if s.Fast {
		p.gossip, p.near, p.foreign, p.rejoin = 40*time.Millisecond, 500*time.Millisecond, time.Second, 500*time.Millisecond
		p.refetch, p.lost = 100*time.Millisecond, 3*time.Second
	}
	if s.Nodes > cohortsFrom {
		p.pass, p.fold, p.housekeeping = 2*time.Second, 500*time.Millisecond, 4*time.Second
	}
	p.heartbeat = min(2*time.Second, s.policy().Stale/5)
	return p
}

// cohortsFrom is the number of nodes above which those of one datacenter share a replica until a fault strikes one.
const cohortsFrom = 100

func newWorld(s Scenario, x seams, out io.Writer) *world {
	w := &world{
		sc: s, chance: rand.New(rand.NewPCG(s.Seed, 0x6d6572696469616e)), seams: x, pace: s.pace(),
		active: make([]bool, len(s.Faults)), decoded: make([]latest, s.Nodes),
		trace: trace{hash: sha256.New(), out: out},
	}
	w.probeOf = health.Check{Name: "web", Kind: health.TCP, Port: 443, Timing: health.DefaultTiming}
	if s.Fast {
		w.probeOf.Timing = health.FastTiming
	}
	w.sound, w.poison = w.probeOf.Hash(), health.Check{Name: "web", Kind: health.HTTP, Port: 443, Path: "/gone"}.Hash()
	w.lay()
	w.weather = w.forecast()
	for i := range s.Nodes {
		w.nodes = append(w.nodes, w.newNode(i))
		w.byName = append(w.byName, i)
	}
	slices.SortFunc(w.byName, func(a, b int) int { return strings.Compare(w.nodes[a].name, w.nodes[b].name) })
	w.gather()
	w.populate()
	w.checker.begin(w)
	return w
}

// lay makes the configuration.
func (w *world) lay() {
	s := w.sc
	var networks []geo.Network
	w.fleet.Policy = s.policy()
	for i := range s.Datacenters {
		name := datacenterName(i)
		// Along a spiral, so that no two are at one place and every client has a nearest.
		turn := float64(i) / float64(s.Datacenters)
		at := geo.Coord{Lat: math.Round(100*(60*turn-30)) / 100, Lon: math.Round(100*(300*turn-150)) / 100}
		w.inputs.Datacenters = append(w.inputs.Datacenters, steer.Datacenter{Name: name, Region: "region-" + name, Coord: at})
		w.fleet.Datacenters = append(w.fleet.Datacenters, health.Datacenter{Name: name, Region: "region-" + name})
		networks = append(networks, geo.Network{
			Prefix: netip.PrefixFrom(clientAddr(i), 29).Masked(), Place: geo.Place{Coord: at, Located: true, Label: name},
		})
	}
	var b geo.Builder
	if err := b.Add(geo.Layer(networks...)); err != nil {
		panic(err) // the networks are ours, and sorted by Layer
	}
	w.inputs.World = b.World()

	var leaves []steer.Policy
	var names []string
	for i := range s.Sites {
		x := &site{name: siteName(i), dc: i, addr: netip.AddrFrom4([4]byte{198, 51, 100, byte(i + 1)})}
		w.sites = append(w.sites, x)
		w.inputs.Sites = append(w.inputs.Sites, steer.Site{
			Name: x.name, Datacenter: datacenterName(i), V4: x.addr, Weight: 100, Capacity: siteCapacity,
		})
		w.fleet.Sites = append(w.fleet.Sites, health.Site{Name: x.name, Datacenter: datacenterName(i), Capacity: siteCapacity})
		w.fleet.Targets = append(w.fleet.Targets, health.Target{Site: x.name, Check: w.probeOf.Name, Family: health.V4})
		leaves = append(leaves, steer.Policy{Kind: steer.KindSite, Site: x.name})
		names = append(names, x.name)
	}
	for _, v := range []steer.Service{
		{Name: "shop", Policy: steer.Policy{Kind: steer.KindNearest, Children: leaves}},
		{Name: "pay", Policy: steer.Policy{Kind: steer.KindFailover, Children: leaves}},
	} {
		v.TTLMin, v.TTLMax, v.Checks = serviceTTLMin, serviceTTLMax, []string{w.probeOf.Name}
		v.LastResort = []netip.Addr{lastResort}
		w.inputs.Services = append(w.inputs.Services, v)
	}
	// Both services need the same of the same sites: they are one pool, as package node makes of such.
	w.fleet.Pools = []health.Pool{{Service: "shop", Sites: names, Checks: []string{w.probeOf.Name}, Demand: uint32(s.Demand)}}
}

const (
	siteCapacity  = 100
	serviceTTLMin = 1
	serviceTTLMax = 60
)

var lastResort = netip.MustParseAddr("203.0.113.1")

// clientAddr is a client next to a datacenter.
func clientAddr(dc int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(8*dc + 1)}) }

// gather gives every node its replica.
func (w *world) gather() {
	if w.sc.Nodes <= cohortsFrom {
		for _, n := range w.nodes {
			w.newReplica(n)
		}
		return
	}
	for i, n := range w.nodes {
		if i < w.sc.Datacenters {
			w.newReplica(n)
		} else {
			home := w.nodes[i%w.sc.Datacenters].replica
			home.members = append(home.members, n)
			n.replica = home
		}
	}
}

// run plays the scenario to its end, or to the first violation if asked.
func (w *world) run(stopAtFirst bool) {
	for i, f := range w.sc.Faults {
		w.push(event{at: f.At, kind: evBegin, node: -1, a: int32(i)})
		if f.For > 0 {
			w.push(event{at: min(f.At+f.For, max(f.At, w.sc.For-w.sc.Quiet)), kind: evEnd, node: -1, a: int32(i)})
		}
	}
	for _, n := range w.nodes {
		if n.replica.members[0] == n {
			w.boot(n, true)
		} else {
			w.bootMember(n)
		}
	}
	w.push(event{at: time.Second, kind: evCheck, node: -1})
	for len(w.queue.heap) > 0 && w.queue.heap[0].at <= w.sc.For {
		e := w.queue.pop()
		w.now = e.at
		w.stats.Events++
		w.trace.event(&e)
		w.dispatch(e)
		if stopAtFirst && len(w.checker.violations) > 0 {
			return
		}
	}
	w.now = w.sc.For
	w.checker.end(w)
}

func (w *world) push(e event) {
	if e.due == 0 {
		e.due = e.at
	}
	w.queue.push(e)
}

// later has an event of this boot of a node happen after d.
func (w *world) later(n *node, d time.Duration, k kind, a int32, x any) {
	w.push(event{at: w.now + d, kind: k, boot: n.boot, node: int32(n.id), a: a, x: x})
}

func (w *world) dispatch(e event) {
	if e.node < 0 {
		switch e.kind {
		case evBegin:
			w.befall(int(e.a))
		case evEnd:
			w.pass(int(e.a))
		case evQuery:
			w.query(w.clients[e.a])
		case evCheck:
			w.checker.survey(w)
			w.push(event{at: w.now + time.Second, kind: evCheck, node: -1})
		}
		return
	}
	n := w.nodes[e.node]
	if e.boot != n.boot || !n.up {
		return
	}
	if e.kind == evResume {
		w.resume(n)
		return
	}
	if n.paused {
		if e.kind == evMessage && len(n.deferred) >= inboxLimit {
			return // a full socket buffer
		}
		n.deferred = append(n.deferred, e)
		return
	}
	if n.slow > 0 && e.at == e.due {
		// What came is done only after a while, in order.
		n.busy = max(n.busy, w.now+1+time.Duration(w.chance.Int64N(int64(n.slow))))
		e.at = n.busy
		w.queue.push(e)
		return
	}
	w.handle(n, e)
}

// inboxLimit bounds what waits for a process that stands still: the socket buffer.
const inboxLimit = 4096

func (w *world) handle(n *node, e event) {
	switch e.kind {
	case evProbe:
		w.tickObserver(n, int(e.a), e.due)
	case evResult:
		w.finishProbe(n, int(e.a), e.x.(probe))
	case evWitness:
		w.askWitness(n)
	case evWitnessed:
		w.hearWitness(n, e.a == 1)
	case evPass:
		w.tick(n)
	case evGossip:
		w.gossipRound(n)
	case evNear, evForeign:
		w.reconcile(n, e.kind)
	case evRejoin:
		w.rejoin(n)
	case evMessage:
		w.receive(n, e.x.(*message))
	case evDisk:
		w.diskStage(n, int(e.a), e.x.(*write))
	}
}

// number reads an argument that Validate has checked.
func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// trace hashes what happens, and tells people who want to watch.
type trace struct {
	hash   hash.Hash
	buffer []byte
	out    io.Writer
}

func (t *trace) event(e *event) {
	b := binary.LittleEndian.AppendUint64(t.buffer, uint64(e.at))
	b = binary.LittleEndian.AppendUint32(b, uint32(e.node))
	b = binary.LittleEndian.AppendUint32(b, uint32(e.kind)<<24^uint32(e.a))
	t.add(b)
}

func (t *trace) add(b []byte) {
	if len(b) > 4096 {
		t.hash.Write(b)
		b = b[:0]
	}
	t.buffer = b
}

func (t *trace) sum() string {
	t.hash.Write(t.buffer)
	t.buffer = t.buffer[:0]
	return hex.EncodeToString(t.hash.Sum(nil)[:16])
}

// tell puts a line into the trace.
func (w *world) tell(format string, args ...any) {
	line := fmt.Sprintf("%11v ", w.now) + fmt.Sprintf(format, args...) + "\n"
	w.trace.add(append(w.trace.buffer, line...))
	if w.trace.out != nil {
		io.WriteString(w.trace.out, line)
	}
}

// weather is what all faults that are active together do to the world.
type weather struct {
	ill       []string // by site: the illness, "" = well
	lostPath  [][]bool // by datacenter and site
	isolated  []bool   // by datacenter
	parted    []bool
	mute      []bool
	backbone  bool
	cuts      map[[2]int]bool // from node to node
	loss      int             // percent
	twice     int
	delay     time.Duration
	scrambled time.Duration
}

// forecast derives the weather and the ills of nodes from the active faults.
func (w *world) forecast() weather {
	s := w.sc
	x := weather{
		ill: make([]string, s.Sites), isolated: make([]bool, s.Datacenters), parted: make([]bool, s.Datacenters),
		mute: make([]bool, s.Datacenters), cuts: map[[2]int]bool{},
	}
	for range s.Datacenters {
		x.lostPath = append(x.lostPath, make([]bool, s.Sites))
	}
	for _, n := range w.nodes {
		n.slow, n.noFiles, n.poisoned, n.disk.failing = 0, false, false, false
	}
	for i, f := range s.Faults {
		if !w.active[i] {
			continue
		}
		dc := func(arg int) int { return int(f.Args[arg][0] - 'a') }
		site := func(arg int) int { return int(f.Args[arg][5] - 'a') }
		node := func(arg int) *node { return w.nodes[s.nodeNumber(f.Args[arg])] }
		switch f.Kind {
		case "site":
			x.ill[site(0)] = f.Args[1]
		case "path":
			x.lostPath[dc(0)][site(1)] = true
		case "egress":
			for j := range x.lostPath[dc(0)] {
				x.lostPath[dc(0)][j] = true
			}
		case "isolate":
			x.isolated[dc(0)] = true
		case "partition":
			x.parted[dc(0)] = true
		case "oneway":
			x.mute[dc(0)] = true
		case "backbone":
			x.backbone = true
		case "cut":
			a, b := s.nodeNumber(f.Args[0]), s.nodeNumber(f.Args[1])
			x.cuts[[2]int{a, b}], x.cuts[[2]int{b, a}] = true, true
		case "deaf":
			x.cuts[[2]int{s.nodeNumber(f.Args[0]), s.nodeNumber(f.Args[1])}] = true
		case "loss":
			x.loss = max(x.loss, number(f.Args[0]))
		case "duplicate":
			x.twice = max(x.twice, number(f.Args[0]))
		case "delay":
			x.delay = max(x.delay, time.Duration(number(f.Args[0]))*time.Millisecond)
		case "reorder":
			x.scrambled = max(x.scrambled, time.Duration(number(f.Args[0]))*time.Millisecond)
		case "slow":
			node(0).slow = time.Duration(number(f.Args[1])) * time.Millisecond
		case "files":
			node(0).noFiles = true
		case "poison":
			node(0).poisoned = true
		case "disk":
			node(0).disk.failing = true
		}
	}
	return x
}

// befall begins a fault.
func (w *world) befall(i int) {
	f := w.sc.Faults[i]
	w.active[i] = true
	w.tell("fault %s", f)
	for j, a := range f.Args {
		if faultKinds[f.Kind].args[j] == "node" {
			w.detach(w.nodes[w.sc.nodeNumber(a)])
		}
	}
	switch f.Kind {
	case "crash":
		w.crash(w.nodes[w.sc.nodeNumber(f.Args[0])])
	case "pause":
		w.pause(w.nodes[w.sc.nodeNumber(f.Args[0])])
	case "clock":
		w.nodes[w.sc.nodeNumber(f.Args[0])].adjust(w, offset(f), 0)
	case "drift":
		w.nodes[w.sc.nodeNumber(f.Args[0])].adjust(w, 0, offset(f))
	case "override", "clear":
		w.operate(f)
	}
	w.weather = w.forecast()
	if f.Kind == "poison" {
		w.redefine(w.nodes[w.sc.nodeNumber(f.Args[0])])
	}
	w.checker.fault(w, f, true)
}

// pass ends a fault.
func (w *world) pass(i int) {
	f := w.sc.Faults[i]
	w.active[i] = false
	if f.Kind != "override" {
		w.tell("over  %s", f)
	}
	w.weather = w.forecast()
	switch f.Kind {
	case "poison":
		w.redefine(w.nodes[w.sc.nodeNumber(f.Args[0])])
	case "crash":
		if n := w.nodes[w.sc.nodeNumber(f.Args[0])]; !n.up && !w.struck(n, "crash") {
			w.boot(n, false)
		}
	case "pause":
		if n := w.nodes[w.sc.nodeNumber(f.Args[0])]; n.paused && !w.struck(n, "pause") {
			w.later(n, 0, evResume, 0, nil)
		}
	case "clock":
		w.nodes[w.sc.nodeNumber(f.Args[0])].adjust(w, -offset(f), 0)
	case "drift":
		n := w.nodes[w.sc.nodeNumber(f.Args[0])]
		n.adjust(w, 0, -offset(f))
		n.adjust(w, -n.gained, 0) // NTP is back
		n.gained = 0
	}
	w.checker.fault(w, f, false)
}

// struck reports whether a fault of the kind is active on the node.
func (w *world) struck(n *node, kind string) bool {
	for i, f := range w.sc.Faults {
		if w.active[i] && f.Kind == kind && f.Args[0] == n.name {
			return true
		}
	}
	return false
}

func offset(f Fault) time.Duration {
	d, _ := time.ParseDuration(f.Args[1])
	return d
}
