package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/meridian-gtm/meridian/demo/shop"
	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// metrics are one replica's, in a registry of their own: several replicas share a process.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	orders   *prometheus.CounterVec
	handler  http.Handler
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "shop_requests_total", Help: "Requests answered, by route and status.",
		}, []string{"route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "shop_request_seconds", Help: "Time to the end of the answer, by route.",
			Buckets: []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"route"}),
		orders: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "shop_orders_total", Help: "Orders asked for, by outcome.",
		}, []string{"outcome"}),
	}
	counter := func(name, help string, value func(store.Stats) int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return float64(value(s.shop.DB().Stats())) })
	}
	r := prometheus.NewRegistry()
	r.MustRegister(m.requests, m.seconds, m.orders, &backlog{s},
		counter("shop_transaction_retries_total", "Attempts of transactions after the first.", func(s store.Stats) int64 { return s.Retries }),
		counter("shop_transaction_ambiguous_total", "Transactions whose end is unknown.", func(s store.Stats) int64 { return s.Ambiguous }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "shop_requests_busy", Help: "Requests under way."},
			func() float64 { return float64(s.busy.Load()) }),
	)
	m.handler = promhttp.HandlerFor(r, promhttp.HandlerOpts{})
	return m
}

func (m *metrics) serve(w http.ResponseWriter, r *http.Request) { m.handler.ServeHTTP(w, r) }

// order counts what became of an order.
func (m *metrics) order(replayed bool, err error) {
	outcome := "created"
	_, invalid := errors.AsType[*shop.InvalidError](err)
	_, short := errors.AsType[*shop.OutOfStockError](err)
	switch {
	case err == nil && replayed:
		outcome = "replayed"
	case invalid, errors.Is(err, shop.ErrKeyReused):
		outcome = "refused"
	case short:
		outcome = "out_of_stock"
	case errors.Is(err, store.ErrAmbiguous):
		outcome = "unknown"
	case err != nil:
		outcome = "failed"
	}
	m.orders.WithLabelValues(outcome).Inc()
}

// count wraps the handler of a route.
func (m *metrics) count(route string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		start := time.Now()
		next.ServeHTTP(seen, r)
		m.seconds.WithLabelValues(route).Observe(time.Since(start).Seconds())
		m.requests.WithLabelValues(route, strconv.Itoa(seen.status)).Inc()
	})
}

// statusWriter notices the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// backlog reads what waits in the replica's region when a monitor asks.
type backlog struct{ *Server }

var (
	backlogEvents = prometheus.NewDesc("shop_outbox_pending", "Events that wait for the relay, in the replica's region.", nil, nil)
	backlogOrders = prometheus.NewDesc("shop_orders_open", "Orders that wait for bank or warehouse, in the replica's region.", nil, nil)
)

func (b *backlog) Describe(ch chan<- *prometheus.Desc) {
	ch <- backlogEvents
	ch <- backlogOrders
}

func (b *backlog) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	events, orders, err := b.shop.Backlog(ctx, b.opt.Region)
	if err != nil {
		return // unknown is told by absence
	}
	ch <- prometheus.MustNewConstMetric(backlogEvents, prometheus.GaugeValue, float64(events))
	ch <- prometheus.MustNewConstMetric(backlogOrders, prometheus.GaugeValue, float64(orders))
}
