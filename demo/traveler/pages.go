package traveler

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"fmt"
	"html/template"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/meridian-gtm/meridian/control"
)

//go:embed templates
var templateFiles embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"km":      func(f float64) string { return fmt.Sprintf("%.0f km", f) },
	"percent": func(permille uint16) string { return fmt.Sprintf("%d%%", permille/10) },
	"clock":   func(t time.Time) string { return t.Format("15:04:05") },
	"short":   func(d time.Duration) string { return d.Round(10 * time.Millisecond).String() },
}).ParseFS(templateFiles, "templates/*.html"))

// ownPath begins the paths that the traveler serves itself on a city's name.
const ownPath = "/-/"

// ownHeader is for responses that are not the shop's.
func ownHeader(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Referrer-Policy", "same-origin") // without a referrer a form would have no Origin either
	h.Set("X-Content-Type-Options", "nosniff")
}

// badge is the DNS part of a page's badge, in front of the shop's.
type badge struct {
	City   City
	Answer Answer
	Fresh  bool
	Left   int // seconds that the answer may still be used
	Scope  netip.Prefix
	Addr   netip.Addr // that was connected to
	Tried  []Attempt  // before it
	Port   string     // see page
}

func newBadge(p *trip, now time.Time) badge {
	last := len(p.attempts) - 1
	return badge{
		City: p.city.City, Answer: p.answer, Fresh: p.fresh, Left: p.answer.secondsLeft(now),
		Scope: netip.PrefixFrom(p.city.Prefix.Addr(), int(p.answer.Scope)).Masked(), Addr: p.attempts[last].Addr, Tried: p.attempts[:last], Port: p.port,
	}
}

// page is what every template of a whole page gets.
type page struct {
	Title   string
	Refresh int // seconds until the page is loaded again; 0 = never
	Shop    string
	Port    string // of the browser's address: ":8080", or ""

	City   City
	Cities []row
	Answer Answer
	Left   int
	NoDNS  error
	Now    *control.Explanation // what the node that answered would say now; nil = unknown
	Mute   bool                 // the node has an API that gave no explanation
	Stale  bool                 // Now is another answer than the one in use
	DNS    netip.AddrPort

	Status   int
	Attempts []Attempt
	Method   string
	Action   string
	Form     []field // of a form that may be sent again
	Key      string  // of the order in the form; "" = none
	Sent     bool
}

// row is one city of the list.
type row struct {
	City   City
	Answer Answer
	Left   int
	Fresh  bool
	Err    error
	Failed time.Time // the first address fails from there since then; zero = it does not
}

type field struct{ Name, Value string }

func (t *Traveler) render(w http.ResponseWriter, status int, name string, p page) {
	p.Shop, p.Status = t.opt.Shop, status
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, p); err != nil {
		t.opt.Logger.Error("page", "name", name, "err", err)
		http.Error(w, "page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	ownHeader(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(b.Bytes()) // the browser is gone if this fails
}

// portOf is the port that the browser used, with its colon.
func portOf(r *http.Request) string {
	if _, port, err := net.SplitHostPort(r.Host); err == nil {
		return ":" + port
	}
	return ""
}

// refreshList is how often the list of cities is loaded again, in seconds.
const refreshList = 5

// serveHome serves the traveler's own pages.
func (t *Traveler) serveHome(w http.ResponseWriter, r *http.Request) {
	switch {
	case !readOnly(w, r):
	case r.URL.Path == "/":
		t.render(w, http.StatusOK, "cities.html", page{
			Title: "Shop from somewhere else", Refresh: refreshList, Port: portOf(r), Cities: t.rows(r),
		})
	case r.URL.Path == "/healthz":
		ownHeader(w.Header())
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write([]byte("ok\n"))
	case r.URL.Path == ownPath+"style.css":
		t.style(w, r)
	default:
		ownHeader(w.Header())
		http.NotFound(w, r)
	}
}

func readOnly(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	ownHeader(w.Header())
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, "want GET", http.StatusMethodNotAllowed)
	return false
}

func (t *Traveler) style(w http.ResponseWriter, r *http.Request) {
	ownHeader(w.Header())
	w.Header().Set("Cache-Control", "max-age=3600")
	http.ServeFileFS(w, r, templateFiles, "templates/style.css")
}

// rows resolves for all cities at once.
func (t *Traveler) rows(r *http.Request) []row {
	rows := make([]row, len(t.cities))
	var asking sync.WaitGroup
	for i, c := range t.cities {
		asking.Go(func() {
			a, fresh, err := c.resolver.resolve(r.Context())
			rows[i] = row{City: c.City, Answer: a, Fresh: fresh, Err: err, Left: a.secondsLeft(time.Now())}
			if len(a.Addrs) > 0 {
				c.mu.Lock()
				defer c.mu.Unlock()
				rows[i].Failed = c.trouble[a.Addrs[0]]
			}
		})
	}
	asking.Wait()
	return rows
}

// serveOwn serves the traveler's pages on a city's name.
func (t *Traveler) serveOwn(w http.ResponseWriter, r *http.Request, c *city) {
	switch {
	case !readOnly(w, r):
	case r.URL.Path == ownPath+"dns":
		t.dnsPage(w, r, c)
	case r.URL.Path == ownPath+"style.css":
		t.style(w, r)
	default:
		ownHeader(w.Header())
		http.NotFound(w, r)
	}
}

// dnsPage explains the answer that the city uses, and the one that it would get now.
func (t *Traveler) dnsPage(w http.ResponseWriter, r *http.Request, c *city) {
	p := page{Title: "Why " + c.Title + " is sent there", Port: portOf(r), City: c.City, DNS: c.Servers[0].Addr}
	p.Answer, _, p.NoDNS = c.resolver.resolve(r.Context())
	if p.NoDNS == nil {
		p.Left, p.DNS = p.Answer.secondsLeft(time.Now()), p.Answer.Server
		i := slices.IndexFunc(c.Servers, func(s Server) bool { return s.Addr == p.Answer.Server })
		ctx, cancel := context.WithTimeout(r.Context(), explainWithin)
		defer cancel()
		p.Now = c.resolver.explain(ctx, c.Servers[i])
		p.Mute = c.Servers[i].API != nil && p.Now == nil
		p.Stale = p.Now != nil && !slices.Equal(p.Now.Trace.Answer, p.Answer.Addrs)
	}
	t.render(w, http.StatusOK, "dns.html", p)
}

// Bounds of the time after which a page that failed is loaded again, in seconds.
const (
	refreshSoonest = 1
	refreshLatest  = 5
)

// failurePage says what happened on a trip. A page that was only looked at is loaded again by itself; a form is shown
// with a button that sends it again, as it was.
func (t *Traveler) failurePage(w http.ResponseWriter, r *http.Request, p *trip, status int) {
	out := page{
		Title: p.city.Title + " cannot reach the shop", City: p.city.City, Answer: p.answer, NoDNS: p.noAnswer, Attempts: p.attempts,
		Left: p.answer.secondsLeft(time.Now()), Method: r.Method, Action: r.URL.RequestURI(), Port: portOf(r),
	}
	for _, a := range p.attempts {
		out.Sent = out.Sent || a.Sent
	}
	again := min(max(out.Left, refreshSoonest), refreshLatest)
	w.Header().Set("Retry-After", fmt.Sprint(again))
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		ownHeader(w.Header())
		http.Error(w, out.text(), status)
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		out.Refresh = again
	case http.MethodPost:
		out.Form = formOf(r, p.body)
		for _, f := range out.Form {
			if f.Name == "key" {
				out.Key = f.Value
			}
		}
	}
	t.render(w, status, "failure.html", out)
}

// text sums a failure up for programs.
func (p page) text() string {
	var parts []string
	for _, a := range p.Attempts {
		parts = append(parts, fmt.Sprintf("%s: %v", a.Addr, a.Err))
	}
	if p.NoDNS != nil {
		parts = append(parts, p.NoDNS.Error())
	}
	return fmt.Sprintf("%s: %s", p.City.Title, cmp.Or(strings.Join(parts, "; "), "the shop cannot be reached"))
}

// formOf returns the fields of a form in the order of their names, each name's values in the order of the form.
func formOf(r *http.Request, body []byte) (form []field) {
	if t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); t != "application/x-www-form-urlencoded" {
		return nil
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil
	}
	for name, all := range values {
		for _, v := range all {
			form = append(form, field{name, v})
		}
	}
	slices.SortStableFunc(form, func(a, b field) int { return cmp.Compare(a.Name, b.Name) })
	return form
}
