package load

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop"
	"github.com/meridian-gtm/meridian/demo/shop/invariant"
)

// Options describe the customers.
type Options struct {
	Targets []*url.URL // required: where the shop is; each order starts with the next one and fails over along the list
	Regions []string   // required: homes of the orders' keys, in turn; usually the targets' regions, in their order
	Rate    float64    // orders per second; default 20
	Orders  int        // how many; 0 = until ctx ends
	Log     *AckLog    // required

	Patience time.Duration // for one answer; default 3 s
	GiveUp   time.Duration // for one order, with all its repetitions; default 60 s
	Busy     int           // most orders under way; default 256

	// Client makes the requests; nil = one that keeps connections to each target.
	Client *http.Client
	// Seed of what is bought; 0 = any.
	Seed uint64
}

func (o Options) withDefaults() Options {
	o.Rate = cmp.Or(o.Rate, 20)
	o.Patience = cmp.Or(o.Patience, 3*time.Second)
	o.GiveUp = cmp.Or(o.GiveUp, time.Minute)
	o.Busy = cmp.Or(o.Busy, 256)
	o.Seed = cmp.Or(o.Seed, rand.Uint64())
	if o.Client == nil {
		o.Client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32, IdleConnTimeout: 10 * time.Second}}
	}
	return o
}

func (o Options) validate() error {
	var faults []error
	if len(o.Targets) == 0 || len(o.Regions) == 0 {
		faults = append(faults, fmt.Errorf("%d targets, %d regions: want one or more of each", len(o.Targets), len(o.Regions)))
	}
	if o.Log == nil {
		faults = append(faults, errors.New("no log of acknowledged orders"))
	}
	if o.Rate < 0.01 || o.Rate > 10000 {
		faults = append(faults, fmt.Errorf("rate %v per second: want 0.01..10000", o.Rate))
	}
	return errors.Join(faults...)
}

// Result is what the customers saw.
type Result struct {
	Asked    int `json:"asked"`
	Acked    int `json:"acked"`    // in the log
	Replayed int `json:"replayed"` // of those: an earlier attempt had come through unnoticed
	Refused  int `json:"refused"`  // the shop said no: out of stock
	GivenUp  int `json:"given_up"` // nobody knows
	Retries  int `json:"retries"`
	Skipped  int `json:"skipped"` // not asked for, because too many were under way

	Median  time.Duration `json:"median_ns"` // from the first attempt to the acknowledgement
	P99     time.Duration `json:"p99_ns"`
	Longest time.Duration `json:"longest_gap_ns"` // between two acknowledgements that followed each other
}

// String tells it for people.
func (r Result) String() string {
	return fmt.Sprintf("%d asked, %d acknowledged (%d of them by a repetition), %d refused, %d given up, %d skipped; median %v, p99 %v, longest gap %v",
		r.Asked, r.Acked, r.Replayed, r.Refused, r.GivenUp, r.Skipped,
		r.Median.Round(100*time.Microsecond), r.P99.Round(100*time.Microsecond), r.Longest.Round(time.Millisecond))
}

// customers is one run.
type customers struct {
	opt      Options
	products []shop.Product

	mu    sync.Mutex
	out   Result
	took  []time.Duration
	acked time.Time // the last time
	fault error     // of the log: the run is worth nothing
}

// Run orders until ctx ends or the number is reached, and waits for what is under way. An error means that the run
// proves nothing: there was no catalogue to buy from, or the log could not be written.
func Run(ctx context.Context, o Options) (Result, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return Result{}, fmt.Errorf("load: %w", err)
	}
	c := &customers{opt: o}
	if err := c.browse(ctx); err != nil {
		return Result{}, fmt.Errorf("load: %w", err)
	}
	draw := rand.New(rand.NewPCG(o.Seed, 1))
	tick := time.NewTicker(time.Duration(float64(time.Second) / o.Rate))
	defer tick.Stop()
	places := make(chan struct{}, o.Busy)
	// What is under way is finished although the run is over: an order of which nobody knows proves nothing.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var wg sync.WaitGroup
	for n := 0; (o.Orders == 0 || n < o.Orders) && ctx.Err() == nil && c.ok(); n++ {
		body := c.basket(draw, n)
		select {
		case places <- struct{}{}:
			wg.Go(func() {
				c.order(work, n, body)
				<-places
			})
		default:
			c.note(func(r *Result) { r.Skipped++ })
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	wg.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Sort(c.took)
	if n := len(c.took); n > 0 {
		c.out.Median, c.out.P99 = c.took[n/2], c.took[min(n*99/100, n-1)]
	}
	return c.out, c.fault
}

func (c *customers) note(fn func(*Result)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn(&c.out)
}

func (c *customers) ok() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fault == nil
}

// browse reads the catalogue from the first target that answers.
func (c *customers) browse(ctx context.Context) error {
	var faults []error
	for _, t := range c.opt.Targets {
		status, body, _, err := c.do(ctx, http.MethodGet, t.JoinPath("/api/v1/products"), "", nil)
		var list struct {
			Products []shop.Product `json:"products"`
		}
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%s: status %d: want 200", t, status)
		}
		if err == nil {
			err = json.Unmarshal(body, &list)
		}
		if err == nil && len(list.Products) > 0 {
			c.products = list.Products
			return nil
		}
		faults = append(faults, err)
	}
	return fmt.Errorf("no catalogue: %w", errors.Join(faults...))
}

// basket draws what customer n buys: one to three of one or two products.
func (c *customers) basket(draw *rand.Rand, n int) []byte {
	type line struct {
		SKU      string `json:"sku"`
		Quantity int    `json:"quantity"`
	}
	lines := make([]line, 1+draw.IntN(2))
	for i := range lines {
		lines[i] = line{c.products[draw.IntN(len(c.products))].SKU, 1 + draw.IntN(3)}
	}
	body, _ := json.Marshal(map[string]any{"customer": fmt.Sprintf("load %d", n), "lines": lines}) // cannot fail
	return body
}

// order asks for one order until the shop has said yes or no.
func (c *customers) order(ctx context.Context, n int, body []byte) {
	c.note(func(r *Result) { r.Asked++ })
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.opt.GiveUp)
	defer cancel()
	key := shop.NewKey(c.opt.Regions[n%len(c.opt.Regions)]).String()
	pause := 50 * time.Millisecond
	for attempt := 0; ; attempt++ {
		target := c.opt.Targets[(n+attempt)%len(c.opt.Targets)]
		status, answer, after, err := c.do(ctx, http.MethodPost, target.JoinPath("/api/v1/orders"), key, body)
		switch {
		case err == nil && (status == http.StatusCreated || status == http.StatusOK):
			var o shop.Order
			if err := json.Unmarshal(answer, &o); err != nil || o.ID == "" {
				break // an answer cut short is no answer
			}
			c.acknowledge(invariant.Ack{ID: o.ID, Key: key, Total: o.Total, Took: time.Since(start).Milliseconds()}, status == http.StatusOK, start)
			return
		case err == nil && status >= 400 && status < 500:
			c.note(func(r *Result) { r.Refused++ })
			return
		}
		// Another region at once; all of them again after a pause.
		if (attempt+1)%len(c.opt.Targets) == 0 {
			timer := time.NewTimer(max(min(after, time.Second), pause/2+rand.N(pause)))
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
			}
			pause = min(2*pause, time.Second)
		}
		if ctx.Err() != nil {
			c.note(func(r *Result) { r.GivenUp++ })
			return
		}
		c.note(func(r *Result) { r.Retries++ })
	}
}

// acknowledge writes an order to the log before it is counted.
func (c *customers) acknowledge(a invariant.Ack, replayed bool, start time.Time) {
	now := time.Now()
	err := c.opt.Log.Add(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.fault = errors.Join(c.fault, err)
		return
	}
	c.out.Acked++
	if replayed {
		c.out.Replayed++
	}
	c.took = append(c.took, now.Sub(start))
	if !c.acked.IsZero() {
		c.out.Longest = max(c.out.Longest, now.Sub(c.acked))
	}
	if now.After(c.acked) {
		c.acked = now
	}
}

// maxAnswer is how long an answer may be, in octets.
const maxAnswer = 1 << 20

func (c *customers) do(ctx context.Context, method string, u *url.URL, key string, body []byte) (status int, answer []byte, after time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.opt.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return 0, nil, 0, err
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.opt.Client.Do(req)
	if err != nil {
		return 0, nil, 0, err
	}
	defer resp.Body.Close()
	if s, err := strconv.Atoi(strings.TrimSpace(resp.Header.Get("Retry-After"))); err == nil && s >= 0 {
		after = time.Duration(s) * time.Second
	}
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, answer, after, err
}
