package shop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"
)

// Job is a kind of background work. At any time one worker of the fleet does a job of a region.
type Job string

// The jobs.
const (
	Cashier   Job = "cashier"
	Relay     Job = "relay"
	Warehouse Job = "warehouse"
	Postman   Job = "postman"
)

// Jobs returns every job.
func Jobs() []Job { return []Job{Cashier, Relay, Warehouse, Postman} }

// WorkerOptions say who works, and how fast.
type WorkerOptions struct {
	Regions []string // required: where it works; other regions' jobs it does when nobody there does them
	Owner   string   // required: unique in the fleet, also after a restart
	Jobs    []Job    // default all
	Bank    Bank     // required by the cashier

	Poll   time.Duration // between two looks for work; default 100 ms
	Lease  time.Duration // how long a job stays with a worker that is silent; default 10 s
	Logger *slog.Logger  // nil = nothing is logged
}

// Worker does the background work of one process.
type Worker struct {
	shop  *Shop
	opt   WorkerOptions
	held  map[string]lease // by region and job
	tried map[string]time.Time
	began time.Time
	// faulty are the jobs that failed last time: a fault is logged when it begins.
	faulty map[string]bool
}

// NewWorker makes a worker. Run runs it.
func (s *Shop) NewWorker(o WorkerOptions) (*Worker, error) {
	if o.Jobs == nil {
		o.Jobs = Jobs()
	}
	var faults []error
	for _, r := range o.Regions {
		if !slices.Contains(s.regions, r) {
			faults = append(faults, fmt.Errorf("region %q: want one of %v", r, s.regions))
		}
	}
	if len(o.Regions) == 0 {
		faults = append(faults, errors.New("no regions: want one or more"))
	}
	if o.Owner == "" {
		faults = append(faults, errors.New("no owner"))
	}
	for _, j := range o.Jobs {
		if !slices.Contains(Jobs(), j) {
			faults = append(faults, fmt.Errorf("job %q: want one of %v", j, Jobs()))
		}
	}
	if slices.Contains(o.Jobs, Cashier) && o.Bank == nil {
		faults = append(faults, errors.New("cashier without a bank"))
	}
	if o.Poll < 0 || o.Lease < 0 {
		faults = append(faults, fmt.Errorf("poll %v, lease %v: want more than 0", o.Poll, o.Lease))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	if o.Poll == 0 {
		o.Poll = 100 * time.Millisecond
	}
	if o.Lease == 0 {
		o.Lease = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Worker{shop: s, opt: o, held: map[string]lease{}, tried: map[string]time.Time{}, faulty: map[string]bool{}}, nil
}

// Run works until ctx ends. It then gives its jobs back, unless ctx ended with a cause that says that the process was
// killed: any cause but context.Canceled. It returns nil.
func (w *Worker) Run(ctx context.Context) error {
	w.began = time.Now()
	for {
		worked := w.Pass(ctx)
		if ctx.Err() != nil {
			break
		}
		if worked > 0 {
			continue
		}
		timer := time.NewTimer(w.opt.Poll*3/4 + rand.N(w.opt.Poll/2+1))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	if context.Cause(ctx) == context.Canceled {
		w.giveBack()
	}
	return nil
}

// Pass looks once for work in every region, does it, and returns how much there was.
func (w *Worker) Pass(ctx context.Context) (worked int) {
	for _, region := range w.shop.regions {
		for _, job := range w.opt.Jobs {
			if ctx.Err() != nil {
				return worked
			}
			n, err := w.pass(ctx, region, job)
			w.report(ctx, region, job, err)
			worked += n
		}
	}
	return worked
}

func (w *Worker) pass(ctx context.Context, region string, job Job) (int, error) {
	now := time.Now()
	l, ok, err := w.hold(ctx, region, job, now)
	if err != nil || !ok {
		return 0, err
	}
	var n int
	switch job {
	case Cashier:
		n, err = w.shop.cashierPass(ctx, w.opt.Bank, region, now)
	case Relay:
		n, err = w.shop.relayPass(ctx, region, l.token)
	case Warehouse:
		n, err = w.shop.consumePass(ctx, w.shop.warehouse(), region, now)
	case Postman:
		n, err = w.shop.consumePass(ctx, w.shop.postman(), region, now)
	}
	if errors.Is(err, ErrFenced) {
		delete(w.held, region+" "+string(job))
	}
	if err != nil {
		return 0, err // a pause before the next try
	}
	return n, nil
}

// hold returns the lease of a job if it is the worker's. It is renewed after a third of its time. Other regions are
// left to their own workers for one more lease.
func (w *Worker) hold(ctx context.Context, region string, job Job, now time.Time) (lease, bool, error) {
	id := region + " " + string(job)
	if l, ok := w.held[id]; ok && l.until.Sub(now) > w.opt.Lease*2/3 {
		return l, true, nil
	}
	_, mine := w.held[id]
	foreign := !slices.Contains(w.opt.Regions, region)
	if !mine {
		if wait := w.opt.Lease / 4; now.Sub(w.tried[id]) < wait || foreign && now.Sub(w.began) < 2*w.opt.Lease {
			return lease{}, false, nil
		}
		w.tried[id] = now
	}
	var grace time.Duration
	if foreign {
		grace = w.opt.Lease
	}
	l, ok, err := w.shop.takeLease(ctx, region, string(job), w.opt.Owner, w.opt.Lease, grace, now)
	if err != nil {
		delete(w.tried, id)
		return lease{}, false, err
	}
	if !ok {
		delete(w.held, id)
		return lease{}, false, nil
	}
	if !mine {
		w.opt.Logger.Info("took job", "job", job, "region", region, "token", l.token)
	}
	w.held[id] = l
	return l, true, nil
}

func (w *Worker) report(ctx context.Context, region string, job Job, err error) {
	id := region + " " + string(job)
	if err != nil && ctx.Err() == nil && !w.faulty[id] {
		w.opt.Logger.Warn("job", "job", job, "region", region, "err", err)
	}
	w.faulty[id] = err != nil
}

// giveBack ends the worker's leases, so that the next one need not wait for their end.
func (w *Worker) giveBack() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, region := range w.shop.regions {
		for _, job := range w.opt.Jobs {
			if _, ok := w.held[region+" "+string(job)]; !ok {
				continue
			}
			if err := w.shop.endLease(ctx, region, string(job), w.opt.Owner, time.Now()); err != nil {
				w.opt.Logger.Warn("give job back", "job", job, "region", region, "err", err)
				return
			}
		}
	}
}
