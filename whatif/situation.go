package whatif

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meridian-gtm/meridian/config"
	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/geo"
	"github.com/meridian-gtm/meridian/geo/mmdb"
	"github.com/meridian-gtm/meridian/health"
)

// Situation is a configuration with its geography, and the sites that are down.
type Situation struct {
	Config *config.Config
	World  *geo.World // nil = nothing is known of any client
	Down   []string   // sites; all others are up with their full weight
}

// Load reads a configuration and the geo databases that it names.
func Load(path string) (Situation, error) {
	c, err := config.Load(path)
	if err != nil {
		return Situation{}, err
	}
	world, _, err := mmdb.Load(mmdb.Files{City: c.Geo.City, Country: c.Geo.Country, ASN: c.Geo.ASN, CIDRMap: c.Geo.CIDRMap})
	if err != nil {
		return Situation{}, err
	}
	return Situation{Config: c, World: world}, nil
}

// Without returns the situation with more sites down.
func (s Situation) Without(down ...string) (Situation, error) {
	for _, name := range down {
		if !slices.ContainsFunc(s.Config.Sites, func(x steer.Site) bool { return x.Name == name }) {
			return s, fmt.Errorf("site %q: want one of %s", name, strings.Join(s.sites(), ", "))
		}
	}
	s.Down = append(slices.Clone(s.Down), down...)
	return s, nil
}

func (s Situation) sites() (names []string) {
	for _, x := range s.Config.Sites {
		names = append(names, x.Name)
	}
	return names
}

// plan compiles the situation.
func (s Situation) plan() (*steer.Plan, error) {
	verdicts := map[health.Target]health.Verdict{}
	for _, t := range s.Config.Targets() {
		v := health.Verdict{Level: health.Up, Weight: health.FullWeight, TTL: s.Config.Health.SettledTTL}
		if slices.Contains(s.Down, t.ID.Site) {
			v.Level, v.Weight = health.Down, 0
		}
		verdicts[t.ID] = v
	}
	return steer.Compile(steer.Inputs{
		Datacenters: s.Config.Datacenters, Sites: s.Config.Sites, Services: s.Config.Services, World: s.World, Verdicts: verdicts,
	}, nil)
}
