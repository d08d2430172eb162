package dnsserver

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/rrl"
	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

// rateTick is how fine the clock of response rate limiting is: a tenth of the shortest burst.
const rateTick = 10 * time.Millisecond

// rateLimit is response rate limiting with a clock that is read for all queries together.
type rateLimit struct {
	limiter *rrl.Limiter
	begun   time.Time
	now     atomic.Int64 // since begun
}

// newRateLimit returns nil when nothing is limited.
func newRateLimit(o rrl.Options) (*rateLimit, error) {
	limiter, err := rrl.New(o, [2]uint64{rand.Uint64(), rand.Uint64()})
	if err != nil || !o.Enabled() {
		return nil, err
	}
	return &rateLimit{limiter: limiter, begun: time.Now()}, nil
}

// run moves the clock until ctx ends.
func (r *rateLimit) run(ctx context.Context) error {
	ticker := time.NewTicker(rateTick)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			r.now.Store(int64(time.Since(r.begun)))
		case <-ctx.Done():
			return nil
		}
	}
}

// limit returns what is sent of an answer: all of it, something short that lets a real client ask again, or nothing.
func (r *rateLimit) limit(
	c *counters, answer []byte, client netip.Addr, cookie wire.CookieStatus, turn uint32,
) []byte {
	class := rrl.ClassOf(answer)
	switch r.limiter.Check(client, class, time.Duration(r.now.Load()), turn) {
	case rrl.Drop:
		c.rateDropped.Add(1)
		return nil
	case rrl.Truncate:
		if cookie != wire.CookieNone && class != rrl.Errors { // which have a cookie in them already
			c.rateBadCookie.Add(1)
			return badCookie(answer)
		}
		c.rateTruncated.Add(1)
		if class != rrl.Errors { // which hold no more over TCP
			return truncate(answer)
		}
	}
	return answer
}

// truncate leaves question and OPT record of an answer and makes the client ask again over TCP (RFC 1035 section 4.1.1).
// It takes the response code away, too: some believe in NXDOMAIN whatever else is there.
func truncate(answer []byte) []byte {
	answer = empty(answer, 0)
	if answer != nil {
		answer[2] |= 0x02 // TC
	}
	return answer
}

// badCookie leaves question and OPT record of an answer and makes the client ask again with the server cookie that is
// in it (RFC 7873 section 5.2.3).
func badCookie(answer []byte) []byte {
	answer = empty(answer, dns.RcodeBadCookie)
	if answer != nil {
		answer[2] &^= 0x06 // AA, TC
	}
	return answer
}

// empty leaves question and OPT record of an answer, and gives it a response code.
func empty(answer []byte, rcode uint16) []byte {
	const headerSize, fixed = 12, 11 // fixed is an OPT record up to its options
	end, ok := headerSize, true
	if binary.BigEndian.Uint16(answer[4:]) > 0 {
		if end, ok = skipName(answer, headerSize); !ok || end+4 > len(answer) {
			return nil
		}
		end += 4
	}
	options, optEnd, ok := findOPT(answer)
	answer[3] = answer[3]&^0x0f | byte(rcode&0x0f)
	clear(answer[6:headerSize])
	if !ok {
		return answer[:end]
	}
	answer[11] = 1
	answer[optEnd-len(options)-6] = byte(rcode >> 4)
	return answer[:end+copy(answer[end:], answer[optEnd-len(options)-fixed:optEnd])]
}
