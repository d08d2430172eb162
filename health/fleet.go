package health

// Fleet is the configured world that evidence is counted against. Quorum and votes count configured datacenters,
// never live members: a quorum of the living shrinks with a partition until every fragment is a majority.
//
// Where only one datacenter is configured, its own evidence is all there can be: it decides as a foreign one's would,
// without corroboration. With two, the loss of one leaves the other without a quorum, so that a blackout is believed
// only after Stale + MinorityHold; a third, observer-only datacenter makes that seconds.
//
// The functions of this package do not change a fleet.
type Fleet struct {
	Datacenters []Datacenter // names unique
	Sites       []Site       // names unique
	Targets     []Target     // what is probed; unique
	Pools       []Pool       // what stands in for what; a target in no pool is pooled with its check and family
	Policy      Policy
}

// Datacenter is one configured vantage. It votes through the observers (nodes) in it.
type Datacenter struct {
	Name   string
	Region string // its clients steer away from what this datacenter alone cannot reach; "" = the name
	Weight uint32 // share in the quorum; 0 = 1
}

// Site is one configured site.
type Site struct {
	Name       string
	Datacenter string
	Capacity   uint32 // what it can carry, in the unit of Pool.Demand; 0 = not stated
}

// Pool is one service's sites and the checks it needs of each. Every address family is a pool of its own.
type Pool struct {
	Service string
	Sites   []string
	Checks  []string
	Demand  uint32 // present load of one family, in the unit of Site.Capacity; 0 = not known
}
