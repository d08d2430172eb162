package health

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"time"
)

// Check is one configured way to probe a VIP. Names are unique in a configuration; services list the checks they
// need, and the worst of them is the site's health for that service.
type Check struct {
	Name string
	Kind CheckKind
	Port uint16 // TCP port on the VIP, 1..65535

	// HTTP and HTTPS only.
	Path       string        // request target, starts with "/"; default "/"
	Host       string        // Host header; default the VIP
	Status     []StatusRange // accepted status codes; default 200..299
	Body       string        // substring that the first 64 KiB of the body must hold; "" = any
	ServerName string        // TLS SNI and certificate name; default Host
	SkipVerify bool          // accept any certificate
	CAFile     string        // PEM roots instead of the system's

	// ExpiryWarning makes a certificate that ends sooner than this a soft failure; 0 = off.
	ExpiryWarning time.Duration

	Timing Timing
}

// Hash identifies the definition: nodes whose check of one name differs are told apart by it.
func (c Check) Hash() uint32 {
	h := fnv.New32a()
	fmt.Fprintf(h, "%q", []any{
		c.Name, c.Kind, c.Port, c.Path, c.Host, c.Status, c.Body, c.ServerName, c.SkipVerify, c.CAFile,
		c.ExpiryWarning, c.Timing.orDefault(),
	})
	return h.Sum32()
}

// CheckKind names a probe protocol.
type CheckKind string

// The probe protocols.
const (
	HTTP  CheckKind = "http"
	HTTPS CheckKind = "https"
	TCP   CheckKind = "tcp"
)

// StatusRange is an inclusive range of HTTP status codes, 100..599.
type StatusRange struct{ Low, High int }

// Timing is the pace of one check and the thresholds of its observer.
type Timing struct {
	Interval time.Duration // between probes of a settled target, spread by +-10 %; 100 ms..1 h; default 2 s
	Timeout  time.Duration // fixed, an adaptive one learns to accept gray failure; 10 ms..1 min; default 2 s
	Recheck  time.Duration // between probes after a first failure; default 500 ms
	Fall     int           // failures in a row that make Up -> Down; 1..100; default 3
	OK       int           // successes in a row that clear suspicion; 1..100; default 3
	Rise     int           // successes in a row that make Down -> Up; 1..100; default 4
}

// DefaultTiming suits sites across a WAN: a blackhole is seen in at most 5.2 s, a refusal in 3.3 s.
var DefaultTiming = Timing{
	Interval: 2 * time.Second, Timeout: 2 * time.Second, Recheck: 500 * time.Millisecond, Fall: 3, OK: 3, Rise: 4,
}

// orDefault fills zero fields.
func (t Timing) orDefault() Timing {
	d := DefaultTiming
	return Timing{
		Interval: cmp.Or(t.Interval, d.Interval), Timeout: cmp.Or(t.Timeout, d.Timeout),
		Recheck: cmp.Or(t.Recheck, d.Recheck),
		Fall:    cmp.Or(t.Fall, d.Fall), OK: cmp.Or(t.OK, d.OK), Rise: cmp.Or(t.Rise, d.Rise),
	}
}

// FastTiming suits the demo and LAN-like sites: a loss is seen in under a second.
var FastTiming = Timing{
	Interval: 250 * time.Millisecond, Timeout: 500 * time.Millisecond, Recheck: 100 * time.Millisecond,
	Fall: 3, OK: 3, Rise: 4,
}

// Outcome is what one probe showed.
type Outcome uint8

// The outcomes of a probe. LocalFault means that this machine could not probe (no route to anything, out of file
// descriptors, scheduler stall): it says nothing about the target and never counts as a failure.
const (
	Success Outcome = iota
	SoftFail
	HardFail
	LocalFault
)

// Result is one finished probe.
type Result struct {
	Target  Target
	Outcome Outcome
	RTT     time.Duration // connect to verdict; meaningful for Success and SoftFail
	Detail  string        // short, lower case, for people: "connect refused", "status 503: want 200..299"
}
