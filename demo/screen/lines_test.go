package screen

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLines(t *testing.T) {
	was := lostFrankfurt()
	if got := Lines(was, was); got != nil {
		t.Errorf("nothing changed: %q", got)
	}
	now := lostFrankfurt()
	now.Now = noon.Add(time.Second)
	now.Events = append(now.Events[2:], Event{4, noon.Add(500 * time.Millisecond), "healed: eu-west"})
	now.Sites[1].Verdict, now.Sites[1].Reason = Up, ""
	now.Cities[1].Addrs, now.Cities[1].Site = []string{"198.51.100.2"}, "eu-west"
	now.Cities[1].TTL = 10
	now.Cities[0].TTL = 29 // no news
	now.Cities[2] = City{Name: "Mumbai", Addrs: []string{"198.51.100.3", "198.51.100.1"}, Site: "ap-south", TTL: 10}
	want := []string{
		"12:00:00  healed: eu-west",
		"12:00:01  site eu-west ● up",
		"12:00:01  Frankfurt is answered 198.51.100.2 (eu-west), TTL 10 s",
		"12:00:01  Mumbai is answered 198.51.100.3, 198.51.100.1 (ap-south), TTL 10 s",
	}
	if diff := cmp.Diff(want, Lines(was, now)); diff != "" {
		t.Error(diff)
	}
	want = []string{
		"12:00:00  site eu-west ○ down: down: 2 of 2 foreign datacenters",
		"12:00:00  Frankfurt is answered 198.51.100.1 (us-east), TTL 10 s",
		"12:00:00  Mumbai gets no answer: no answer from 198.51.100.53:5300 within 1 s",
	}
	if diff := cmp.Diff(want, Lines(now, was)); diff != "" {
		t.Error(diff)
	}
}
