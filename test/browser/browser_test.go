package browser

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/demo/lab"
	"github.com/meridian-gtm/meridian/demo/shop"
	"github.com/meridian-gtm/meridian/demo/shop/invariant"
	"github.com/meridian-gtm/meridian/demo/traveler"
	"github.com/meridian-gtm/meridian/demo/world"
)

const (
	home   = "eu-west" // nearest to Frankfurt
	patron = "Ada Lovelace"
	sku    = "compass"
	// patience is for one step on a machine that has other things to do.
	patience = time.Minute
)

// frankfurt is the city's place in the lab's lists.
const frankfurt = 1

// moment is when the datacenter is lost that the shopper is in.
type moment string

const (
	beforeSending moment = "before the form is sent"
	afterCommit   moment = "after the order was written, before the answer came"
)

// TestOrderOutlivesItsDatacenter walks from the storefront to an order, and loses the datacenter on the way.
func TestOrderOutlivesItsDatacenter(t *testing.T) {
	for _, c := range []struct {
		lost   moment
		script bool
	}{{beforeSending, true}, {afterCommit, false}} {
		t.Run(fmt.Sprintf("%s, script %v", c.lost, c.script), func(t *testing.T) {
			program := find(t)
			l := startLab(t)
			lose := func() {
				if _, err := l.World.Inject(world.Fault{Kind: world.Lose, Site: home, For: world.MaxFor}); err != nil {
					t.Error(err)
				}
			}
			port := l.TravelerAddr().Port()
			if c.lost == afterCommit {
				port = startTraveler(t, l, lose)
			}
			b := open(t, program, port, c.script)
			failed := false
			id := b.buy(t, func() {
				if c.lost == beforeSending {
					lose()
				}
			}, func(said string) {
				failed = true
				if c.lost == beforeSending {
					return
				}
				if !strings.Contains(said, "It may have been carried out or not") {
					t.Errorf("the page after a lost answer says %q", said)
				}
				if r, err := l.Prove(t.Context(), nil); err != nil || r.Orders != 1 {
					t.Errorf("%d orders behind the lost answer, %v: want 1", r.Orders, err)
				}
			})
			if c.lost == afterCommit && !failed {
				t.Error("the answer was not lost")
			}
			b.wantElsewhere(t, l, id)
			b.wantOnce(t, l, id)
		})
	}
}

// startLab runs the one-process world on free ports until the test ends.
func startLab(t *testing.T) *lab.Lab {
	t.Helper()
	l, err := lab.New(t.Context(), lab.Options{AnyPort: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("lab: %v", err)
		}
	})
	select {
	case <-l.Ready():
	case err := <-done:
		done <- err
		t.Fatalf("lab ended: %v", err)
	case <-time.After(patience):
		t.Fatal("lab is not ready")
	}
	return l
}

// startTraveler runs a second traveler, whose way from Frankfurt is cut in the moment in which the answer to an order
// begins to arrive.
func startTraveler(t *testing.T, l *lab.Lab, lose func()) uint16 {
	t.Helper()
	o := l.Travel()
	dial := o.Cities[frankfurt].Dial
	var done atomic.Bool
	o.Cities[frankfurt].Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &fatal{Conn: conn, done: &done, lose: lose}, nil
	}
	tr, err := traveler.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- traveler.Serve(ctx, ln, tr, nil) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().(*net.TCPAddr).AddrPort().Port()
}

// fatal is a connection that loses its datacenter with the first byte of the answer to an order, once.
type fatal struct {
	net.Conn
	lose  func()
	done  *atomic.Bool // of all connections
	order atomic.Bool
}

func (f *fatal) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("POST /orders ")) {
		f.order.Store(true)
	}
	return f.Conn.Write(p)
}

func (f *fatal) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if err != nil || !f.order.Load() || f.done.Swap(true) {
		return n, err
	}
	f.lose()
	return 0, syscall.ECONNRESET
}

// browser is one window.
type browser struct {
	ctx   context.Context
	port  uint16
	shots string // directory for pictures; "" = none
	taken int
}

// find returns the browser's program, or skips the test.
func find(t *testing.T) string {
	t.Helper()
	programs := []string{"chromium", "google-chrome"}
	for _, name := range programs {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skipf("NOT WALKED THROUGH WITH A BROWSER: none of %v is installed", programs)
	return ""
}

// open starts a browser that ends with the test. It knows no names but those of this machine.
func open(t *testing.T, program string, port uint16, script bool) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE *.localhost"),
		chromedp.WSURLReadTimeout(patience),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which root cannot have
	}
	ctx, cancelAll := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("browser: %v", err)
		}
		cancel()
		cancelAll()
	})
	b := &browser{ctx: ctx, port: port, shots: os.Getenv("BROWSER_TEST_SHOTS")}
	if b.shots != "" {
		b.shots = filepath.Join(b.shots, strings.Map(func(r rune) rune {
			if r == ' ' || r == ',' || r == '/' {
				return '-'
			}
			return r
		}, t.Name()))
		if err := os.MkdirAll(b.shots, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run(t, ctx, send(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !script}))
	// A page that fetched something from the Internet would work on its author's machine only.
	watching, stop := context.WithCancel(ctx)
	requests := chromedp.Events(watching, network.RequestWillBeSent)
	run(t, ctx, send(network.Enable, network.EnableParams{}))
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for e, err := range requests {
			if err != nil {
				return
			}
			u, err := url.Parse(e.Request.URL)
			if err != nil || u.Hostname() != "127.0.0.1" && !strings.HasSuffix(u.Hostname(), ".localhost") {
				t.Errorf("%s asked for %s", e.DocumentURL, e.Request.URL)
			}
		}
	}()
	t.Cleanup(func() {
		stop()
		<-watched
	})
	return b
}

// send makes a command of the DevTools protocol a step.
func send[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

// run carries out a first step: the browser would end with a context that has a deadline.
func run(t *testing.T, ctx context.Context, step chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, step); err != nil {
		t.Fatal(err)
	}
}

// do carries out steps of the walk.
func (b *browser) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ask(t, b, chromedp.Steps(steps...))
}

// ask is do for one that has an answer.
func ask[T any](t *testing.T, b *browser, step chromedp.Action[T]) T {
	t.Helper()
	v, err := try(b, step)
	if err != nil {
		b.stuck(t)
		t.Fatal(err)
	}
	return v
}

func try[T any](b *browser, step chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, step)
}

// look is ask for a question that changes nothing: a page that loads itself again may do so in the middle of it.
func look[T any](t *testing.T, b *browser, step chromedp.Action[T]) T {
	t.Helper()
	for range 2 {
		if v, err := try(b, step); err == nil {
			return v
		}
	}
	return ask(t, b, step)
}

// stuck leaves a picture of where a walk ended.
func (b *browser) stuck(t *testing.T) {
	if b.shots == "" {
		return
	}
	if picture, err := try(b, chromedp.FullScreenshot(100)); err == nil {
		os.WriteFile(filepath.Join(b.shots, "stuck.png"), picture, 0o644)
	}
}

// click follows a link or sends a form, and waits for the page that comes. It goes there by keyboard: a mouse goes to where
// the element was when it was looked for, and in a window whose size has just changed that may be elsewhere.
func (b *browser) click(t *testing.T, selector string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, chromedp.SendKeys(chromedp.CSS(selector), kb.Enter)); err != nil {
		b.stuck(t)
		t.Fatalf("click %s: %v", selector, err)
	}
}

// text is what an element says.
func (b *browser) text(t *testing.T, selector string) string {
	t.Helper()
	return look(t, b, chromedp.Text(chromedp.CSS(selector)))
}

func (b *browser) path(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(look(t, b, chromedp.Location()))
	if err != nil {
		t.Fatal(err)
	}
	return u.Path
}

// at is an address on the traveler's port.
func (b *browser) at(host, path string) string {
	return fmt.Sprintf("http://%s:%d%s", host, b.port, path)
}

// looks of a page. Every page has to work in all of them.
var looks = []struct {
	name  string
	width int64
	dark  bool
}{{"wide", 1200, false}, {"narrow", 360, false}, {"dark", 1200, true}, {"narrow-dark", 360, true}}

// shot checks the page's manners and leaves pictures of it.
func (b *browser) shot(t *testing.T, name string) {
	t.Helper()
	b.taken++
	for _, l := range looks {
		scheme := "light"
		if l.dark {
			scheme = "dark"
		}
		b.do(t,
			send(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}),
			chromedp.EmulateViewport(l.width, 900),
		)
		if wide := look(t, b, chromedp.Evaluate[[]string](tooWide)); len(wide) > 0 {
			t.Errorf("%s, %s: does not fit: %q", name, l.name, wide)
		}
		if fields := look(t, b, chromedp.Evaluate[[]string](nameless)); len(fields) > 0 {
			t.Errorf("%s: fields without a label: %q", name, fields)
		}
		if b.shots != "" {
			file := filepath.Join(b.shots, fmt.Sprintf("%02d-%s-%s.png", b.taken, name, l.name))
			if err := os.WriteFile(file, look(t, b, chromedp.FullScreenshot(100)), 0o644); err != nil {
				t.Error(err)
			}
		}
	}
	b.do(t, chromedp.ResetViewport())
}

// What shot asks a page: elements that stick out at the right, and fields that nothing is said about.
const (
	tooWide = `[...document.querySelectorAll("body *")]
		.filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".wide") && !e.closest("pre"))
		.map(e => e.tagName + ": " + e.textContent.trim().slice(0, 40))`
	nameless = `[...document.querySelectorAll("input:not([type=hidden])")].filter(e => !e.labels.length && !e.ariaLabel).map(e => e.name)`
)

// buy walks from the list of cities to the page of an order and returns the order's id. atForm is called when the form
// is filled and not sent, atFailure with the text of the first page that says that no answer came. The shopper then
// sends the form again, as that page offers.
func (b *browser) buy(t *testing.T, atForm func(), atFailure func(said string)) (id string) {
	t.Helper()
	b.do(t, chromedp.Navigate(b.at("127.0.0.1", "/")))
	b.shot(t, "cities")
	b.click(t, `a[href^="http://frankfurt.localhost"]`)
	if badge := b.text(t, "footer"); !strings.Contains(badge, "from Frankfurt") || !strings.Contains(badge, home) {
		t.Errorf("badge %q: want Frankfurt in %s", badge, home)
	}
	b.shot(t, "storefront")
	b.do(t, chromedp.SendKeys(chromedp.CSS(`input[name="q"]`), sku))
	b.click(t, `form.search button`)
	b.shot(t, "search")
	b.click(t, `.products a`)
	b.shot(t, "product")
	b.click(t, `form[action="/cart"] button`)
	b.shot(t, "cart")
	b.click(t, `a[href="/checkout"]`)
	b.do(t, chromedp.SendKeys(chromedp.CSS(`input[name="customer"]`), patron))
	b.shot(t, "checkout")
	atForm()
	b.click(t, `form[action="/orders"] button`)
	for tries, deadline := 1, time.Now().Add(patience); b.path(t) == "/orders"; tries++ {
		if title := b.text(t, "h1"); title != "Frankfurt cannot reach the shop" {
			t.Fatalf("the page after the order says %q", title)
		}
		if tries == 1 {
			atFailure(b.text(t, "main"))
			b.shot(t, "failure")
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ordered in %v: %q", patience, b.text(t, "main"))
		}
		b.click(t, `form[action="/orders"] button`)
	}
	id, found := strings.CutPrefix(b.path(t), "/orders/")
	if !found || b.text(t, "h1") != "Thank you, "+patron {
		b.stuck(t)
		t.Fatalf("at %s, which says %q", b.path(t), b.text(t, "h1"))
	}
	b.shot(t, "order")
	return id
}

// wantElsewhere compares the order's page with what the traffic manager says about Frankfurt's clients.
func (b *browser) wantElsewhere(t *testing.T, l *lab.Lab, id string) {
	t.Helper()
	c := l.Clients[frankfurt]
	var said, badge string
	for deadline := time.Now().Add(patience); ; {
		e, err := l.Members[0].API.Explain(t.Context(), control.ExplainQuery{Name: lab.Host, Type: "A", Client: c.Prefix})
		if err != nil {
			t.Fatal(err)
		}
		site := l.SiteOf(e.Trace.Answer[0])
		b.do(t, chromedp.Navigate(b.at("frankfurt.localhost", "/orders/"+id)))
		badge = b.text(t, "footer")
		said = fmt.Sprintf("%s, %s", e.Trace.Answer, site)
		if site != home && strings.Contains(badge, "DNS said "+e.Trace.Answer[0].String()) && strings.Contains(badge, "served by "+site) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("explain says %s, the badge %q: want the same, and not %s", said, badge, home)
		}
	}
	b.do(t, chromedp.Click(chromedp.CSS("footer details:nth-of-type(1) summary")), chromedp.Click(chromedp.CSS("footer details:nth-of-type(2) summary")))
	b.shot(t, "badge")
	b.click(t, `a[href="/-/dns"]`)
	if text := b.text(t, "main"); !strings.Contains(text, home+" is down") {
		t.Errorf("the explanation says %q: want that %s is down", text, home)
	}
	b.shot(t, "explanation")
}

// wantOnce finds the order once: among the pages, and in the proof.
func (b *browser) wantOnce(t *testing.T, l *lab.Lab, id string) {
	t.Helper()
	if !strings.HasPrefix(id, home+"-") {
		t.Errorf("order %s: want one whose home is %s", id, home)
	}
	for _, m := range l.Members {
		b.do(t, chromedp.Navigate(b.at("frankfurt.localhost", "/orders?region="+m.Site)))
		rows := ask(t, b, chromedp.Evaluate[[]string](`[...document.querySelectorAll("tbody tr")].map(r => r.textContent)`))
		want := 0
		if m.Site == home {
			want = 1
			b.shot(t, "orders")
		}
		if n := len(slices.DeleteFunc(rows, func(r string) bool { return !strings.Contains(r, patron) })); n != want {
			t.Errorf("%d orders of %s in %s: want %d", n, patron, m.Site, want)
		}
	}
	ordered := shop.Catalog()[slices.IndexFunc(shop.Catalog(), func(p shop.Product) bool { return p.SKU == sku })]
	acked := []invariant.Ack{{ID: id, Total: ordered.Price}}
	var report invariant.Report
	var err error
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if report, err = l.Prove(t.Context(), acked); err != nil {
			t.Fatal(err)
		}
		if report.Open+report.Events == 0 || time.Now().After(deadline) {
			break
		}
	}
	if !report.OK() || report.Orders != 1 {
		t.Errorf("proof: %v: want one order and nothing violated", report)
	}
	b.do(t, chromedp.Navigate(b.at("mumbai.localhost", "/invariants")))
	if text := b.text(t, "main"); !strings.Contains(text, "All hold") || !strings.Contains(text, "1 orders: 0 lost, 0 duplicate, 0 oversold") {
		t.Errorf("the invariants page says %q", text)
	}
	b.shot(t, "invariants")
}
