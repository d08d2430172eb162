package steer

import (
	"net/netip"
	"testing"
)

func TestSameService(t *testing.T) {
	base := func() Service {
		s := shop("geo(country/DE: weighted(1 a, 2 b), default: nearest(a, b, count=2))")
		s.LastResort = []netip.Addr{addr("203.0.113.9")}
		return s
	}
	a := base()
	for name, change := range map[string]func(s *Service){
		"min TTL":     func(s *Service) { s.TTLMin++ },
		"max TTL":     func(s *Service) { s.TTLMax++ },
		"all-down":    func(s *Service) { s.AllDown = All },
		"last resort": func(s *Service) { s.LastResort = nil },
		"checks":      func(s *Service) { s.Checks = []string{"sql"} },
		"ECS":         func(s *Service) { s.IgnoreECS = true },
		"kind":        func(s *Service) { s.Policy.Rules[0].Child.Kind = KindSticky },
		"site":        func(s *Service) { s.Policy.Default.Children[1].Site = "c" },
		"children":    func(s *Service) { s.Policy.Default.Children = s.Policy.Default.Children[:1] },
		"weights":     func(s *Service) { s.Policy.Rules[0].Child.Weights[1] = 3 },
		"rule's kind": func(s *Service) { s.Policy.Rules[0].Kind = MatchLabel },
		"rule":        func(s *Service) { s.Policy.Rules[0].Value = "FR" },
		"rules":       func(s *Service) { s.Policy.Rules = append(s.Policy.Rules, s.Policy.Rules[0]) },
		"default":     func(s *Service) { s.Policy.Default = nil },
		"count":       func(s *Service) { s.Policy.Default.Count = 1 },
	} {
		b := base()
		change(&b)
		if sameService(&a, &b) || sameService(&b, &a) {
			t.Errorf("%s changed, and the services count as alike", name)
		}
	}
	b := cloneService(base())
	b.Name, b.AllDown = "cart", LastGood
	if !sameService(&a, &b) || !sameService(&b, &a) {
		t.Error("a copy with another name and the default spelt out differs")
	}
}
