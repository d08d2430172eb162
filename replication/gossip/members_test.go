package gossip

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
)

func someNode(name string) *memberlist.Node {
	return &memberlist.Node{Name: name, Addr: net.IPv4(192, 0, 2, 1), Port: 7946, Meta: encodeMeta("fra", []byte("m"))}
}

func TestMemberStates(t *testing.T) {
	m := newMembers("self")
	m.up(someNode("self"))
	m.up(someNode("a"))
	state := func() MemberState { return m.list()[0].State }
	for _, step := range []struct {
		what string
		do   func()
		want MemberState
	}{
		{"joined", func() {}, Alive},
		{"lost", func() { m.down("a") }, Failed},
		{"lost, and the goodbye comes late", func() { m.bye("a") }, Left},
		{"back", func() { m.up(someNode("a")) }, Alive},
		{"said goodbye", func() { m.bye("a") }, Alive},
		{"left", func() { m.down("a") }, Left},
		{"back, and lost", func() { m.up(someNode("a")); m.down("a") }, Failed},
	} {
		if step.do(); state() != step.want {
			t.Errorf("%s: %s, want %s", step.what, state(), step.want)
		}
	}
	if _, ok := m.peer("a"); ok {
		t.Error("a lost member is a peer")
	}
	if _, ok := m.peer("self"); ok || m.alive() != 1 {
		t.Error("this node is its own peer, or not alive")
	}
}

func TestMembersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers("self")
		m.up(someNode("self"))
		for i := range maxMembers + 50 {
			time.Sleep(time.Millisecond)
			name := fmt.Sprintf("node-%d", i)
			m.up(someNode(name))
			m.down(name)
		}
		list := m.list()
		if len(list) != maxMembers {
			t.Errorf("%d members, want %d", len(list), maxMembers)
		}
		for _, e := range list {
			if e.Name == "node-0" || e.Name == "node-50" {
				t.Errorf("%s is kept, newer ones are not", e.Name)
			}
		}
		m.heard("node-3000", time.Second)
		time.Sleep(forgetLost - time.Second)
		m.heard("node-4000", 0)
		time.Sleep(2 * time.Second)
		m.forget()
		if list := m.list(); len(list) != 2 || list[0].Name != "node-4000" || !list[1].Self {
			t.Errorf("after a day: %+v", list)
		}
	})
}

func TestStrangeNodesAreKeptOut(t *testing.T) {
	for want, n := range map[string]*memberlist.Node{
		"":              someNode("node-1"),
		"name":          someNode("../etc"),
		"metadata":      {Name: "node-1"},
		"metadata 0101": {Name: "node-1", Meta: encodeMeta("/", nil)},
	} {
		err := delegate{}.NotifyAlive(n)
		if (want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: got %v, want %q", n, err, want)
		}
	}
}
