package web

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop"
	"github.com/meridian-gtm/meridian/demo/shop/invariant"
)

// page is what every template gets.
type page struct {
	Title   string
	Badge   Badge
	Refresh int // seconds until the page is loaded again; 0 = never

	Products   []shop.Product
	Categories []string
	Category   string // that is shown; "" = all
	Query      string

	Product shop.Product
	Cart    shop.Cart
	Order   shop.Order
	Orders  []shop.Order
	Report  invariant.Report
	Key     shop.Key // of the form's next order
	Max     int      // most that one line may ask for

	Status  int
	Message string
	Hint    string
}

func (s *Server) catalogPage(w http.ResponseWriter, r *http.Request) {
	products, err := s.shop.Products(r.Context(), s.opt.Region)
	if err != nil {
		s.errorPage(w, r, err)
		return
	}
	p := page{Title: "Catalogue", Query: strings.TrimSpace(r.FormValue("q")), Category: r.FormValue("category")}
	for _, product := range products {
		if !slices.Contains(p.Categories, product.Category) {
			p.Categories = append(p.Categories, product.Category)
		}
		text := strings.ToLower(product.Name + " " + product.Blurb)
		if (p.Category == "" || p.Category == product.Category) && strings.Contains(text, strings.ToLower(p.Query)) {
			p.Products = append(p.Products, product)
		}
	}
	slices.Sort(p.Categories)
	s.render(w, r, http.StatusOK, "catalog.html", p)
}

func (s *Server) productPage(w http.ResponseWriter, r *http.Request) {
	p, err := s.shop.Product(r.Context(), s.opt.Region, r.PathValue("sku"))
	if err != nil {
		s.errorPage(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "product.html", page{
		Title: p.Name, Product: p, Key: shop.NewKey(s.opt.Region), Max: min(p.Stock, shop.MaxQuantity),
	})
}

// cartCookie names the visitor's cart. The cart itself is in the database, so that it survives the region.
const cartCookie = "cart"

// cart returns the visitor's cart; one that was never used has no id.
func (s *Server) cart(r *http.Request) (shop.Cart, error) {
	cookie, err := r.Cookie(cartCookie)
	if err != nil {
		return shop.Cart{}, nil
	}
	return s.shop.Cart(r.Context(), cookie.Value)
}

func (s *Server) cartPage(w http.ResponseWriter, r *http.Request) {
	c, err := s.cart(r)
	if err != nil {
		s.errorPage(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "cart.html", page{Title: "Cart", Cart: c, Max: shop.MaxQuantity})
}

// cartForm sets a line. It says how many there are to be, not how many more: sent twice it is the same.
func (s *Server) cartForm(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.errorPage(w, r, bodyError(err))
		return
	}
	quantity, err := strconv.Atoi(r.PostFormValue("quantity"))
	if err != nil {
		s.errorPage(w, r, &shop.InvalidError{Reason: "quantity: want a number"})
		return
	}
	id := ""
	if cookie, err := r.Cookie(cartCookie); err == nil {
		id = cookie.Value
	}
	if id == "" {
		id = shop.NewCartID(s.opt.Region)
		http.SetCookie(w, &http.Cookie{
			Name: cartCookie, Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: 30 * 24 * 3600,
		})
	}
	if err := s.shop.SetCart(r.Context(), id, r.PostFormValue("sku"), quantity, time.Now()); err != nil {
		s.errorPage(w, r, err)
		return
	}
	http.Redirect(w, r, "/cart", http.StatusSeeOther)
}

// checkoutPage puts what will be ordered into the form: sent again, perhaps through another region and after the cart
// changed, it is the same order.
func (s *Server) checkoutPage(w http.ResponseWriter, r *http.Request) {
	c, err := s.cart(r)
	if err != nil {
		s.errorPage(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "checkout.html", page{Title: "Checkout", Cart: c, Key: shop.NewKey(s.opt.Region)})
}

// orderForm takes the forms of product and checkout page. It answers with a redirect, so that reloading the order's
// page orders nothing; sending the form again finds the same order by its key.
func (s *Server) orderForm(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.errorPage(w, r, bodyError(err))
		return
	}
	key, err := shop.ParseKey(r.PostFormValue("key"))
	if err != nil {
		s.errorPage(w, r, err)
		return
	}
	skus, quantities := r.PostForm["sku"], r.PostForm["quantity"]
	if len(skus) != len(quantities) {
		s.errorPage(w, r, &shop.InvalidError{Reason: fmt.Sprintf("%d products and %d quantities: want one for each", len(skus), len(quantities))})
		return
	}
	d := shop.Draft{Key: key, Customer: r.PostFormValue("customer")}
	for i, sku := range skus {
		n, err := strconv.Atoi(quantities[i])
		if err != nil {
			s.errorPage(w, r, &shop.InvalidError{Reason: "quantity: want a number"})
			return
		}
		d.Lines = append(d.Lines, shop.Line{SKU: sku, Quantity: n})
	}
	o, replayed, err := s.shop.Place(r.Context(), d, s.opt.Region, time.Now())
	s.metrics.order(replayed, err)
	if err != nil {
		s.errorPage(w, r, err)
		return
	}
	if cookie, err := r.Cookie(cartCookie); err == nil && r.PostFormValue("cart") == cookie.Value {
		// The order stands, whatever becomes of the cart.
		if err := s.shop.EmptyCart(r.Context(), cookie.Value); err != nil {
			s.log.Warn("empty cart after order", "order", o.ID, "err", err)
		}
	}
	http.Redirect(w, r, "/orders/"+o.ID, http.StatusSeeOther)
}

func (s *Server) orderPage(w http.ResponseWriter, r *http.Request) {
	o, err := s.shop.Order(r.Context(), r.PathValue("id"))
	if err != nil {
		s.errorPage(w, r, err)
		return
	}
	p := page{Title: "Order " + o.ID, Order: o}
	if !o.Status.Final() {
		p.Refresh = 2
	}
	s.render(w, r, http.StatusOK, "order.html", p)
}

// maxListed is how many orders a list shows.
const maxListed = 50

func (s *Server) ordersPage(w http.ResponseWriter, r *http.Request) {
	region := cmp.Or(r.FormValue("region"), s.opt.Region)
	if !slices.Contains(s.shop.Regions(), region) {
		s.errorPage(w, r, shop.ErrNotFound)
		return
	}
	orders, err := s.shop.Orders(r.Context(), region, maxListed)
	if err != nil {
		s.errorPage(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "orders.html", page{Title: "Orders of " + region, Orders: orders, Categories: s.shop.Regions()})
}

func (s *Server) cancelForm(w http.ResponseWriter, r *http.Request) {
	o, err := s.shop.Cancel(r.Context(), r.PathValue("id"), time.Now())
	if err != nil {
		s.errorPage(w, r, err)
		return
	}
	http.Redirect(w, r, "/orders/"+o.ID, http.StatusSeeOther)
}

func (s *Server) invariantsPage(w http.ResponseWriter, r *http.Request) {
	report, err := s.prove(r)
	if err != nil {
		s.errorPage(w, r, err)
		return
	}
	status := http.StatusOK
	if !report.OK() {
		status = http.StatusInternalServerError
	}
	s.render(w, r, status, "invariants.html", page{Title: "Invariants", Report: report})
}

func (s *Server) style(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "max-age=3600")
	http.ServeFileFS(w, r, templateFiles, "templates/style.css")
}

func (s *Server) render(w http.ResponseWriter, r *http.Request, status int, name string, p page) {
	p.Badge = s.badge(r)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if err := s.pages.ExecuteTemplate(w, name, p); err != nil && r.Context().Err() == nil {
		s.log.Warn("page", "path", r.URL.Path, "err", err)
	}
}
