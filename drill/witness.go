package drill

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Witness orders in a shop while a drill lasts, and says afterwards what became of the orders. Both of its programs are
// lists of a name and arguments.
//
// Watch orders until it gets SIGTERM; then it finishes what is under way and ends with exit code 0. For each order that the
// shop has acknowledged it prints a line of JSON to its standard output at once: {"id": "...", "took_ms": 41}, where
// took_ms is the time from when the customer wanted it. What else the object holds is kept for Check.
//
// Check gets all those lines on its standard input and prints a [Verdicts] object. Exit code 1 with one says that something is
// wrong with the orders.
//
// The drill keeps the lines: each is on the disk of the machine that runs the drill before it counts.
type Witness struct {
	Watch []string
	Check []string
}

// Verdicts are what a witness found when it looked at every order.
type Verdicts struct {
	Orders    int `json:"orders"` // that the shop knows
	Lost      int `json:"lost"`   // acknowledged, and not there
	Duplicate int `json:"double"` // made twice of one wish
	Oversold  int `json:"over"`   // products sold that there never were
	Stuck     int `json:"stuck"`  // waiting for too long
}

// Orders is what became of a drill's orders. Times are since the loss: when all that the first step breaks was broken.
type Orders struct {
	Verdicts
	Acked int `json:"acked"` // acknowledged while the drill lasted
	// First is when the first order was acknowledged that a customer wanted after the loss.
	First   time.Duration `json:"first"`
	Gap     time.Duration `json:"gap"`     // longest time without an acknowledgement, from the loss on
	Slowest time.Duration `json:"slowest"` // longest that a customer waited, of orders acknowledged after the loss
	Fault   string        `json:"fault,omitempty"`
	Log     string        `json:"log,omitempty"` // file of the acknowledged orders, kept because something is wrong
}

// Bad says that something is wrong with the orders, or that nobody knows.
func (o *Orders) Bad() bool {
	return o.Fault != "" || o.Acked == 0 || o.Lost+o.Duplicate+o.Oversold+o.Stuck > 0
}

// Ack is an acknowledged order.
type Ack struct {
	At   time.Duration // when it was acknowledged, since the drill began
	Took time.Duration // since the customer wanted it
}

// account sums up acknowledgements in order of time.
func account(acks []Ack, loss, end time.Duration) (o Orders) {
	o.Acked, o.First = len(acks), Never
	last := loss
	for _, a := range acks {
		if a.At < loss {
			continue
		}
		if a.At-a.Took >= loss && (o.First == Never || a.At-loss < o.First) {
			o.First = a.At - loss
		}
		o.Gap, o.Slowest = max(o.Gap, a.At-last), max(o.Slowest, a.Took)
		last = a.At
	}
	o.Gap = max(o.Gap, end-last)
	return o
}

// JudgeOrders holds what became of the orders against the limit, which is the same for every drill: nothing is lost.
func JudgeOrders(o *Orders) []Check {
	j := judge{}
	if o.Fault != "" {
		j.add("orders were taken and looked at", "all of them", o.Fault, false)
		return j.checks
	}
	j.add("orders were acknowledged while it lasted", "some", fmt.Sprint(o.Acked), o.Acked > 0)
	for _, c := range []struct {
		name string
		n    int
	}{
		{"no acknowledged order is lost", o.Lost}, {"no order was made twice", o.Duplicate},
		{"nothing was sold that there is not", o.Oversold}, {"no order is stuck", o.Stuck},
	} {
		j.add(c.name, "0", fmt.Sprint(c.n), c.n == 0)
	}
	return j.checks
}

const (
	// firstOrderWithin is how long the witness may take to get its first order acknowledged.
	firstOrderWithin = 30 * time.Second
	// lastOrderWithin is how long what is under way may take when the witness is told to end.
	lastOrderWithin = 75 * time.Second
	// checkWithin is how long it may look at the orders.
	checkWithin = 6 * time.Minute
	// longestAck bounds a line of the witness, in octets.
	longestAck = 64 << 10
)

// testimony is a witness at work.
type testimony struct {
	witness Witness
	start   time.Time
	log     *os.File
	stop    context.CancelFunc
	ended   chan struct{} // closed when Watch has ended, after everything else below

	mu    sync.Mutex
	acks  []Ack
	fault error
}

// testify starts the witness and waits until the shop has acknowledged its first order.
func (w Witness) testify(ctx context.Context, start time.Time) (*testimony, error) {
	log, err := os.CreateTemp("", "meridian-drill-orders-*.jsonl")
	if err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	// An interrupt ends the drill, and only the drill ends the witness.
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	t := &testimony{witness: w, start: start, log: log, stop: stop, ended: make(chan struct{})}
	first := make(chan struct{})
	go func() {
		defer close(t.ended)
		t.watch(watching, sync.OnceFunc(func() { close(first) }))
	}()
	timer := time.NewTimer(firstOrderWithin)
	defer timer.Stop()
	select {
	case <-first:
		return t, nil
	case <-t.ended:
		err = errors.New("it ended before anything was broken")
	case <-timer.C:
		err = fmt.Errorf("no order acknowledged within %v", firstOrderWithin)
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, errors.Join(fmt.Errorf("witness %s: %w", w.Watch[0], err), t.leave())
}

// watch runs the program and keeps what it prints.
func (t *testimony) watch(ctx context.Context, acked func()) {
	out, in := io.Pipe()
	var errs bytes.Buffer
	cmd := exec.CommandContext(ctx, t.witness.Watch[0], t.witness.Watch[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = lastOrderWithin
	cmd.Stdout, cmd.Stderr = in, &errs
	ownGroup(cmd)
	read := make(chan error, 1)
	go func() {
		err := t.read(out, acked)
		_ = out.CloseWithError(err) // the program must not write to nobody for ever
		read <- err
	}()
	err := cmd.Run()
	if state := cmd.ProcessState; ctx.Err() != nil && state != nil && state.Success() {
		err = nil // it was told to end
	} else if err == nil {
		err = errors.New("it ended by itself")
	}
	_ = in.Close() // never fails
	if err != nil {
		err = fmt.Errorf("%w: %s", err, lastLine(errs.String()))
	}
	err = errors.Join(<-read, err)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.fault = fmt.Errorf("witness %s: %w", strings.Join(t.witness.Watch, " "), err)
	}
}

// read keeps every line: on the disk first.
func (t *testimony) read(out io.Reader, acked func()) error {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, longestAck)
	for lines.Scan() {
		now := time.Now()
		var a struct {
			ID   string `json:"id"`
			Took int64  `json:"took_ms"`
		}
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil || a.ID == "" || a.Took < 0 {
			return fmt.Errorf(`line %.80q: want {"id": "...", "took_ms": 41}`, lines.Text())
		}
		if _, err := fmt.Fprintf(t.log, "%s\n", lines.Bytes()); err != nil {
			return err
		}
		if err := t.log.Sync(); err != nil {
			return err
		}
		t.mu.Lock()
		t.acks = append(t.acks, Ack{At: now.Sub(t.start), Took: time.Duration(a.Took) * time.Millisecond})
		t.mu.Unlock()
		acked()
	}
	return lines.Err()
}

// glance says how many orders were acknowledged.
func (t *testimony) glance() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprintf("%d orders", len(t.acks))
}

// leave ends the witness without asking it anything.
func (t *testimony) leave() error {
	t.stop()
	<-t.ended
	return errors.Join(t.log.Close(), os.Remove(t.log.Name()))
}

// conclude ends the witness and has it look at the orders.
func (t *testimony) conclude(ctx context.Context, loss time.Duration) *Orders {
	t.stop()
	<-t.ended
	o := account(t.acks, loss, time.Since(t.start))
	fault := t.fault
	if fault == nil {
		o.Verdicts, fault = t.check(ctx)
	}
	fault = errors.Join(fault, t.log.Close())
	if fault != nil {
		o.Fault = fault.Error()
	}
	if o.Bad() {
		o.Log = t.log.Name()
	} else if err := os.Remove(t.log.Name()); err != nil {
		o.Log = t.log.Name()
	}
	return &o
}

// check has the witness look at the orders.
func (t *testimony) check(ctx context.Context) (v Verdicts, err error) {
	if _, err := t.log.Seek(0, io.SeekStart); err != nil {
		return v, err
	}
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, t.witness.Check[0], t.witness.Check[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = t.log, &out, &errs, time.Second
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 && json.Valid(out.Bytes()) {
		err = nil // a verdict
	}
	if err == nil {
		err = v.read(out.Bytes())
	}
	if err != nil {
		return Verdicts{}, fmt.Errorf("witness %s: %w: %s", strings.Join(t.witness.Check, " "), err, lastLine(errs.String()))
	}
	return v, nil
}

// read reads a verdict, in which nothing may be missing: a zero that nobody wrote proves nothing.
func (v *Verdicts) read(b []byte) error {
	var got struct {
		Orders, Lost, Double, Over, Stuck *int
	}
	if err := json.Unmarshal(b, &got); err != nil {
		return err
	}
	for _, n := range []struct {
		name string
		from *int
		to   *int
	}{
		{"orders", got.Orders, &v.Orders}, {"lost", got.Lost, &v.Lost}, {"double", got.Double, &v.Duplicate},
		{"over", got.Over, &v.Oversold}, {"stuck", got.Stuck, &v.Stuck},
	} {
		if n.from == nil || *n.from < 0 {
			return fmt.Errorf("%s: want a number, 0 or more", n.name)
		}
		*n.to = *n.from
	}
	return nil
}

// lastLine is the end of what a program complained of.
func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}
