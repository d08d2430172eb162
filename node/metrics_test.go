package node

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// scrape fetches the metrics page.
func (m *member) scrape() string {
	m.f.t.Helper()
	resp, err := http.Get("http://" + m.node.API().String() + "/metrics")
	if err != nil {
		m.f.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		m.f.t.Fatalf("metrics: %s: %v: %s", resp.Status, err, b)
	}
	return string(b)
}

// metrics returns the samples by name and labels.
func (m *member) metrics() map[string]float64 {
	m.f.t.Helper()
	out := map[string]float64{}
	for line := range strings.Lines(m.scrape()) {
		if i := strings.LastIndexByte(line, ' '); line[0] != '#' && i > 0 {
			v, err := strconv.ParseFloat(strings.TrimSpace(line[i:]), 64)
			if err != nil {
				m.f.t.Fatalf("metrics: %q: %v", line, err)
			}
			out[line[:i]] = v
		}
	}
	return out
}

// Names follow the rules of the Prometheus documentation: one prefix, base units, _total on counters and on nothing
// else, and a sentence of help.
func TestMetricNames(t *testing.T) {
	f := running(t, 2)
	f.nodes[0].ask("www.shop.example", 1, newYork)
	named := regexp.MustCompile(`^meridian_[a-z][a-z0-9_]*[a-z0-9]$`)
	odd := regexp.MustCompile(`_(ms|milliseconds|micros|minutes|hours|kb|mb|percent|permille|count)(_|$)`)
	families, help := 0, map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(f.nodes[0].scrape()))
	for lines.Scan() {
		words := strings.SplitN(lines.Text(), " ", 4)
		if len(words) == 4 && words[1] == "HELP" {
			help[words[2]] = words[3]
		}
		if len(words) != 4 || words[1] != "TYPE" || strings.HasPrefix(words[2], "go_") || strings.HasPrefix(words[2], "process_") {
			continue
		}
		families++
		name, kind := words[2], words[3]
		if !named.MatchString(name) {
			t.Errorf("%s: want meridian_ and small letters", name)
		}
		if odd.MatchString(name) {
			t.Errorf("%s: want base units: seconds, bytes, ratio", name)
		}
		if (kind == "counter") != strings.HasSuffix(name, "_total") {
			t.Errorf("%s: %s: want _total on counters and on nothing else", name, kind)
		}
		if !strings.HasSuffix(help[name], ".") {
			t.Errorf("%s: help %q: want a sentence", name, help[name])
		}
	}
	if families < 30 {
		t.Errorf("%d families: want those of DNS, probes, gossip and the node", families)
	}
	want := map[string]float64{
		`meridian_config_last_reload_successful`:                              1,
		`meridian_fault{part="geo"}`:                                          0,
		`meridian_fault{part="disk"}`:                                         0,
		`meridian_alarms`:                                                     0,
		`meridian_member_heard{member="eu-1",member_datacenter="eu"}`:         1,
		`meridian_member_answers_alike{member="eu-1",member_datacenter="eu"}`: 1,
		`meridian_site_weight_ratio{check="web",family="v4",site="us"}`:       1,
		`meridian_service_available_sites{family="v4",service="shop"}`:        2,
		`meridian_dns_service_answers_total{cause="policy",service="shop"}`:   1,
		`meridian_dns_service_ecs_answers_total{service="shop"}`:              1,
		`meridian_site_level{check="web",family="v6",site="eu"}`:              3,
		`meridian_config_reloads_total{result="refused"}`:                     0,
		`meridian_records_refused_total`:                                      0,
	}
	f.eventually("every sample is as it should be", func() error {
		m := f.nodes[0].metrics()
		for sample, want := range want {
			if got, ok := m[sample]; !ok || got != want {
				return fmt.Errorf("%s is %v (there: %t): want %v", sample, got, ok, want)
			}
		}
		return nil
	})
	f.eventually("probes and gossip are counted", func() error {
		m := f.nodes[0].metrics()
		probes, packets := m[`meridian_probes_total{kind="tcp",outcome="success",reason="ok"}`], m[`meridian_gossip_packets_total{direction="in"}`]
		if probes == 0 || packets == 0 {
			return fmt.Errorf("%v probes, %v packets", probes, packets)
		}
		return nil
	})
}
