package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Backend is the node behind the API. Every method is safe for concurrent use.
type Backend interface {
	Status(ctx context.Context) (*Status, error)
	Explain(ctx context.Context, q ExplainQuery) (*Explanation, error)
	// Top returns what is asked most. It is an error when nothing is counted.
	Top(ctx context.Context, q TopQuery) (*Top, error)
	// Queries returns how much client networks ask of services, likewise.
	Queries(ctx context.Context) (*Queries, error)
	// Apply previews or makes a change. A refusal is an Outcome with Refused set, not an error; an error wrapping
	// ErrInvalid is the caller's fault.
	Apply(ctx context.Context, c Change) (*Outcome, error)
	// Reload reads the configuration again. On error the running one stays.
	Reload(ctx context.Context) (*ReloadResult, error)
	// Events returns what happened after the event with this id, and a channel that is closed when there is more.
	// reset is true when events in between are no longer held.
	Events(after uint64) (events []Event, more <-chan struct{}, reset bool)
}

// ExplainQuery asks for the account of one answer.
type ExplainQuery struct {
	Name   string
	Type   string       // "A" or "AAAA", or another type for static records
	Client netip.Prefix // the client's network; not valid = the caller's own address
}

// TopQuery asks for what is asked most.
type TopQuery struct {
	By    string // ByName, ByClient or ByType
	Limit int    // 1..1000
}

// What queries are counted by.
const (
	ByName   = "name"
	ByClient = "client"
	ByType   = "type"
)

// defaultTop is how many items a list has when nobody says.
const defaultTop = 20

// ErrInvalid is wrapped by errors that are the caller's fault.
var ErrInvalid = errors.New("invalid request")

// ErrSuperseded is wrapped by the error of a change that is stored but lost to a later one, made through another node.
var ErrSuperseded = errors.New("changed through another node meanwhile")

const (
	maxBody          = 64 << 10
	eventsKeepalive  = 15 * time.Second
	readHeaderWithin = 5 * time.Second
)

// NewHandler serves the API. metrics may be nil.
func NewHandler(b Backend, metrics http.Handler, logger *slog.Logger) http.Handler {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &server{backend: b, log: logger}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /v1/status", s.status)
	mux.HandleFunc("GET /v1/sites", s.sites)
	mux.HandleFunc("GET /v1/members", s.members)
	mux.HandleFunc("GET /v1/explain", s.explain)
	mux.HandleFunc("GET /v1/top", s.top)
	mux.HandleFunc("GET /v1/queries", s.queries)
	mux.HandleFunc("GET /v1/events", s.events)
	mux.HandleFunc("POST /v1/overrides", s.change)
	mux.HandleFunc("POST /v1/reload", s.reload)
	if metrics != nil {
		mux.Handle("GET /metrics", metrics)
	}
	return guard(mux)
}

// Serve serves h on l until ctx ends, then finishes requests under way within two seconds.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: readHeaderWithin,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		_ = srv.Close()
	}
	<-done
	return nil
}

// guard keeps web pages out: a browser names the page's origin, and a rebound DNS name shows in Host.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); host != "localhost" && (err != nil || !addr.IsLoopback()) {
			writeError(w, http.StatusForbidden, fmt.Errorf("host %q: want a loopback address or localhost", r.Host))
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			if o := r.Header.Get("Origin"); o != "" {
				writeError(w, http.StatusForbidden, fmt.Errorf("origin %q: changes are not accepted from web pages", o))
				return
			}
			if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
				writeError(w, http.StatusUnsupportedMediaType,
					fmt.Errorf("content-type %q: want application/json", r.Header.Get("Content-Type")))
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

type server struct {
	backend Backend
	log     *slog.Logger
}

func (s *server) status(w http.ResponseWriter, r *http.Request) {
	st, err := s.backend.Status(r.Context())
	s.reply(w, st, err)
}

func (s *server) sites(w http.ResponseWriter, r *http.Request) {
	st, err := s.backend.Status(r.Context())
	if err != nil {
		s.reply(w, nil, err)
		return
	}
	s.reply(w, st.Sites, nil)
}

func (s *server) members(w http.ResponseWriter, r *http.Request) {
	st, err := s.backend.Status(r.Context())
	if err != nil {
		s.reply(w, nil, err)
		return
	}
	s.reply(w, st.Members, nil)
}

func (s *server) explain(w http.ResponseWriter, r *http.Request) {
	q := ExplainQuery{Name: r.FormValue("name"), Type: r.FormValue("type")}
	if q.Name == "" {
		s.reply(w, nil, fmt.Errorf("%w: name: want a domain name", ErrInvalid))
		return
	}
	if q.Type == "" {
		q.Type = "A"
	}
	if c := r.FormValue("client"); c != "" {
		p, err := ParseClient(c)
		if err != nil {
			s.reply(w, nil, err)
			return
		}
		q.Client = p
	} else if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		q.Client = netip.PrefixFrom(ap.Addr().Unmap(), ap.Addr().Unmap().BitLen())
	}
	e, err := s.backend.Explain(r.Context(), q)
	s.reply(w, e, err)
}

func (s *server) top(w http.ResponseWriter, r *http.Request) {
	q := TopQuery{By: cmp.Or(r.FormValue("by"), ByName), Limit: defaultTop}
	if text := r.FormValue("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			s.reply(w, nil, fmt.Errorf("%w: limit %q: want a whole number", ErrInvalid, text))
			return
		}
		q.Limit = n
	}
	t, err := s.backend.Top(r.Context(), q)
	s.reply(w, t, err)
}

func (s *server) queries(w http.ResponseWriter, r *http.Request) {
	q, err := s.backend.Queries(r.Context())
	s.reply(w, q, err)
}

// ParseClient reads "192.0.2.0/24" or "192.0.2.1" as a client's network. Host bits beyond the length are an error.
func ParseClient(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%w: client %q: want an address or a prefix such as 192.0.2.0/24", ErrInvalid, s)
	}
	if p.Masked() != p {
		return netip.Prefix{}, fmt.Errorf("%w: client %q: has host bits: want %v", ErrInvalid, s, p.Masked())
	}
	return p, nil
}

func (s *server) change(w http.ResponseWriter, r *http.Request) {
	var c Change
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		s.reply(w, nil, fmt.Errorf("%w: body: %v", ErrInvalid, err))
		return
	}
	out, err := s.backend.Apply(r.Context(), c)
	if err == nil && out.Refused != "" {
		writeJSON(w, http.StatusConflict, out)
		return
	}
	s.reply(w, out, err)
}

func (s *server) reload(w http.ResponseWriter, r *http.Request) {
	res, err := s.backend.Reload(r.Context())
	s.reply(w, res, err)
}

// events streams events as server-sent events. Last-Event-ID (or ?after=) resumes; a "reset" event says that what
// came in between is gone. ?follow=false ends after what is held.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	after := uint64(0)
	from := r.Header.Get("Last-Event-ID")
	if from == "" {
		from = r.FormValue("after")
	}
	if from != "" {
		n, err := strconv.ParseUint(from, 10, 64)
		if err != nil {
			s.reply(w, nil, fmt.Errorf("%w: event id %q: want a whole number", ErrInvalid, from))
			return
		}
		after = n
	}
	follow := r.FormValue("follow") != "false"
	w.Header().Set("Content-Type", "text/event-stream")
	rc := http.NewResponseController(w)
	keepalive := time.NewTicker(eventsKeepalive)
	defer keepalive.Stop()
	for {
		events, more, reset := s.backend.Events(after)
		if reset {
			fmt.Fprint(w, "event: reset\ndata: {}\n\n")
		}
		for _, e := range events {
			b, err := json.Marshal(e)
			if err != nil {
				s.log.Error("event cannot be written as JSON", "id", e.ID, "err", err)
				continue
			}
			fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", e.ID, e.Kind, b)
			after = e.ID
		}
		if err := rc.Flush(); err != nil || !follow {
			return
		}
		select {
		case <-more:
		case <-keepalive.C:
			fmt.Fprint(w, ": keepalive\n\n")
		case <-r.Context().Done():
			return
		}
	}
}

func (s *server) reply(w http.ResponseWriter, v any, err error) {
	switch {
	case err == nil:
		writeJSON(w, http.StatusOK, v)
	case errors.Is(err, ErrInvalid):
		writeError(w, http.StatusBadRequest, err)
	case errors.Is(err, ErrSuperseded):
		writeError(w, http.StatusPreconditionFailed, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		writeError(w, http.StatusServiceUnavailable, err)
	default:
		writeError(w, http.StatusUnprocessableEntity, err)
	}
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // the client is gone: nobody is left to tell
}

func writeError(w http.ResponseWriter, code int, err error) {
	writeJSON(w, code, map[string]string{"error": err.Error()})
}
