package health

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The limits of one encoded evidence. Both directions keep them, so that nobody can send what others must refuse.
const (
	MaxEvidence = 64 << 10 // bytes
	maxTargets  = 4096
	maxName     = 255
	maxReason   = 96
	maxScore    = 1 << 20
	maxAge      = time.Duration(1 << 60)
)

const (
	evidenceVersion = 1
	leastTarget     = 10 // bytes: indices, flags, three ages, definition, reason's length
)

// The bits of an evidence's flags, and those above the state in a target's.
const (
	flagIsolated = 1 << iota
	flagBlind
	flagWarm
)
const (
	stateMask = 7
	flagSoft  = 8
	flagBack  = 16
	flagV6    = 32
)

// AppendBinary appends the encoding of e to b: a version byte, then varints and length-prefixed strings, names of
// sites and checks only once. Targets must be sorted by [Target.Compare] and unique. A dozen targets take some
// 400 bytes.
func (e Evidence) AppendBinary(b []byte) ([]byte, error) {
	if err := e.check(); err != nil {
		return b, err
	}
	start := len(b)
	var sites, checks []string
	for _, t := range e.Targets {
		sites = append(sites, t.Target.Site)
		checks = append(checks, t.Target.Check)
	}
	slices.Sort(sites)
	slices.Sort(checks)
	sites, checks = slices.Compact(sites), slices.Compact(checks)

	b = append(b, evidenceVersion)
	b = appendText(appendText(b, e.Node), e.Datacenter)
	b = binary.AppendUvarint(b, e.Epoch)
	b = binary.AppendUvarint(b, e.Seq)
	b = append(b, bit(e.Isolated, flagIsolated)|bit(e.Blind, flagBlind)|bit(e.Warm, flagWarm))
	b = binary.AppendUvarint(b, uint64(e.Score))
	for _, names := range [][]string{sites, checks} {
		b = binary.AppendUvarint(b, uint64(len(names)))
		for _, n := range names {
			b = appendText(b, n)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(e.Targets)))
	for _, t := range e.Targets {
		site, _ := slices.BinarySearch(sites, t.Target.Site)
		check, _ := slices.BinarySearch(checks, t.Target.Check)
		b = binary.AppendUvarint(b, uint64(site))
		b = binary.AppendUvarint(b, uint64(check))
		b = append(b, byte(t.State)|bit(t.Soft, flagSoft)|bit(t.Back, flagBack)|bit(t.Target.Family == V6, flagV6))
		for _, d := range []time.Duration{t.Age, t.Held, t.RTT} {
			b = binary.AppendUvarint(b, uint64(d))
		}
		b = binary.LittleEndian.AppendUint32(b, t.Policy)
		b = appendText(b, t.Reason)
	}
	if n := len(b) - start; n > MaxEvidence {
		return b[:start], fmt.Errorf("evidence of %s: %d bytes: want at most %d", e.Node, n, MaxEvidence)
	}
	return b, nil
}

// DecodeEvidence reads what [Evidence.AppendBinary] wrote. It refuses everything else, and takes memory in
// proportion to len(b) only. The result does not refer to b.
func DecodeEvidence(b []byte) (Evidence, error) {
	var e Evidence
	if len(b) > MaxEvidence {
		return e, fmt.Errorf("evidence: %d bytes: want at most %d", len(b), MaxEvidence)
	}
	r := &reader{rest: b}
	if v := r.byte(); r.err == nil && v != evidenceVersion {
		return e, fmt.Errorf("evidence: version %d: want %d", v, evidenceVersion)
	}
	e.Node, e.Datacenter = r.text(maxName), r.text(maxName)
	e.Epoch, e.Seq = r.uvarint(1<<64-1), r.uvarint(1<<64-1)
	flags := r.byte()
	if flags >= flagWarm<<1 {
		r.fail("flags %#x: want %#x at most", flags, flagWarm<<1-1)
	}
	e.Isolated, e.Blind, e.Warm = flags&flagIsolated != 0, flags&flagBlind != 0, flags&flagWarm != 0
	e.Score = int(r.uvarint(maxScore))
	sites, checks := r.names(), r.names()
	n := r.count(maxTargets, leastTarget)
	if n > 0 {
		e.Targets = make([]TargetEvidence, 0, n)
	}
	for range n {
		t := TargetEvidence{Target: Target{Site: r.pick(sites), Check: r.pick(checks), Family: V4}}
		flags := r.byte()
		t.State, t.Soft, t.Back = State(flags&stateMask), flags&flagSoft != 0, flags&flagBack != 0
		if flags&flagV6 != 0 {
			t.Target.Family = V6
		}
		if flags >= flagV6<<1 {
			r.fail("target flags %#x: want %#x at most", flags, flagV6<<1-1)
		}
		for _, d := range []*time.Duration{&t.Age, &t.Held, &t.RTT} {
			*d = time.Duration(r.uvarint(uint64(maxAge)))
		}
		t.Policy = r.uint32()
		t.Reason = r.text(maxReason)
		if r.err != nil {
			break
		}
		e.Targets = append(e.Targets, t)
	}
	if r.err == nil && len(r.rest) > 0 {
		r.fail("%d bytes after the end", len(r.rest))
	}
	if r.err == nil {
		r.err = e.check()
	}
	if r.err != nil {
		return Evidence{}, fmt.Errorf("evidence: %w", r.err)
	}
	return e, nil
}

// check returns the first thing that makes e unfit for the wire.
func (e Evidence) check() error {
	if err := errors.Join(checkText("node", e.Node, 1, maxName), checkText("datacenter", e.Datacenter, 1, maxName)); err != nil {
		return err
	}
	if e.Score < 0 || e.Score > maxScore {
		return fmt.Errorf("score %d: want 0..%d", e.Score, maxScore)
	}
	if len(e.Targets) > maxTargets {
		return fmt.Errorf("%d targets: want at most %d", len(e.Targets), maxTargets)
	}
	for i, t := range e.Targets {
		err := errors.Join(
			checkText("site", t.Target.Site, 1, maxName),
			checkText("check", t.Target.Check, 1, maxName),
			checkText("reason", t.Reason, 0, maxReason),
		)
		switch {
		case err != nil:
		case t.Target.Family != V4 && t.Target.Family != V6:
			err = fmt.Errorf("family %d: want 4 or 6", t.Target.Family)
		case t.State > StateRecovering:
			err = fmt.Errorf("state %d: want 0..%d", t.State, StateRecovering)
		case min(t.Age, t.Held, t.RTT) < 0 || max(t.Age, t.Held, t.RTT) > maxAge:
			err = fmt.Errorf("ages %v, %v, rtt %v: want 0..%v", t.Age, t.Held, t.RTT, maxAge)
		case i > 0 && e.Targets[i-1].Target.Compare(t.Target) >= 0:
			err = fmt.Errorf("follows %v: want targets sorted and unique", e.Targets[i-1].Target)
		}
		if err != nil {
			return fmt.Errorf("target %q: %w", clip(t.Target.String()), err)
		}
	}
	return nil
}

// checkText wants printable UTF-8: it will be shown on terminals and pages.
func checkText(what, s string, least, most int) error {
	switch {
	case len(s) < least || len(s) > most:
		return fmt.Errorf("%s: %d bytes: want %d..%d", what, len(s), least, most)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%s %q: want printable text", what, s)
	}
	return nil
}

func bit(set bool, b byte) byte {
	if set {
		return b
	}
	return 0
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// reader reads fields until the first fault; after that all fields are zero.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *reader) take(n int) []byte {
	if r.err != nil || n > len(r.rest) {
		r.fail("cut short: %d bytes left: want %d", len(r.rest), n)
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uvarint(most uint64) uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.rest)
	switch {
	case n <= 0:
		r.fail("bad number with %d bytes left", len(r.rest))
		return 0
	case v > most:
		r.fail("number %d: want at most %d", v, most)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// count reads how many items of at least size bytes follow; so many must fit into what is left.
func (r *reader) count(most, size int) int {
	n := int(r.uvarint(uint64(most)))
	if n*size > len(r.rest) {
		r.fail("%d items in %d bytes", n, len(r.rest))
		return 0
	}
	return n
}

func (r *reader) text(most int) string { return string(r.take(int(r.uvarint(uint64(most))))) }

func (r *reader) names() []string {
	names := make([]string, r.count(maxTargets, 1))
	for i := range names {
		names[i] = r.text(maxName)
	}
	return names
}

func (r *reader) pick(names []string) string {
	i := r.uvarint(maxTargets)
	if i >= uint64(len(names)) {
		r.fail("name %d of %d", i, len(names))
		return ""
	}
	return names[i]
}
