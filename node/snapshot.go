package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meridian-gtm/meridian/health"
	"github.com/meridian-gtm/meridian/replication"
	"github.com/meridian-gtm/meridian/replication/disk"
)

const (
	// goodSection of the snapshot holds the last known good verdicts.
	goodSection = "last-known-good"
	// saveRetry is the pause after a save that did not succeed.
	saveRetry = 10 * time.Second
)

// openDisk loads what an earlier boot knew. Damage is an alarm, never a reason not to start.
func (n *Node) openDisk(dir string, now time.Time) error {
	store, loaded, err := disk.Open(dir)
	if err != nil {
		return err
	}
	n.disk, n.bootEpoch = store, loaded.Epoch
	if n.audit, err = openAuditLog(dir); err != nil {
		return err
	}
	var damage []error
	for _, alarm := range loaded.Alarms {
		if errors.Is(alarm, disk.ErrNotDurable) {
			n.fault(partDisk, alarm)
		} else {
			damage = append(damage, alarm)
		}
	}
	_, refused := n.store.merge(loaded.Records, now)
	for _, err := range refused {
		if !errors.Is(err, replication.ErrPastHorizon) {
			damage = append(damage, err)
		}
	}
	if section := loaded.Sections[goodSection]; len(section) > 0 {
		if n.good, err = health.DecodeVerdicts(section); err != nil {
			damage = append(damage, fmt.Errorf("%s: %w", goodSection, err))
		}
	}
	n.fault(partSnapshot, errors.Join(damage...))
	return nil
}

// saveSoon has the state stored in the background.
func (n *Node) saveSoon() {
	select {
	case n.wantsSave <- struct{}{}:
	default:
	}
}

// saveInTheBackground stores the state whenever asked, until ctx ends.
func (n *Node) saveInTheBackground(ctx context.Context) error {
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.wantsSave:
		case <-retry.C:
		}
		if n.saving.take(ctx) != nil {
			return nil
		}
		err := n.save(ctx)
		n.saving.give()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			retry.Reset(saveRetry)
		}
		if callErr := n.call(ctx, func() error { n.fault(partDisk, err); return nil }); callErr != nil {
			return nil
		}
	}
}

// save stores the durable records, those given in addition, and the last known good verdicts. It returns when they are
// on the disk. The caller holds n.saving.
func (n *Node) save(ctx context.Context, more ...replication.Record) error {
	var records []replication.Record
	var good map[health.Target]health.Verdict
	err := n.call(ctx, func() error {
		records, good = n.store.durable(), n.good
		return nil
	})
	if err != nil {
		return err
	}
	return n.write(append(records, more...), good)
}

// saveLast stores what is known when the owner has ended.
func (n *Node) saveLast() error { return n.write(n.store.durable(), n.good) }

func (n *Node) write(records []replication.Record, good map[health.Target]health.Verdict) error {
	bare := make(map[health.Target]health.Verdict, len(good))
	for t, v := range good {
		v.Votes = nil // whose they were means nothing to the next boot
		bare[t] = v
	}
	section, err := health.EncodeVerdicts(bare)
	if err != nil {
		return err
	}
	return n.disk.Save(records, map[string][]byte{goodSection: section})
}
