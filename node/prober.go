package node

import "github.com/meridian-gtm/meridian/health/probe"

// newProber makes the prober of everything that the configuration wants checked.
func (n *Node) newProber() *probe.Prober {
	return probe.New(n.probeTargets(n.setup), probe.Options{
		Dial: n.opts.Dial, Witnesses: n.setup.config.Witnesses, Logger: n.log,
	})
}

func (n *Node) probeTargets(s *setup) []probe.Target {
	targets := make([]probe.Target, len(s.targets))
	for i, t := range s.targets {
		targets[i] = probe.Target{
			ID: t.ID, Addr: t.Addr, Check: t.Check, Policy: s.config.Health.Observer(n.name, t.ID, t.Check),
		}
	}
	return targets
}
