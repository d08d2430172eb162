package web

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop"
	"github.com/meridian-gtm/meridian/demo/shop/invariant"
)

var regions = []string{"us-east", "eu-west"}

func newStore(t *testing.T) *shop.Shop {
	t.Helper()
	return openStore(t, shop.Catalog())
}

func openStore(t *testing.T, catalog []shop.Product) *shop.Shop {
	t.Helper()
	s, err := shop.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "shop.db"), regions, catalog)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func newShop(t *testing.T, store *shop.Shop, region string) *Server {
	t.Helper()
	return New(store, Options{Region: region, Replica: region + "-1", Via: func(*http.Request) Via {
		return Via{Director: region + "-a", VIP: "198.51.100.2:8000"}
	}})
}

type reply struct {
	status int
	header http.Header
	body   string
}

func do(s *Server, method, target, contentType, body string, header ...string) reply {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	b, _ := io.ReadAll(w.Result().Body)
	return reply{w.Code, w.Result().Header, string(b)}
}

func wantIn(t *testing.T, what string, r reply, status int, parts ...string) {
	t.Helper()
	if r.status != status {
		t.Errorf("%s: status %d: want %d\n%s", what, r.status, status, r.body)
	}
	for _, p := range parts {
		if !strings.Contains(r.body, p) {
			t.Errorf("%s: no %q in\n%s", what, p, r.body)
		}
	}
}

// TestPages walks through the shop as a browser without JavaScript does, with a change of region in the middle.
func TestPages(t *testing.T) {
	store := newStore(t)
	eu, us := newShop(t, store, "eu-west"), newShop(t, store, "us-east")
	badge := []string{"<b>eu-west</b>", "director <b>eu-west-a</b>", "VIP <b>198.51.100.2:8000</b>", "replica <b>eu-west-1</b>", "SQLite file standing in"}

	wantIn(t, "catalogue", do(eu, "GET", "/", "", ""), 200, append(badge, "Brass compass", "49.00 EUR", "6000 in stock")...)
	form := do(eu, "GET", "/products/compass", "", "")
	wantIn(t, "product", form, 200, append(badge, `<form method="post" action="/orders"`)...)
	key := regexp.MustCompile(`name="key" value="(eu-west\.[A-Z2-7]+)"`).FindStringSubmatch(form.body)
	if key == nil {
		t.Fatalf("no key in the form:\n%s", form.body)
	}
	fields := url.Values{"key": {key[1]}, "sku": {"compass"}, "quantity": {"2"}, "customer": {"Ada <b>"}}
	first := do(eu, "POST", "/orders", urlencoded, fields.Encode())
	again := do(us, "POST", "/orders", urlencoded, fields.Encode())
	order := first.header.Get("Location")
	if first.status != 303 || again.status != 303 || !strings.HasPrefix(order, "/orders/eu-west-") || again.header.Get("Location") != order {
		t.Fatalf("form sent in two regions: %d to %q, %d to %q: want 303 to one order", first.status, order, again.status, again.header.Get("Location"))
	}
	wantIn(t, "order", do(us, "GET", order, "", ""), 200, "98.00 EUR", "Home region eu-west; taken by eu-west; this page comes from us-east", "Ada &lt;b&gt;", "replica <b>us-east-1</b>")

	fields.Set("quantity", "3")
	wantIn(t, "same form, other order", do(us, "POST", "/orders", urlencoded, fields.Encode()), 409, "another order", "us-east-1")
	fields.Set("quantity", "many")
	wantIn(t, "not a number", do(us, "POST", "/orders", urlencoded, fields.Encode()), 400, "quantity: want a number")
	fields.Set("key", "nonsense")
	wantIn(t, "bad key", do(us, "POST", "/orders", urlencoded, fields.Encode()), 400, "home region")
	wantIn(t, "huge form", do(us, "POST", "/orders", urlencoded, "key="+strings.Repeat("x", 70<<10)), 413, "64 KiB")
	for _, path := range []string{"/nowhere", "/products/unicorn", "/orders/eu-west-unheardof"} {
		wantIn(t, path, do(eu, "GET", path, "", ""), 404, append(badge, "404 Not Found")...)
	}
	wantIn(t, "wrong method", do(eu, "POST", "/", "", ""), 405)
	if css := do(eu, "GET", "/style.css", "", ""); css.status != 200 || !strings.HasPrefix(css.header.Get("Content-Type"), "text/css") {
		t.Errorf("style: %d %s", css.status, css.header.Get("Content-Type"))
	}
}

func TestSoldOutHasNoForm(t *testing.T) {
	store := openStore(t, []shop.Product{{SKU: "kite", Name: "Kite", Price: 100}})
	page := do(newShop(t, store, "us-east"), "GET", "/products/kite", "", "")
	wantIn(t, "sold out", page, 200, "Sold out here")
	if strings.Contains(page.body, "<form") {
		t.Error("sold out, and there is still a form")
	}
}

func TestAPI(t *testing.T) {
	store := newStore(t)
	eu, us := newShop(t, store, "eu-west"), newShop(t, store, "us-east")
	const path, js = "/api/v1/orders", "application/json"
	body := `{"customer":"Ada","lines":[{"sku":"flare","quantity":2}]}`
	key := shop.NewKey("eu-west").String()

	first := do(eu, "POST", path, js, body, "Idempotency-Key", key)
	wantIn(t, "new", first, 201, `"total_minor":2580`, `"region":"eu-west"`, `"taken_by":"eu-west"`)
	replay := do(us, "POST", path, js, body, "Idempotency-Key", key)
	wantIn(t, "replay", replay, 200)
	if first.body != replay.body || replay.header.Get("Shop-Region") != "us-east" || replay.header.Get("Shop-Director") != "us-east-a" {
		t.Errorf("replay by %s through %s: %s: want us-east, us-east-a, %s",
			replay.header.Get("Shop-Region"), replay.header.Get("Shop-Director"), replay.body, first.body)
	}
	wantIn(t, "get", do(us, "GET", first.header.Get("Location"), "", ""), 200, strings.TrimSpace(first.body))

	for name, c := range map[string]struct {
		key, contentType, body string
		status                 int
		want                   string
	}{
		"same key, other body": {key, js, `{"customer":"Ada","lines":[{"sku":"flare","quantity":3}]}`, 409, "another order"},
		"no key":               {"", js, body, 400, "idempotency key"},
		"strange region":       {shop.NewKey("mars").String(), js, body, 400, "mars"},
		"form type":            {key, "text/plain", body, 415, "application/json"},
		"typed with charset":   {shop.NewKey("eu-west").String(), js + "; charset=utf-8", body, 201, "eu-west-"},
		"unknown field":        {key, js, `{"customer":"Ada","discount":100}`, 400, "discount"},
		"two objects":          {key, js, body + body, 400, "nothing after it"},
		"not json":             {key, js, `{`, 400, "body"},
		"too large":            {key, js, `{"customer":"` + strings.Repeat("x", 70<<10), 413, "64 KiB"},
		"more than there are":  {shop.NewKey("eu-west").String(), js, `{"customer":"Ada","lines":[` + strings.Repeat(`{"sku":"sextant","quantity":99},`, 12) + `{"sku":"sextant","quantity":99}]}`, 409, "1200 left in eu-west, 1287 wanted"},
	} {
		r := do(us, "POST", path, c.contentType, c.body, "Idempotency-Key", c.key)
		wantIn(t, name, r, c.status, c.want)
		if !json.Valid([]byte(r.body)) {
			t.Errorf("%s: not JSON: %s", name, r.body)
		}
	}
	wantIn(t, "unknown order", do(us, "GET", path+"/eu-west-unheardof", "", ""), 404, `"error"`)
	wantIn(t, "products", do(us, "GET", "/api/v1/products", "", ""), 200, `"region":"us-east"`, `"sku":"sextant"`, `"price_minor":25900`)
}

func TestHealthAndReadiness(t *testing.T) {
	store := newStore(t)
	s := newShop(t, store, "eu-west")
	wantIn(t, "live", do(s, "GET", "/healthz", "", ""), 200, "ok")
	wantIn(t, "ready", do(s, "GET", "/readyz", "", ""), 200, `"ready":true`, `"reasons":[]`)
	s.Drain()
	wantIn(t, "draining", do(s, "GET", "/readyz", "", ""), 503, `"ready":false`, "draining")
	wantIn(t, "draining still serves", do(s, "GET", "/", "", ""), 200)

	dead := newShop(t, store, "eu-west")
	store.Close()
	wantIn(t, "live without a database", do(dead, "GET", "/healthz", "", ""), 200)
	wantIn(t, "not ready without a database", do(dead, "GET", "/readyz", "", ""), 503, "database")
	page := do(dead, "GET", "/", "", "")
	wantIn(t, "page without a database", page, 503, "cannot reach its database", "eu-west-1")
	if page.header.Get("Retry-After") == "" || strings.Contains(page.body, "sql:") {
		t.Errorf("503: Retry-After %q, body\n%s", page.header.Get("Retry-After"), page.body)
	}
	wantIn(t, "API without a database", do(dead, "GET", "/api/v1/products", "", ""), 503, `"error"`)
}

const urlencoded = "application/x-www-form-urlencoded"

// TestCartSurvivesTheRegion fills a cart in one region, changes and checks it out in another.
func TestCartSurvivesTheRegion(t *testing.T) {
	s := newStore(t)
	eu, us := newShop(t, s, "eu-west"), newShop(t, s, "us-east")
	wantIn(t, "empty cart", do(eu, "GET", "/cart", "", ""), 200, "There is nothing in it")
	put := do(eu, "POST", "/cart", urlencoded, "sku=compass&quantity=2")
	cookie := put.header.Get("Set-Cookie")
	if put.status != 303 || put.header.Get("Location") != "/cart" || !strings.HasPrefix(cookie, "cart=eu-west-") ||
		!strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Lax") {
		t.Fatalf("into the cart: %d to %q, cookie %q", put.status, put.header.Get("Location"), cookie)
	}
	cart, _, _ := strings.Cut(cookie, ";")
	if more := do(us, "POST", "/cart", urlencoded, "sku=flare&quantity=1", "Cookie", cart); more.status != 303 || more.header.Get("Set-Cookie") != "" {
		t.Errorf("more, elsewhere: %d, cookie %q: want the same cart", more.status, more.header.Get("Set-Cookie"))
	}
	wantIn(t, "cart", do(us, "GET", "/cart", "", "", "Cookie", cart), 200, "Brass compass", "Signal flare", "110.90 EUR", "eu-west-")
	checkout := do(us, "GET", "/checkout", "", "", "Cookie", cart)
	wantIn(t, "checkout", checkout, 200, "110.90 EUR", `name="sku" value="compass"><input type="hidden" name="quantity" value="2"`)
	fields := url.Values{}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="(\w+)" value="([^"]+)">`).FindAllStringSubmatch(checkout.body, -1) {
		fields.Add(m[1], m[2])
	}
	fields.Set("customer", "Ada")
	first := do(us, "POST", "/orders", urlencoded, fields.Encode(), "Cookie", cart)
	// The cart is empty by now; the form still is the same order, in any region.
	again := do(eu, "POST", "/orders", urlencoded, fields.Encode(), "Cookie", cart)
	if first.status != 303 || again.status != 303 || first.header.Get("Location") != again.header.Get("Location") {
		t.Fatalf("checkout sent twice: %d to %q, %d to %q\n%s", first.status, first.header.Get("Location"), again.status, again.header.Get("Location"), first.body)
	}
	wantIn(t, "cart afterwards", do(us, "GET", "/cart", "", "", "Cookie", cart), 200, "There is nothing in it")
	order := first.header.Get("Location")
	wantIn(t, "order", do(eu, "GET", order, "", ""), 200, "110.90 EUR", `<b class="status">placed</b>`, `http-equiv="refresh"`, order+"/cancel")
	if r := do(eu, "POST", order+"/cancel", urlencoded, ""); r.status != 303 {
		t.Errorf("cancel: %d %s", r.status, r.body)
	}
	wantIn(t, "cancelled", do(eu, "GET", order, "", ""), 200, `<b class="status">cancelling</b>`)
	wantIn(t, "list", do(eu, "GET", "/orders?region=us-east", "", ""), 200, "cancelling", "110.90 EUR")
	wantIn(t, "list of nowhere", do(eu, "GET", "/orders?region=mars", "", ""), 404)
	wantIn(t, "strange cart", do(eu, "GET", "/cart", "", "", "Cookie", "cart=mars-x"), 404)
	wantIn(t, "too many", do(eu, "POST", "/cart", urlencoded, "sku=flare&quantity=100"), 400, "0..99")
	wantIn(t, "unknown product", do(eu, "POST", "/cart", urlencoded, "sku=unicorn&quantity=1"), 400, "no such product")
}

func TestFormsOfOtherOriginsAreRefused(t *testing.T) {
	s := newShop(t, newStore(t), "eu-west")
	r := do(s, "POST", "/cart", urlencoded, "sku=flare&quantity=1", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
	if r.status != 403 || r.header.Get("Set-Cookie") != "" {
		t.Errorf("form of another origin: %d, cookie %q: want 403", r.status, r.header.Get("Set-Cookie"))
	}
}

func TestSearchAndFacets(t *testing.T) {
	s := newShop(t, newStore(t), "eu-west")
	for target, want := range map[string][2]string{
		"/?q=LAMP":                 {"Nothing found", "Sextant"},
		"/?q=brass":                {"Brass compass", "Sextant"},
		"/?category=navigation":    {"Sextant", "Storm lantern"},
		"/?category=deck&q=burns":  {"Storm lantern", "Sea anchor"},
		"/?q=%3Cscript%3E":         {"&lt;script&gt;", "<script>"},
		"/?category=%22onload%3D1": {"Nothing found", `"onload=1`},
	} {
		r := do(s, "GET", target, "", "")
		wantIn(t, target, r, 200, want[0])
		if strings.Contains(r.body, want[1]) {
			t.Errorf("%s: shows %q", target, want[1])
		}
	}
}

func TestCartAPI(t *testing.T) {
	s := newShop(t, newStore(t), "eu-west")
	id := shop.NewCartID("us-east")
	line := "/api/v1/carts/" + id + "/lines/compass"
	for range 2 { // doing it twice is doing it once
		wantIn(t, "put", do(s, "PUT", line, "application/json", `{"quantity":3}`), 200, `"quantity":3`, `"total_minor":14700`)
	}
	wantIn(t, "get", do(s, "GET", "/api/v1/carts/"+id, "", ""), 200, `"sku":"compass"`)
	wantIn(t, "take out", do(s, "PUT", line, "application/json", `{"quantity":0}`), 200, `"lines":[]`)
	wantIn(t, "strange", do(s, "GET", "/api/v1/carts/mars-1", "", ""), 404, `"error"`)
	wantIn(t, "negative", do(s, "PUT", line, "application/json", `{"quantity":-1}`), 400, "0..99")
	wantIn(t, "product", do(s, "GET", "/api/v1/products/compass", "", ""), 200, `"category":"navigation"`)
}

// TestTrafficManagerHealth: what makes the traffic manager send clients elsewhere, and what does not.
func TestTrafficManagerHealth(t *testing.T) {
	store := newStore(t)
	s := newShop(t, store, "eu-west")
	wantIn(t, "well", do(s, "GET", "/gtm/health", "", ""), 200,
		`"weight":100`, `"load":0,`, `"draining":false`, `"data_ready":true`, `"writable":true`, `"reasons":[]`)
	s.Drain()
	wantIn(t, "draining", do(s, "GET", "/gtm/health", "", ""), 503, `"weight":0`, `"draining":true`, `"data_ready":true`)
	empty := newShop(t, openStore(t, nil), "eu-west")
	wantIn(t, "without data", do(empty, "GET", "/gtm/health", "", ""), 503, `"weight":0`, `"data_ready":false`, "catalogue is empty")
	// Nobody can write: pages are still worth coming for.
	locked := newShop(t, store, "us-east")
	locked.health.writes.at, locked.health.writes.err = time.Now().Add(time.Hour), errors.New("no leader")
	wantIn(t, "read only", do(locked, "GET", "/gtm/health", "", ""), 200, `"weight":100`, `"data_ready":true`, `"writable":false`, "no leader")
}

func TestMetrics(t *testing.T) {
	s := newShop(t, newStore(t), "eu-west")
	do(s, "GET", "/products/compass", "", "")
	key := shop.NewKey("eu-west").String()
	body := `{"customer":"Ada","lines":[{"sku":"flare","quantity":1}]}`
	for range 2 {
		do(s, "POST", "/api/v1/orders", "application/json", body, "Idempotency-Key", key)
	}
	wantIn(t, "metrics", do(s, "GET", "/metrics", "", ""), 200,
		`shop_requests_total{route="GET /products/{sku}",status="200"} 1`, `shop_orders_total{outcome="created"} 1`,
		`shop_orders_total{outcome="replayed"} 1`, "shop_outbox_pending 1", "shop_orders_open 1", "shop_transaction_ambiguous_total 0")
}

func TestPaymentCallback(t *testing.T) {
	store := newStore(t)
	s := New(store, Options{Region: "eu-west", Replica: "eu-west-1", Secret: []byte("shared")})
	o, _, err := store.Place(t.Context(), shop.Draft{Key: shop.NewKey("eu-west"), Customer: "Ada", Lines: []shop.Line{{SKU: "flare", Quantity: 1}}}, "eu-west", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	sign := func(body, key string) string {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(body))
		return hex.EncodeToString(mac.Sum(nil))
	}
	const path = "/api/v1/payments/callback"
	body := `{"order":"` + o.ID + `"}`
	if r := do(s, "POST", path, "application/json", body, signatureHeader, sign(body, "shared")); r.status != 204 {
		t.Errorf("signed: %d %s: want 204", r.status, r.body)
	}
	unknown := `{"order":"eu-west-unheardof"}`
	wantIn(t, "unknown order", do(s, "POST", path, "", unknown, signatureHeader, sign(unknown, "shared")), 404)
	wantIn(t, "signed by somebody else", do(s, "POST", path, "", body, signatureHeader, sign(body, "other")), 403)
	wantIn(t, "not signed", do(s, "POST", path, "", body), 403)
	secretless := newShop(t, store, "eu-west")
	wantIn(t, "without a secret", do(secretless, "POST", path, "", body, signatureHeader, sign(body, "")), 403)
}

func TestInvariantsPage(t *testing.T) {
	store := newStore(t)
	good := New(store, Options{Region: "eu-west", Replica: "r", Prove: func(ctx context.Context) (invariant.Report, error) {
		return invariant.Check(ctx, store.DB(), invariant.Options{})
	}})
	wantIn(t, "page", do(good, "GET", "/invariants", "", ""), 200, "All hold", "0 lost, 0 duplicate, 0 oversold", "not checked")
	wantIn(t, "API", do(good, "GET", "/api/v1/invariants", "", ""), 200, `"name":"acknowledged"`, `"lost":0`)
	bad := New(store, Options{Region: "eu-west", Replica: "r", Prove: func(context.Context) (invariant.Report, error) {
		return invariant.Report{Checks: []invariant.Result{{Name: invariant.Stock, Violations: []string{"one too many"}}}}, nil
	}})
	wantIn(t, "violated", do(bad, "GET", "/invariants", "", ""), 500, "Violated", "one too many")
	wantIn(t, "violated API", do(bad, "GET", "/api/v1/invariants", "", ""), 500, "one too many")
	wantIn(t, "no bank", do(newShop(t, store, "eu-west"), "GET", "/invariants", "", ""), 503, "shop check")
}

// TestPartsApart serves the shop from two processes, and from one that misses its other half.
func TestPartsApart(t *testing.T) {
	store := newStore(t)
	orders := httptest.NewServer(New(store, Options{Region: "eu-west", Replica: "orders", Parts: []Part{Order, Catalog}}))
	defer orders.Close()
	peer, err := url.Parse(orders.URL)
	if err != nil {
		t.Fatal(err)
	}
	front := New(store, Options{Region: "eu-west", Replica: "front", Parts: []Part{Storefront}, Peers: map[Part]*url.URL{Order: peer}})
	wantIn(t, "own page", do(front, "GET", "/", "", ""), 200, "replica <b>front</b>")
	key := shop.NewKey("eu-west").String()
	body := `{"customer":"Ada","lines":[{"sku":"flare","quantity":1}]}`
	r := do(front, "POST", "/api/v1/orders", "application/json", body, "Idempotency-Key", key)
	wantIn(t, "the peer's", r, 201, `"total_minor":1290`)
	if got := r.header.Values("Shop-Replica"); len(got) != 1 || got[0] != "front" {
		t.Errorf("badge of a forwarded answer: %q: want front alone", got)
	}
	cart := do(front, "GET", "/cart", "", "")
	wantIn(t, "nobody's", cart, 503, "not here")
	orders.Close()
	lost := do(front, "GET", "/orders", "", "")
	wantIn(t, "the lost peer's", lost, 503)
	if lost.header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	wantIn(t, "own page still", do(front, "GET", "/products/compass", "", ""), 200, "Brass compass")
}
