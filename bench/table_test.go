package main

import (
	"strings"
	"testing"
	"time"
)

func TestTables(t *testing.T) {
	var all []measurement
	for round, qps := range []float64{200_000, 100_000, 150_000} {
		// The machine halves its pace in the second round; the ratios stay.
		for server, factor := range map[string]float64{"meridian": 1, "knot": 0.8} {
			all = append(all, measurement{
				round: round + 1, server: server, load: "www, full load", qps: qps * factor, cpu: 3 / factor, user: 0.1,
				p50: 100 * time.Microsecond, p99: time.Duration(float64(time.Millisecond) * factor), sent: 1000, missed: 5, memory: 10 << 20,
			})
		}
	}
	all = append(all, measurement{round: 1, server: "meridian", load: "ecs, full load", qps: 1, cpu: 1})
	var out strings.Builder
	writeTables(&out, all, "meridian")
	for _, want := range []string{
		"### www, full load\n", "### ecs, full load\n",
		"| meridian | 3 | 150k |  | 3.00 (0.10) |  | 100 | 1000 |  | 0.50 | 10 |\n",
		"| knot | 3 | 120k | 1.25x (1.25-1.25) | 3.75 (0.10) | 0.80x (0.80-0.80) | 100 | 800 | 1.25x (1.25-1.25) | 0.50 | 10 |\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if got := median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median %v", got)
	}
}
