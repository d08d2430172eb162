package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// measurement is one server under one load in one round.
type measurement struct {
	round  int
	server string
	load   string // set, and how it was asked

	qps          float64
	cpu, user    float64 // microseconds per answered query, in all and in user space
	p50, p99     time.Duration
	sent, missed uint64
	memory       int // octets
}

// tsvHeader names what tsv writes.
const tsvHeader = "round\tserver\tload\tqps\tcpu_us\tuser_us\tp50_us\tp99_us\tsent\tmissed\tmemory_mb\n"

func (m *measurement) tsv() string {
	return fmt.Sprintf("%d\t%s\t%s\t%.0f\t%.3f\t%.3f\t%d\t%d\t%d\t%d\t%d\n", m.round, m.server, m.load, m.qps, m.cpu,
		m.user, m.p50.Microseconds(), m.p99.Microseconds(), m.sent, m.missed, m.memory>>20)
}

// writeTables writes a Markdown table for each load: medians over the rounds, and the medians of the ratios to the
// reference in the same round. Nothing is left out.
func writeTables(out io.Writer, all []measurement, reference string) {
	var loads, servers []string
	for _, m := range all {
		if !slices.Contains(loads, m.load) {
			loads = append(loads, m.load)
		}
		if !slices.Contains(servers, m.server) {
			servers = append(servers, m.server)
		}
	}
	for _, load := range loads {
		ofReference := map[int]*measurement{}
		for i := range all {
			if m := &all[i]; m.load == load && m.server == reference {
				ofReference[m.round] = m
			}
		}
		fmt.Fprintf(out, "\n### %s\n\n", load)
		fmt.Fprintf(out, "| server | rounds | QPS | %[1]s has | CPU us/answer (user) | %[1]s takes | p50 us | p99 us | %[1]s waits | lost %% | MB |\n", reference)
		fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|---|")
		for _, server := range servers {
			var qps, cpu, user, p50, p99, memory, moreQPS, lessCPU, waits []float64
			var sent, missed uint64
			for _, m := range all {
				if m.load != load || m.server != server {
					continue
				}
				qps, cpu, user = append(qps, m.qps), append(cpu, m.cpu), append(user, m.user)
				p50, p99 = append(p50, float64(m.p50.Microseconds())), append(p99, float64(m.p99.Microseconds()))
				memory = append(memory, float64(m.memory>>20))
				sent, missed = sent+m.sent, missed+m.missed
				if r := ofReference[m.round]; r != nil && m.qps > 0 && m.cpu > 0 {
					moreQPS, lessCPU = append(moreQPS, r.qps/m.qps), append(lessCPU, r.cpu/m.cpu)
					waits = append(waits, r.p99.Seconds()/max(m.p99, time.Microsecond).Seconds())
				}
			}
			if len(qps) == 0 {
				continue
			}
			ratio := func(list []float64) string {
				if server == reference || len(list) == 0 {
					return ""
				}
				return fmt.Sprintf("%.2fx (%.2f-%.2f)", median(list), slices.Min(list), slices.Max(list))
			}
			fields := []string{
				server, fmt.Sprint(len(qps)), fmt.Sprintf("%.0fk", median(qps)/1000), ratio(moreQPS),
				fmt.Sprintf("%.2f (%.2f)", median(cpu), median(user)), ratio(lessCPU),
				fmt.Sprintf("%.0f", median(p50)), fmt.Sprintf("%.0f", median(p99)), ratio(waits),
				fmt.Sprintf("%.2f", 100*float64(missed)/float64(max(sent, 1))), fmt.Sprintf("%.0f", median(memory)),
			}
			fmt.Fprintf(out, "| %s |\n", strings.Join(fields, " | "))
		}
	}
}

// median returns the middle of a list that is not empty, or the mean of the two in the middle.
func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2
}
