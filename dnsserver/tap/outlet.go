package tap

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// outletLimit is how many octets wait for an outlet's destination at most, beside those that are being written.
const outletLimit = 4 << 20

// The waits between attempts to open a destination: they double.
const (
	backoffFirst = 100 * time.Millisecond
	backoffLast  = 30 * time.Second
)

// Outlet takes records to a destination that may be slow, away or broken: a file, a socket. Records wait in memory up
// to a limit, from which on they are lost and counted. Its methods are safe for concurrent use.
type Outlet struct {
	name string // of the destination, in the log
	open func(context.Context) (io.WriteCloser, error)
	log  *slog.Logger

	lost, failures atomic.Uint64
	ready          chan struct{} // something is pending
	reopen         chan struct{}

	mu      sync.Mutex // guards the next two
	pending []byte
	records int // in pending
}

// NewOutlet returns an outlet to what open opens, again after every failure. What open returns gets whole records with
// every Write, and Close at the end and before it is opened again. log gets the first of failures in a row, and the end
// of them.
func NewOutlet(name string, open func(context.Context) (io.WriteCloser, error), log *slog.Logger) *Outlet {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Outlet{name: name, open: open, log: log, ready: make(chan struct{}, 1), reopen: make(chan struct{}, 1)}
}

// Add takes a copy of one record.
func (o *Outlet) Add(record []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.pending)+len(record) > outletLimit {
		o.lost.Add(1)
		return
	}
	o.pending = append(o.pending, record...)
	o.records++
	notify(o.ready)
}

// Reopen makes the outlet close its destination and open it again, as after a file was moved.
func (o *Outlet) Reopen() { notify(o.reopen) }

// Lost returns how many records were lost.
func (o *Outlet) Lost() uint64 { return o.lost.Load() }

// Failures returns how often the destination could not be opened, written to or closed.
func (o *Outlet) Failures() uint64 { return o.failures.Load() }

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// take returns what is pending, and spare takes its place.
func (o *Outlet) take(spare []byte) (data []byte, records int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	data, records = o.pending, o.records
	o.pending, o.records = spare[:0], 0
	return data, records
}

// Run delivers until ctx ends, and then what is still there if the destination is. Call it once.
func (o *Outlet) Run(ctx context.Context) {
	failing, wait := false, backoffFirst
	for {
		w, err := o.open(ctx)
		if err == nil {
			if failing {
				o.log.Info("delivering again", "to", o.name)
			}
			var worked bool
			if worked, err = o.deliver(ctx, w); worked {
				failing, wait = false, backoffFirst
			}
		}
		if ctx.Err() != nil {
			_, records := o.take(nil)
			o.lost.Add(uint64(records))
			if err != nil {
				o.failures.Add(1)
			}
			return
		}
		if err == nil {
			continue // to be opened again
		}
		o.failures.Add(1)
		if !failing {
			o.log.Warn("cannot deliver, trying again", "to", o.name, "err", err)
			failing = true
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		wait = min(2*wait, backoffLast)
	}
}

// deliver writes to w until ctx ends, w shall be opened again (nil), or writing fails, and closes it. worked says that
// something was written.
func (o *Outlet) deliver(ctx context.Context, w io.WriteCloser) (worked bool, err error) {
	var data []byte
	write := func() error {
		var records int
		data, records = o.take(data)
		if records == 0 {
			return nil
		}
		if _, err := w.Write(data); err != nil {
			o.lost.Add(uint64(records))
			return err
		}
		worked = true
		return nil
	}
	for {
		select {
		case <-o.ready:
			err = write()
		case <-o.reopen:
			if err = write(); err == nil {
				return worked, w.Close()
			}
		case <-ctx.Done():
			if err = write(); err == nil {
				return worked, w.Close()
			}
		}
		if err != nil {
			_ = w.Close() // it failed already
			return worked, err
		}
	}
}
