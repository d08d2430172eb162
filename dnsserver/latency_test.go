package dnsserver

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestLatency(t *testing.T) {
	var l latency
	for _, test := range []struct {
		d    time.Duration
		want int // bucket
	}{
		{0, 0},
		{1, 0},
		{time.Microsecond, 0},
		{time.Microsecond + 1, 1},
		{2 * time.Microsecond, 1},
		{3 * time.Microsecond, 2},
		{4 * time.Microsecond, 2},
		{1024 * time.Microsecond, 10},
		{500 * time.Millisecond, 19},
		{time.Second, 20},
		{time.Hour, 20},
	} {
		var before, after Latency
		l.addTo(&before)
		l.add(3, test.d)
		l.addTo(&after)
		for i := range after.Buckets {
			want := before.Buckets[i]
			if i == test.want {
				want += 3
			}
			if after.Buckets[i] != want {
				t.Errorf("%v: bucket %d counts %d, want %d", test.d, i, after.Buckets[i], want)
			}
		}
		if after.Sum != before.Sum+3*test.d || after.Count() != before.Count()+3 {
			t.Errorf("%v: got %v and %d", test.d, after.Sum, after.Count())
		}
	}
}

func TestSampler(t *testing.T) {
	for every, want := range map[int]int{0: 0, 1: 1000, 64: 15, 1000: 1, 1001: 0} {
		s, got := newSampler(every), 0
		for range 1000 {
			if s.next() {
				got++
			}
		}
		if got != want {
			t.Errorf("one of %d: %d of 1000", every, got)
		}
	}
}

// Every query is measured when every batch is, and metrics say so.
func TestLatencySample(t *testing.T) { bothWays(t, testLatencySample) }

func testLatencySample(t *testing.T, singly bool) {
	s := newServer(t, Options{Listen: loopback, LatencySample: 1})
	s.singly = singly
	s.Store(newSnapshot(t, "192.0.2.1"))
	addr, stop := start(t, s)
	for range 10 {
		ask(t, "udp", addr, "static.shop.example. A")
	}
	stop()
	st := s.Stats().Latency
	if st.Count() != 10 || st.Sum <= 0 || st.Sum > time.Minute {
		t.Errorf("got %+v", st)
	}
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(s); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "meridian_dns_latency_seconds" {
			continue
		}
		h := family.GetMetric()[0].GetHistogram()
		last := h.GetBucket()[len(h.GetBucket())-1]
		if h.GetSampleCount() != 10 || h.GetSampleSum() != st.Sum.Seconds() || last.GetUpperBound() != 0.524288 ||
			last.GetCumulativeCount()+st.Buckets[latencyBuckets-1] != 10 {
			t.Errorf("got %v", h)
		}
		return
	}
	t.Error("no histogram")
}
