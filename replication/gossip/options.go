package gossip

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/meridian-gtm/meridian/replication"
)

// MaxMetaBytes is the longest Options.Meta.
const MaxMetaBytes = 256

// Options configure a Gossip. Name, Datacenter and Bind are required.
type Options struct {
	Name       string // of this node, unique in the fleet
	Datacenter string // of this node

	// Bind is the address for UDP and TCP alike. Port 0 lets the system choose; see Gossip.Addr.
	Bind netip.AddrPort

	// Advertise is the address at which peers reach this node. Default Bind; required when Bind is unspecified.
	Advertise netip.AddrPort

	// Seeds are "host:port" of some other nodes, tried for ever while they are absent. This node itself may be
	// among them.
	Seeds []string

	// Keyring holds AES keys of 16, 24 or 32 bytes. The first encrypts, all decrypt. It may be empty only when Bind,
	// Advertise and all seeds are loopback addresses.
	Keyring [][]byte

	Profile   Profile              // default WAN
	Transport memberlist.Transport // default UDP and TCP on Bind
	Faults    *Faults              // default none
	Meta      []byte               // opaque, up to 256 bytes, shown to others in Member.Meta

	// LeaveTimeout bounds how long Run says goodbye after its context ended. Default 2 s.
	LeaveTimeout time.Duration

	Logger *slog.Logger // default none
}

// Profile is a set of intervals.
type Profile uint8

// The profiles.
const (
	WAN  Profile = iota // datacenters of a fleet: a change is everywhere in about a second
	Fast                // one machine or one LAN, and the demo: a change is everywhere in about 100 ms
)

// pace holds the intervals of a profile.
type pace struct {
	gossip, probe, probeTimeout, pushPull, toTheDead, reclaim time.Duration
	suspicion                                                 int
	near, foreign                                             time.Duration // anti-entropy
	rejoin, rejoinAgain                                       time.Duration
	refetch                                                   time.Duration // before another peer is asked for the same record
	stream                                                    time.Duration // whole life of one stream
}

func (p Profile) pace() pace {
	if p == Fast {
		return pace{
			gossip: 40 * time.Millisecond, probe: 250 * time.Millisecond, probeTimeout: 120 * time.Millisecond,
			pushPull: 5 * time.Second, toTheDead: 10 * time.Second, reclaim: 2 * time.Second, suspicion: 3,
			near: 500 * time.Millisecond, foreign: time.Second,
			rejoin: 500 * time.Millisecond, rejoinAgain: 100 * time.Millisecond,
			refetch: 100 * time.Millisecond, stream: 2 * time.Second,
		}
	}
	return pace{
		gossip: 200 * time.Millisecond, probe: 2 * time.Second, probeTimeout: time.Second,
		pushPull: 30 * time.Second, toTheDead: time.Minute, reclaim: 30 * time.Second, suspicion: 4,
		near: 5 * time.Second, foreign: 10 * time.Second,
		rejoin: 5 * time.Second, rejoinAgain: 500 * time.Millisecond,
		refetch: time.Second, stream: 10 * time.Second,
	}
}

func (o Options) withDefaults() Options {
	if !o.Advertise.IsValid() {
		o.Advertise = o.Bind
	}
	if o.LeaveTimeout == 0 {
		o.LeaveTimeout = 2 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// validate reports every fault, joined. It runs after withDefaults.
func (o Options) validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf("gossip: "+format, args...)) }
	if !replication.ValidName(o.Name) {
		fault("name %q: want 1..%d letters, digits, \"-\", \"_\", \".\"", o.Name, replication.MaxNameBytes)
	}
	if !replication.ValidName(o.Datacenter) {
		fault("datacenter %q: want 1..%d letters, digits, \"-\", \"_\", \".\"", o.Datacenter, replication.MaxNameBytes)
	}
	switch {
	case !o.Bind.IsValid():
		fault("bind: want an address and a port")
	case o.Advertise.Addr().IsUnspecified():
		fault("advertise %s: want an address that peers can reach", o.Advertise)
	}
	if len(o.Meta) > MaxMetaBytes {
		fault("meta of %d bytes: want at most %d", len(o.Meta), MaxMetaBytes)
	}
	if o.LeaveTimeout < 0 {
		fault("leave timeout %s: want at least 0", o.LeaveTimeout)
	}
	if o.Profile > Fast {
		fault("profile %d: want WAN or Fast", o.Profile)
	}
	for _, seed := range o.Seeds {
		if err := checkSeed(seed); err != nil {
			faults = append(faults, fmt.Errorf("gossip: %w", err))
		}
	}
	if len(o.Keyring) > 0 {
		if err := checkKeys(o.Keyring); err != nil {
			faults = append(faults, fmt.Errorf("gossip: keyring: %w", err))
		}
	} else if far := o.beyondLoopback(); far != "" {
		fault("no keyring, but %s is not a loopback address: anyone who reaches it could steer traffic", far)
	}
	return errors.Join(faults...)
}

// beyondLoopback returns an address that is not a loopback address, or "".
func (o Options) beyondLoopback() string {
	for _, a := range []netip.AddrPort{o.Bind, o.Advertise} {
		if a.IsValid() && !a.Addr().Unmap().IsLoopback() {
			return a.String()
		}
	}
	for _, seed := range o.Seeds {
		host, _, err := net.SplitHostPort(seed)
		if err != nil || host == "localhost" {
			continue
		}
		if ip, err := netip.ParseAddr(host); err != nil || !ip.Unmap().IsLoopback() {
			return seed
		}
	}
	return ""
}

func checkSeed(seed string) error {
	host, port, err := net.SplitHostPort(seed)
	if err != nil || host == "" {
		return fmt.Errorf("seed %q: want host:port", seed)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("seed %q: port %q: want 1..65535", seed, port)
	}
	return nil
}

// retransmitMult keeps the number of transmissions of a message at 12 or more, whatever the size of the fleet:
// memberlist sends mult * ceil(log10(n+1)) times, and with its default of 4 one update in twelve misses some node
// of nine.
func retransmitMult(nodes int) int {
	digits := 0
	for n := nodes; n > 0; n /= 10 { // ceil(log10(n+1)) is the number of digits of n
		digits++
	}
	digits = max(digits, 1)
	return max(4, (12+digits-1)/digits)
}
