package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop"
)

// shopPatience is how long a page may take.
const shopPatience = 3 * time.Second

// Shopper is a customer of the site whose VIP DNS gave.
type Shopper struct {
	site string
	http *http.Client
}

// Receipt says what became of an order.
type Receipt struct {
	ID       string `json:"id"`
	TakenBy  string `json:"taken_by"`
	Director string `json:"director"`
	Replica  string `json:"replica"`
	// Replayed says that the same order sent again, as a browser does that never saw the answer, gave the same one.
	Replayed bool `json:"replayed"`
}

// String tells it for people.
func (r Receipt) String() string {
	once := "sent twice, it is one order"
	if !r.Replayed {
		once = "sent twice, it is TWO orders"
	}
	return fmt.Sprintf("order %s taken by %s through director %s and replica %s; %s", r.ID, r.TakenBy, r.Director, r.Replica, once)
}

// Shopper returns a customer who was sent to site. Every request is a connection of its own.
func (l *Lab) Shopper(site string) *Shopper {
	_, real, _ := l.World.VIP(site)
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, real.String())
	}
	return &Shopper{site: site, http: &http.Client{
		Timeout: shopPatience, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true},
	}}
}

// Page fetches the catalogue and returns the region that served it.
func (s *Shopper) Page(ctx context.Context) (region string, err error) {
	resp, err := s.do(ctx, http.MethodGet, "/", "", "")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("shop at %s: status %s: want 200", s.site, resp.Status)
	}
	return resp.Header.Get("Shop-Region"), nil
}

// Order buys the first product with a form that came from home, twice with the same key.
func (s *Shopper) Order(ctx context.Context, home string) (Receipt, error) {
	var list struct{ Products []shop.Product }
	resp, err := s.do(ctx, http.MethodGet, "/api/v1/products", "", "")
	if err != nil {
		return Receipt{}, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil || len(list.Products) == 0 {
		return Receipt{}, fmt.Errorf("shop at %s: %d products: %w", s.site, len(list.Products), err)
	}
	key := shop.NewKey(home).String()
	body := fmt.Sprintf(`{"customer":"tour","lines":[{"sku":%q,"quantity":1}]}`, list.Products[0].SKU)
	first, receipt, err := s.place(ctx, key, body)
	if err != nil {
		return Receipt{}, err
	}
	again, _, err := s.place(ctx, key, body)
	if err != nil {
		return Receipt{}, err
	}
	receipt.ID, receipt.TakenBy, receipt.Replayed = first.ID, first.TakenBy, first.ID == again.ID
	return receipt, nil
}

func (s *Shopper) place(ctx context.Context, key, body string) (shop.Order, Receipt, error) {
	var o shop.Order
	resp, err := s.do(ctx, http.MethodPost, "/api/v1/orders", key, body)
	if err != nil {
		return o, Receipt{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated && resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1024))
		return o, Receipt{}, fmt.Errorf("order at %s: status %s: %s", s.site, resp.Status, text)
	}
	if err := json.NewDecoder(resp.Body).Decode(&o); err != nil {
		return o, Receipt{}, fmt.Errorf("order at %s: %w", s.site, err)
	}
	return o, Receipt{Director: resp.Header.Get("Shop-Director"), Replica: resp.Header.Get("Shop-Replica")}, nil
}

func (s *Shopper) do(ctx context.Context, method, path, key, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+Host+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("shop at %s: %w", s.site, err)
	}
	return resp, nil
}
