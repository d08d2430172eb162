package drill

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
)

// well is the status of a fleet of three sites.
func well() *control.Status {
	s := &control.Status{Node: "a-1", Mode: "normal", Epoch: "e1", Services: []control.ServiceStatus{
		{Service: "shop", Family: "v4", Available: []string{"a", "b", "c"}, Total: 3, Capacity: 300, CapacityTotal: 300},
	}}
	for _, name := range []string{"a", "b", "c"} {
		s.Sites = append(s.Sites, control.SiteStatus{Site: name, Datacenter: name, Level: health.Up, Weight: health.FullWeight, Capacity: 100})
		s.Members = append(s.Members, control.Member{Node: name + "-1", Datacenter: name, State: "alive", Epoch: "e1", DNS: "127.0.0.1:53"})
	}
	return s
}

func TestUnsteady(t *testing.T) {
	if why := unsteady(well()); len(why) != 0 {
		t.Errorf("a fleet that is well: %q", why)
	}
	for name, change := range map[string]func(*control.Status){
		"alone":         func(s *control.Status) { s.Mode = "minority-hold" },
		"a site down":   func(s *control.Status) { s.Sites[1].Level = health.Down },
		"a ramp":        func(s *control.Status) { s.Sites[1].Weight = 250 },
		"another plan":  func(s *control.Status) { s.Members[2].Epoch = "e2" },
		"a drain stays": func(s *control.Status) { s.Override = []replication.Override{{Site: "a"}} },
	} {
		s := well()
		change(s)
		if why := unsteady(s); len(why) != 1 {
			t.Errorf("%s: %q: want one reason", name, why)
		}
	}
}

func TestQuorumInterlock(t *testing.T) {
	for id, refused := range map[string]bool{
		"site-blackout": false, "dc-partition": false, "dns-node-crash": false, "key-mismatch": false, "backbone-gone": true,
	} {
		s, _ := Find(id)
		if got := quorum(s, "b", []string{"a", "b", "c"}, well()); (len(got) > 0) != refused {
			t.Errorf("%s: %q: want a refusal: %v", id, got, refused)
		}
	}
	crash, _ := Find("dns-node-crash")
	half := well()
	half.Members[2].State = "dead"
	if got := quorum(crash, "b", []string{"a", "b", "c"}, half); len(got) != 1 {
		t.Errorf("a node dies while another is dead: %q: want a refusal", got)
	}
}

func TestCapacityInterlock(t *testing.T) {
	_, sites := sitesOf(well())
	for _, tt := range []struct {
		gone  []string
		after uint64
		words string
	}{
		{nil, 300, ""}, {[]string{"b"}, 200, ""}, {[]string{"b", "c"}, 100, "capacity 100 of 300 would be left"},
		{[]string{"a", "b", "c"}, 0, "no available v4 site left"},
	} {
		pools := without(tt.gone, well(), sites)
		if len(tt.gone) == 0 {
			if len(pools) != 0 {
				t.Errorf("nothing gone: %+v", pools)
			}
			continue
		}
		if len(pools) != 1 || pools[0].CapacityAfter != tt.after {
			t.Fatalf("without %v: %+v: want capacity %d", tt.gone, pools, tt.after)
		}
		if why := strings.Join(pools[0].refusal(), ""); !strings.Contains(why, tt.words) || (why == "") != (tt.words == "") {
			t.Errorf("without %v: %q: want %q", tt.gone, why, tt.words)
		}
	}
}

func TestTellsWhatItDoes(t *testing.T) {
	race, _ := Find("operator-race")
	lines := race.tell("b", []string{"a", "b", "c"}, Fast)
	if len(lines) != 8 || lines[0] != "after 0s: override: weight of b to 90 %" || lines[6] != "after 4s: override: clear weight of b" {
		t.Errorf("%q", lines)
	}
	all, _ := Find("all-down")
	if lines := all.tell("b", []string{"a", "b", "c"}, Default); len(lines) != 4 || lines[3] != "after 2m0s: heal everything" {
		t.Errorf("%q", lines)
	}
}

func TestFleetIsChecked(t *testing.T) {
	api, err := control.NewClient("127.0.0.1:8053")
	if err != nil {
		t.Fatal(err)
	}
	good := func() Fleet {
		return Fleet{
			Name:    "www.shop.example",
			Nodes:   []Node{{Name: "n1", Site: "a", API: api}, {Name: "n2", Site: "b"}},
			Clients: []Client{{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Weight: 1}},
		}
	}
	if err := good().check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Fleet){
		"no name":   func(f *Fleet) { f.Name = "" },
		"no node":   func(f *Fleet) { f.Nodes = nil },
		"no client": func(f *Fleet) { f.Clients = nil },
		"no weight": func(f *Fleet) { f.Clients[0].Weight = 0 },
		"no API":    func(f *Fleet) { f.Nodes[0].API = nil },
	} {
		f := good()
		change(&f)
		if f.check() == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	f := good()
	if err := f.against([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}); err == nil {
		t.Error("one server for two nodes is accepted")
	}
	two := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2")}
	if err := f.against(two); err != nil || f.Nodes[1].DNS != two[1] {
		t.Errorf("%v, %+v", err, f.Nodes)
	}
	if f.api("a") != api || f.api("b") != api {
		t.Error("the only API is not the one to plan with")
	}
	if got := f.names(); !slices.Equal(got, []string{"n1", "n2"}) {
		t.Error(got)
	}
}
