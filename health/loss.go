package health

import (
	"fmt"
	"math/bits"
)

const (
	lossProbes = 20
	lossHard   = lossProbes * 60 / 100 // lost probes that are a hard failure
	lossSoft   = lossProbes * 25 / 100 // lost probes that are a soft one
)

// lossWindow remembers which of the last 20 probes were lost. It catches the intermittent failure that "n in a row"
// never sees.
type lossWindow struct{ bits uint32 }

func (w *lossWindow) add(lost bool) {
	w.bits = w.bits << 1 & (1<<lossProbes - 1)
	if lost {
		w.bits |= 1
	}
}

func (w lossWindow) hard() string { return w.above(lossHard) }
func (w lossWindow) soft() string { return w.above(lossSoft) }

// above returns the reason when at least limit probes were lost.
func (w lossWindow) above(limit int) string {
	if n := bits.OnesCount32(w.bits); n >= limit {
		return fmt.Sprintf("%d of the last %d probes lost", n, lossProbes)
	}
	return ""
}
