package node

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-gtm/meridian/config"
	"github.com/meridian-gtm/meridian/dnsserver/keypair"
	"github.com/meridian-gtm/meridian/dnsserver/steer"
	"github.com/meridian-gtm/meridian/dnsserver/zone"
	"github.com/meridian-gtm/meridian/geo"
	"github.com/meridian-gtm/meridian/geo/mmdb"
	"github.com/meridian-gtm/meridian/health"
)

// setup is a configuration with the zones it names, checked and ready to run. It is replaced whole.
type setup struct {
	config  *config.Config
	hash    string // of the fleet-wide configuration and of what the zones hold
	fleet   health.Fleet
	targets []config.Target
	zones   *zone.Set
	loaded  time.Time
}

// load reads everything that a configuration names, geo databases excepted: those have their own life, see
// mmdb.Watcher. Every fault is reported.
func load(path string, o config.Overrides, now time.Time) (*setup, error) {
	cfg, err := config.LoadWith(path, o)
	if err != nil {
		return nil, err
	}
	s := &setup{config: cfg, fleet: cfg.Fleet(), targets: cfg.Targets(), loaded: now}
	s.fleet.Pools = mergePools(s.fleet.Pools)
	list, err := loadZones(cfg.Zones)
	if err := errors.Join(s.reportable(), err); err != nil {
		return nil, err
	}
	if s.zones, err = zone.NewSet(list); err != nil {
		return nil, err
	}
	s.hash = digest(cfg.FleetHash(), s.zones)
	// A plan compiled without geography or verdicts proves the policies.
	if _, err := steer.Compile(s.inputs(nil, nil), nil); err != nil {
		return nil, err
	}
	return s, nil
}

// loadZones loads zones, as many at a time as there are processors, and reports the faults of all in their order.
func loadZones(sources []zone.Source) ([]*zone.Zone, error) {
	zones, faults := make([]*zone.Zone, len(sources)), make([]error, len(sources))
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(sources)) {
		group.Go(func() {
			var loader zone.Loader
			for i := next.Add(1) - 1; i < int64(len(sources)); i = next.Add(1) - 1 {
				zones[i], faults[i] = loader.Load(sources[i])
			}
		})
	}
	group.Wait()
	return zones, errors.Join(faults...)
}

// digest joins a digest with those of zones, so that nodes with different zone files are seen to differ.
func digest(of string, zones *zone.Set) string {
	h := sha256.New()
	fmt.Fprintln(h, of)
	for _, z := range zones.Zones() {
		fmt.Fprintln(h, z.Origin(), z.Digest())
	}
	return hex.EncodeToString(h.Sum(nil)[:digestBytes])
}

// digestBytes is enough that no two configurations of a fleet's lifetime meet by chance.
const digestBytes = 8

// reportable reports a configuration with more targets than one evidence record can speak of. Reasons are left out
// of the count: a node whose record gets too long leaves them out, too.
func (s *setup) reportable() error {
	e := health.Evidence{Node: s.config.Node.Name, Datacenter: s.config.Node.Datacenter}
	const long = 10 * 365 * 24 * time.Hour
	for _, t := range s.targets {
		e.Targets = append(e.Targets, health.TargetEvidence{Target: t.ID, Age: long, Held: long, RTT: time.Minute})
	}
	if _, err := e.AppendBinary(nil); err != nil {
		return fmt.Errorf("%d targets (sites x checks x families): want fewer: %w", len(s.targets), err)
	}
	return nil
}

// mergePools makes one pool of those that consist of the same checks of the same sites, as those of most services do:
// a fleet has few sites and many services, and every decision looks at every pool.
func mergePools(pools []health.Pool) []health.Pool {
	var out []health.Pool
	same := map[string][]string{} // sites and checks -> services
	var order []string
	of := map[string]health.Pool{}
	for _, p := range pools {
		p.Sites = slices.Sorted(slices.Values(p.Sites))
		p.Checks = slices.Sorted(slices.Values(p.Checks))
		key := fmt.Sprintf("%q %q %d", p.Sites, p.Checks, p.Demand)
		if same[key] == nil {
			order, of[key] = append(order, key), p
		}
		same[key] = append(same[key], p.Service)
	}
	for _, key := range order {
		p := of[key]
		if n := len(same[key]); n > 1 {
			p.Service = fmt.Sprintf("%s and %d more", p.Service, n-1)
		}
		out = append(out, p)
	}
	return out
}

func (s *setup) inputs(world *geo.World, verdicts map[health.Target]health.Verdict) steer.Inputs {
	return steer.Inputs{
		Datacenters: s.config.Datacenters, Sites: s.config.Sites, Services: s.config.Services,
		World: world, Verdicts: verdicts,
	}
}

// geoFiles are the databases that a configuration names.
func geoFiles(c *config.Config) mmdb.Files {
	return mmdb.Files{City: c.Geo.City, Country: c.Geo.Country, ASN: c.Geo.ASN, CIDRMap: c.Geo.CIDRMap}
}

// CheckSummary is what a sound configuration amounts to.
type CheckSummary struct {
	File        string   `json:"file"`
	Hash        string   `json:"hash"` // what status calls the config of a node that runs it
	Datacenters int      `json:"datacenters"`
	Sites       int      `json:"sites"`
	Services    int      `json:"services"`
	Zones       int      `json:"zones"`
	Targets     int      `json:"targets"` // what every node probes
	Geo         string   `json:"geo"`
	Warnings    []string `json:"warnings"` // what is odd in a zone or a certificate but no fault, each as "FILE:LINE: ..." or "FILE: ..."
}

// Check reads a configuration and everything it names, as a node does when it starts, and reports every fault. It opens
// no socket and writes nothing.
func Check(path string) (*CheckSummary, error) {
	var summary CheckSummary
	var pair *keypair.Pair
	cfg, err := config.Check(path, config.Overrides{}, func(c *config.Config) error {
		_, info, err := mmdb.Load(geoFiles(c))
		summary.Geo = info.String()
		return err
	}, func(c *config.Config) (err error) {
		if overTLS(c.DNS) {
			pair, err = keypair.Load(c.DNS.TLS.Certificate, c.DNS.TLS.Key)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	s, err := load(path, config.Overrides{}, time.Time{})
	if err != nil {
		return nil, err
	}
	summary.File, summary.Hash, summary.Warnings = path, s.hash, []string{}
	summary.Datacenters, summary.Sites, summary.Services = len(cfg.Datacenters), len(cfg.Sites), len(cfg.Services)
	summary.Zones, summary.Targets = len(cfg.Zones), len(s.targets)
	for _, z := range s.zones.Zones() {
		summary.Warnings = append(summary.Warnings, z.Warnings()...)
	}
	if pair == nil {
		return &summary, nil
	}
	if err := pair.Warn(time.Now(), cfg.DNS.TLS.ExpiryWarning); err != nil {
		summary.Warnings = append(summary.Warnings, err.Error())
	}
	if pair.Exposed {
		summary.Warnings = append(summary.Warnings, pair.KeyFile+": every user of this machine can read the key")
	}
	return &summary, nil
}

// needsRestart names what differs between two configurations and cannot change while the node runs.
func needsRestart(old, new *config.Config) error {
	var faults []error
	differ := func(section string, old, new any) {
		o, n := reflect.ValueOf(old), reflect.ValueOf(new)
		for i := range o.NumField() {
			o, n, field := o.Field(i).Interface(), n.Field(i).Interface(), o.Type().Field(i).Name
			if !reflect.DeepEqual(o, n) {
				faults = append(faults, fmt.Errorf("%s: %s: %+v: want %+v: it changes only with a restart", section, field, n, o))
			}
		}
	}
	differ("node", old.Node, new.Node)
	differ("dns", old.DNS, new.DNS)
	differ("gossip", old.Gossip, new.Gossip)
	differ("api", old.API, new.API)
	return errors.Join(faults...)
}
