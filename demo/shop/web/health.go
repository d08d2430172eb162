package web

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop"
)

// healthFor is how long an answer is reused: directors, nodes and monitors ask, the database is asked once.
const healthFor = time.Second

// healthTimeout bounds one look at the database. It is shorter than any checker's patience, so that the checker gets
// a reason instead of silence.
const healthTimeout = 500 * time.Millisecond

// writesWait is how long an answer waits for news of whether orders can be taken: that decides nothing about new clients.
const writesWait = 100 * time.Millisecond

// health knows whether new clients should be sent here.
type health struct {
	shop            *shop.Shop
	region, replica string

	draining      atomic.Bool
	reads, writes look
}

// look is what was last seen of one ability of the database. However many ask, one at a time looks.
type look struct {
	mu    sync.Mutex
	at    time.Time // when the latest that is over began
	err   error
	going chan struct{} // the one that is under way, closed at its end; nil = none
}

// again repeats the look when it is old, and waits for what it shows. The answer is shared, so it does not hang on one
// asker's context.
func (l *look) again(now time.Time, patience time.Duration, do func(ctx context.Context) error) error {
	l.mu.Lock()
	if !l.at.IsZero() && now.Sub(l.at) < healthFor {
		defer l.mu.Unlock()
		return l.err
	}
	going := l.going
	if going == nil {
		going = make(chan struct{})
		l.going = going
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
			defer cancel()
			err := do(ctx)
			l.mu.Lock()
			defer l.mu.Unlock()
			l.at, l.err, l.going = now, err, nil
			close(going)
		}()
	}
	l.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-going:
	case <-timer.C:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at.IsZero() || now.Sub(l.at) > healthFor+2*healthTimeout {
		return fmt.Errorf("database: no answer within %v", patience)
	}
	return l.err // of the look before, when the one under way is slow
}

// readable returns whether the replica is draining, and why it cannot show pages, or nil.
func (h *health) readable(now time.Time) (draining bool, err error) {
	return h.draining.Load(), h.reads.again(now, healthTimeout+writesWait, h.shop.Ready)
}

// writable returns why the replica cannot take orders, or nil.
func (h *health) writable(now time.Time) error {
	return h.writes.again(now, writesWait, func(ctx context.Context) error { return h.shop.Writable(ctx, h.region, h.replica, now) })
}

// healthz is liveness: the process serves. It asks nobody, because a restart heals no database.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte("ok\n"))
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	answer := struct {
		Ready   bool     `json:"ready"`
		Reasons []string `json:"reasons"`
	}{Ready: true, Reasons: []string{}}
	draining, err := s.health.readable(time.Now())
	if draining {
		answer.Reasons = append(answer.Reasons, "draining")
	}
	if err != nil {
		answer.Reasons = append(answer.Reasons, err.Error())
	}
	status := http.StatusOK
	if len(answer.Reasons) > 0 {
		answer.Ready, status = false, http.StatusServiceUnavailable
	}
	writeJSON(w, status, answer)
}

// gtmHealth is for traffic managers. The status is 503 when clients should go elsewhere: while draining, and when
// pages cannot be shown. A database that takes no writes is told of, and does not turn clients away: every region may
// have that at the same time, and pages still work.
func (s *Server) gtmHealth(w http.ResponseWriter, _ *http.Request) {
	now := time.Now()
	draining, reads := s.health.readable(now)
	answer := struct {
		Region    string   `json:"region"`
		Replica   string   `json:"replica"`
		Weight    int      `json:"weight"`     // 0..100; 0 = no new clients
		Load      float64  `json:"load"`       // requests under way, as a share of capacity; above 1 = overloaded
		Draining  bool     `json:"draining"`   // goes away soon
		DataReady bool     `json:"data_ready"` // the data that pages need is here
		Writable  bool     `json:"writable"`   // orders can be taken
		Reasons   []string `json:"reasons"`
	}{
		Region: s.opt.Region, Replica: s.opt.Replica, Weight: s.opt.Weight, Draining: draining, DataReady: reads == nil,
		Load: float64(s.busy.Load()-1) / float64(s.opt.Capacity), Writable: true, Reasons: []string{},
	}
	status := http.StatusOK
	if draining {
		answer.Weight, status = 0, http.StatusServiceUnavailable
		answer.Reasons = append(answer.Reasons, "draining")
	}
	if reads != nil {
		answer.Weight, answer.Writable, status = 0, false, http.StatusServiceUnavailable
		answer.Reasons = append(answer.Reasons, reads.Error())
	} else if err := s.health.writable(now); err != nil {
		answer.Writable = false
		answer.Reasons = append(answer.Reasons, err.Error())
	}
	writeJSON(w, status, answer)
}

// Drain makes the replica say that it is not ready, so that directors send new connections elsewhere; requests are
// still served.
func (s *Server) Drain() {
	s.health.draining.Store(true)
}
