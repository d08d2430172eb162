package probe

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/meridian-gtm/meridian/health"
)

// Target is one thing to probe.
type Target struct {
	ID    health.Target
	Addr  netip.AddrPort // the site's VIP of the family of ID, and the check's port
	Check health.Check

	// Policy paces the observer; see health.Policy.Observer. The probe functions do not use it.
	Policy health.ObserverPolicy
}

// DialFunc opens a connection, as net.Dialer.DialContext does. It must return soon after ctx ends. Networks are "tcp4"
// and "tcp6", addresses are literal.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// dialer is the default: TCP keep-alives would only burden connections that live for one request.
var dialer = net.Dialer{KeepAlive: -1}

// HTTP asks for the check's path in plain text.
func HTTP(ctx context.Context, dial DialFunc, t Target) health.Result {
	t.Check.Kind = health.HTTP
	return probe(ctx, dial, t).Result
}

// HTTPS asks for the check's path over TLS 1.2 or later. A certificate that is wrong in anything but its dates is a
// hard failure, one that has expired or soon will a soft one, and only of a response that is otherwise good.
func HTTPS(ctx context.Context, dial DialFunc, t Target) health.Result {
	t.Check.Kind = health.HTTPS
	return probe(ctx, dial, t).Result
}

// TCP opens a connection and closes it again.
func TCP(ctx context.Context, dial DialFunc, t Target) health.Result {
	t.Check.Kind = health.TCP
	return probe(ctx, dial, t).Result
}

// outcome is a result and the word that counters have for it.
type outcome struct {
	health.Result
	reason reason
}

// probe makes one probe of any kind. A nil dial is the network.
func probe(ctx context.Context, dial DialFunc, t Target) outcome {
	if dial == nil {
		dial = dialer.DialContext
	}
	timeout := cmp.Or(t.Check.Timing.Timeout, health.DefaultTiming.Timeout)
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	begin := time.Now()
	f := attempt(bounded, dial, t)
	rtt := time.Since(begin)
	switch {
	case f.outcome == health.Success || f.reason == expired || f.reason == expiring:
	case ctx.Err() != nil:
		f = finding{health.LocalFault, cancelled, "cancelled"}
	case bounded.Err() != nil:
		f = finding{health.HardFail, timedOut, fmt.Sprintf("%s: no answer in %v", f.stage(), timeout)}
	}
	return outcome{
		Result: health.Result{Target: t.ID, Outcome: f.outcome, RTT: rtt, Detail: clip(f.detail)},
		reason: f.reason,
	}
}

// attempt probes until it is done or ctx ends, whatever connections do.
func attempt(ctx context.Context, dial DialFunc, t Target) finding {
	network := "tcp4"
	if t.Addr.Addr().Is6() {
		network = "tcp6"
	}
	conn, err := dial(ctx, network, t.Addr.String())
	if err != nil {
		return failure("connect", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	switch t.Check.Kind {
	case health.TCP:
		return finding{outcome: health.Success, reason: answered}
	case health.HTTP:
		return request(conn, t)
	case health.HTTPS:
		secure, age, f := handshake(ctx, conn, t)
		if f.outcome != health.Success {
			return f
		}
		if f = request(secure, t); f.outcome == health.Success {
			f = age
		}
		return f
	}
	return finding{health.LocalFault, local, fmt.Sprintf("check kind %q: want http, https or tcp", t.Check.Kind)}
}
