package steer

import (
	"crypto/sha256"
	"net/netip"
	"time"

	"github.com/meridian-gtm/meridian/geo"
)

// variant is everything that the answers of one service for one family are looked up in. Services with equal
// definitions and standings share it.
type variant struct {
	program
	addrs   []netip.Addr // by member
	resort  []netip.Addr // of the last resort
	ttl     uint32       // seconds, of [stageProven]
	ttlMin  uint32       // of every other stage
	results []result     // by audience * classes + class
	classes int
	table   *geo.Table // nil when the class makes no difference
	regions *geo.Table // nil when no site is avoided by any region
	hearing []uint32   // region -> audience
	digest  [sha256.Size]byte
}

// result is what one class of clients gets.
type result struct {
	choice uint32
	stage  stage
	local  bool // other audiences of the class get something else
}

// stage is how far down the list of last straws an answer came from. Every stage walks the same policy tree over
// other sites, and the first with anything for the client's class answers.
type stage uint8

const (
	stageProven  stage = iota // sites that stand, without those that the client's region avoids
	stageUnknown              // and those that nobody has checked yet
	stageAvoided              // and those that the region avoids
	// The all-down policy.
	stageLastGood   // sites that are not drained and went down last
	stageAll        // every site that is not drained
	stageLastResort // the service's own addresses
	stageNone       // NODATA
	// Nothing else is left.
	stageDrained   // drained sites that are not down
	stageDrainedAt // any drained site
	stageIsolated  // every site is isolated: the last resort, else NODATA
	stageNoFamily  // no site that the class can come to has the family: NODATA
)

func (s stage) cause() Cause {
	switch s {
	case stageProven, stageUnknown, stageAvoided:
		return CausePolicy
	case stageNoFamily:
		return CauseNoFamily
	default:
		return CauseAllDown
	}
}

// lastGoodWindow is how long before the last site others may have gone down to count as equally good: what fails
// together is seen within a few probe intervals of each other, not at one instant.
const lastGoodWindow = 60 * time.Second

// locate finds a client's result and the length of the prefix around it that shares the result.
func (v *variant) locate(a netip.Addr) (x *result, audience int, bits uint8) {
	class := uint32(0)
	if a.IsValid() && v.table != nil {
		class, bits = v.table.Lookup(a)
	}
	x = &v.results[class]
	if x.local && a.IsValid() {
		region, regionBits := v.regions.Lookup(a)
		audience = int(v.hearing[region])
		x, bits = &v.results[audience*v.classes+int(class)], max(bits, regionBits)
	}
	return x, audience, bits
}

// answer decides for one client. Salt is the service's.
func (v *variant) answer(a netip.Addr, salt uint64, turn uint32, dst []netip.Addr) Answer {
	x, _, bits := v.locate(a)
	ans := Answer{TTL: v.ttlMin, Scope: bits, Cause: x.stage.cause()}
	switch x.stage {
	case stageNone, stageNoFamily:
		return ans
	case stageLastResort, stageIsolated:
		ans.Addrs = append(dst, v.resort...)[len(dst):]
		rotate(ans.Addrs, turn)
		return ans
	case stageProven:
		ans.TTL = v.ttl
	}
	key, keyBits := clientKey(a)
	d := decision{
		program: &v.program, addrs: v.addrs, out: dst, base: len(dst), seed: mix(key ^ salt), turn: turn,
	}
	d.take(x.choice, false, 1)
	if d.hashed {
		ans.Scope = max(bits, keyBits)
	}
	ans.Addrs, ans.Sites = d.out[len(dst):], d.sites
	return ans
}
