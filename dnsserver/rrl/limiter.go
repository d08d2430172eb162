// Package rrl limits how many answers a network of clients gets per second (response rate limiting), so that a server
// is of little use to those who ask in a victim's name. It only decides: the caller brings the time, and sends.
//
// A network may get a burst at once and its rate ever after; asking more does not lower it. Of the answers in excess
// most are dropped, and every so many is to be sent truncated, so that a client that does exist asks again over TCP.
package rrl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"sync/atomic"
	"time"
)

// Class is a kind of answer. Each has a budget of its own, so that queries for names that do not exist leave a network
// its answers.
type Class uint8

// The classes.
const (
	Answers Class = iota // NOERROR with an answer
	Empty                // NXDOMAIN, NODATA and referrals
	Errors               // all other response codes
	classes
)

// ClassOf returns the class of an answer, by its header of 12 octets.
func ClassOf(answer []byte) Class {
	const noError, nxDomain = 0, 3
	switch rcode := answer[3] & 0xf; {
	case rcode == noError && binary.BigEndian.Uint16(answer[6:]) > 0:
		return Answers
	case rcode == noError || rcode == nxDomain:
		return Empty
	default:
		return Errors
	}
}

// Verdict says what becomes of an answer.
type Verdict uint8

// The verdicts.
const (
	Send Verdict = iota
	Truncate
	Drop
)

// Options of a [Limiter]. The zero value limits nothing.
type Options struct {
	// Answers, Empty and Errors are answers per second and network, by class: 1..1,000,000; 0 = no limit.
	Answers, Empty, Errors int
	// Burst is for how long the rate may be used in advance: 100 ms..1 min, default 1 s.
	Burst time.Duration
	// Slip sends every so many-th answer in excess truncated, 1..1000; default 2.
	Slip int
	// V4Prefix and V6Prefix are the length of a network: 8..32, default 24, and 16..64, default 56.
	V4Prefix, V6Prefix int
	// Exempt networks are not limited: one's own resolvers and monitoring.
	Exempt []netip.Prefix
	// Networks is how many networks and classes are known at a time, 1024..16,777,216 and rounded up to a power of two;
	// default 65,536. Each takes 8 octets. Beyond that those nearest their right to a full burst are forgotten.
	Networks int
}

// Enabled reports whether anything is limited.
func (o Options) Enabled() bool { return o.Answers != 0 || o.Empty != 0 || o.Errors != 0 }

func (o Options) withDefaults() Options {
	if o.Burst == 0 {
		o.Burst = time.Second
	}
	for field, value := range map[*int]int{&o.Slip: 2, &o.V4Prefix: 24, &o.V6Prefix: 56, &o.Networks: 1 << 16} {
		if *field == 0 {
			*field = value
		}
	}
	return o
}

func (o Options) validate() error {
	var errs []error
	for _, limit := range []struct {
		name             string
		value, low, high int
	}{
		{"answers", o.Answers, 0, 1_000_000},
		{"empty", o.Empty, 0, 1_000_000},
		{"errors", o.Errors, 0, 1_000_000},
		{"slip", o.Slip, 1, 1000},
		{"v4 prefix", o.V4Prefix, 8, 32},
		{"v6 prefix", o.V6Prefix, 16, 64},
		{"networks", o.Networks, 1 << 10, 1 << 24},
	} {
		if limit.value < limit.low || limit.value > limit.high {
			errs = append(errs, fmt.Errorf("rrl: %s: %d: want %d..%d", limit.name, limit.value, limit.low, limit.high))
		}
	}
	if o.Burst < 100*time.Millisecond || o.Burst > time.Minute {
		errs = append(errs, fmt.Errorf("rrl: burst: %v: want 100ms..1m", o.Burst))
	}
	for _, prefix := range o.Exempt {
		if !prefix.IsValid() {
			errs = append(errs, errors.New("rrl: exempt: invalid prefix: want IP/LENGTH"))
		}
	}
	return errors.Join(errs...)
}

// A cell of the table is a network and class, by the upper bits of its hash, and the time at which its budget is full
// again (the "theoretical arrival time" of the generic cell rate algorithm), in units and modulo 2^timeBits, about 19
// hours. An older time may pass for one to come; the worst of it is a burst less.
const (
	unitShift = 6 // 64 ns
	timeBits  = 40
	timeMask  = 1<<timeBits - 1
	ways      = 4 // cells that a network may be in
)

// Limiter decides. Its methods are safe for concurrent use, take no lock and do not allocate.
type Limiter struct {
	opts     Options
	seed     [2]uint64
	interval [classes]uint64 // units between answers at the rate; 0 = no limit
	ahead    [classes]uint64 // units that the budget may be used in advance of its next answer
	mask     uint64
	cells    []atomic.Uint64
}

// New reports every option that is out of range. The seed must be random: who knows it can find networks that share
// a budget.
func New(o Options, seed [2]uint64) (*Limiter, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	cells := uint64(1) << bits.Len64(uint64(o.Networks-1))
	l := &Limiter{opts: o, seed: seed, mask: cells - 1, cells: make([]atomic.Uint64, cells)}
	for class, rate := range [classes]int{Answers: o.Answers, Empty: o.Empty, Errors: o.Errors} {
		if rate > 0 {
			l.interval[class] = max(uint64(time.Second)>>unitShift/uint64(rate), 1)
			burst := uint64(o.Burst) >> unitShift
			l.ahead[class] = burst - min(burst, l.interval[class])
		}
	}
	return l, nil
}

// Check decides on an answer of a class to client. now is the time since any one moment; it may be coarse, to a tenth of
// the burst. turn decides which of the answers in excess are sent truncated: any number that changes from query to
// query, evenly spread modulo Options.Slip.
func (l *Limiter) Check(client netip.Addr, class Class, now time.Duration, turn uint32) Verdict {
	interval := l.interval[class]
	if interval == 0 || l.take(l.hash(client, class), interval, l.ahead[class], uint64(now)>>unitShift&timeMask) {
		return Send
	}
	client = client.Unmap()
	for _, prefix := range l.opts.Exempt {
		if prefix.Contains(client) {
			return Send
		}
	}
	if turn%uint32(l.opts.Slip) == 0 {
		return Truncate
	}
	return Drop
}

// take takes one answer from a budget, or reports false when nothing is left.
func (l *Limiter) take(hash, interval, ahead, now uint64) bool {
	tag := hash &^ timeMask
	base := hash & l.mask &^ (ways - 1)
	for {
		// The network's own cell, or that of the one whose budget is the fullest.
		var cell *atomic.Uint64
		var old, debt uint64
		for i := range uint64(ways) {
			c := &l.cells[base+i]
			value := c.Load()
			d := l.debt(value, now)
			if value != 0 && value&^timeMask == tag {
				cell, old, debt = c, value, d
				break
			}
			if cell == nil || d < debt {
				cell, old, debt = c, value, d
			}
		}
		if old&^timeMask != tag {
			debt = 0
		}
		if debt > ahead {
			return false
		}
		if cell.CompareAndSwap(old, tag|(now+debt+interval)&timeMask) {
			return true
		}
	}
}

// debt returns the units until a cell's budget is full again.
func (l *Limiter) debt(value, now uint64) uint64 {
	d := (value - now) & timeMask
	if d > uint64(2*time.Minute)>>unitShift { // longer than any burst: in the past
		return 0
	}
	return d
}

// hash tells networks and classes apart.
func (l *Limiter) hash(client netip.Addr, class Class) uint64 {
	var network, kind uint64
	if client.Is4() || client.Is4In6() {
		a := client.As4()
		network = uint64(binary.BigEndian.Uint32(a[:])) >> (32 - l.opts.V4Prefix)
		kind = uint64(class)
	} else {
		a := client.As16()
		network = binary.BigEndian.Uint64(a[:]) >> (64 - l.opts.V6Prefix)
		kind = uint64(classes + class)
	}
	// Twice the folded multiplication of wyhash, the seed as its secrets.
	high, low := bits.Mul64(network^l.seed[0], kind^l.seed[1])
	high, low = bits.Mul64(high^low^l.seed[1], l.seed[0]|1)
	return high ^ low
}
