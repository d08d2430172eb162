package lab

import (
	"context"
	"os"
	"time"

	"github.com/meridian-gtm/meridian/demo/world"
)

// trouble is a fault of a node that is made by changing what is around it. The node is not told that it is one.
type trouble struct {
	life *life
	kind world.Kind
	set  func(ctx context.Context, broken bool) error
}

// nodeFaults lists what can be wrong with a node here.
func nodeFaults() []world.Kind {
	kinds := []world.Kind{world.KillNode, world.SwapKey, world.BadConfig}
	if canFillDisk() {
		kinds = append(kinds, world.FillDisk)
	}
	return kinds
}

func (l *life) troubles() []trouble {
	return []trouble{
		{l, world.SwapKey, l.swapKey},
		{l, world.BadConfig, l.spoilConfig},
		{l, world.FillDisk, func(_ context.Context, broken bool) error {
			if broken {
				return fillDisk(l.dataDir)
			}
			return emptyDisk(l.dataDir)
		}},
	}
}

// obey makes the trouble when the world has the fault, and mends it when the fault or the node's life ends.
func (t trouble) obey(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	broken := false
	for {
		if want := t.life.network.NodeFault(t.kind, t.life.site); want != broken {
			broken = want
			if err := t.set(ctx, want); err != nil && ctx.Err() == nil && t.life.options.Logger != nil {
				t.life.options.Logger.Error("fault of a node", "site", t.life.site, "kind", string(t.kind), "broken", want, "err", err)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			if broken {
				_ = t.set(ctx, false) // the node is gone; what is on the disk is not
			}
			return
		}
	}
}

// swapKey gives the node a key of its own, or the fleet's again.
func (l *life) swapKey(ctx context.Context, broken bool) error {
	keys := l.keys
	if broken {
		keys = newKeys()
	}
	if err := os.WriteFile(l.keyFile, []byte(keys), 0o600); err != nil {
		return err
	}
	_, err := l.current().Reload(ctx)
	return err
}

// nonsense is what a configuration cannot hold.
const nonsense = "\nnonsense: {that: nobody, knows: 1}\n"

// spoilConfig adds nonsense to the node's configuration, or takes it away, and tells the node to load it.
func (l *life) spoilConfig(ctx context.Context, broken bool) error {
	file := l.options.ConfigFile
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text := string(b)
	if broken {
		text += nonsense
	} else if n := len(text) - len(nonsense); n >= 0 && text[n:] == nonsense {
		text = text[:n]
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	if _, err = l.current().Reload(ctx); broken {
		return nil // the refusal is what the fault is for; the node shows it
	}
	return err
}
