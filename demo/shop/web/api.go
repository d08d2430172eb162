package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop"
	"github.com/meridian-gtm/meridian/demo/shop/invariant"
)

func (s *Server) apiProducts(w http.ResponseWriter, r *http.Request) {
	products, err := s.shop.Products(r.Context(), s.opt.Region)
	if err != nil {
		s.apiError(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, struct {
		Region   string         `json:"region"`
		Currency string         `json:"currency"`
		Products []shop.Product `json:"products"`
	}{s.opt.Region, shop.Currency, products})
}

func (s *Server) apiProduct(w http.ResponseWriter, r *http.Request) {
	p, err := s.shop.Product(r.Context(), s.opt.Region, r.PathValue("sku"))
	s.answer(w, r, p, err)
}

func (s *Server) apiCart(w http.ResponseWriter, r *http.Request) {
	c, err := s.shop.Cart(r.Context(), r.PathValue("id"))
	s.answer(w, r, c, err)
}

func (s *Server) apiCartLine(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Quantity int `json:"quantity"`
	}
	if !s.readJSON(w, r, &body) {
		return
	}
	id := r.PathValue("id")
	err := s.shop.SetCart(r.Context(), id, r.PathValue("sku"), body.Quantity, time.Now())
	var c shop.Cart
	if err == nil {
		c, err = s.shop.Cart(r.Context(), id)
	}
	s.answer(w, r, c, err)
}

// apiPlace answers 201 for a new order and 200 for one that the same key made before.
func (s *Server) apiPlace(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Customer string `json:"customer"`
		Lines    []struct {
			SKU      string `json:"sku"`
			Quantity int    `json:"quantity"`
		} `json:"lines"`
	}
	if !s.readJSON(w, r, &body) {
		return
	}
	key, err := shop.ParseKey(r.Header.Get("Idempotency-Key"))
	if err != nil {
		s.apiError(w, r, err)
		return
	}
	d := shop.Draft{Key: key, Customer: body.Customer}
	for _, l := range body.Lines {
		d.Lines = append(d.Lines, shop.Line{SKU: l.SKU, Quantity: l.Quantity})
	}
	o, replayed, err := s.shop.Place(r.Context(), d, s.opt.Region, time.Now())
	s.metrics.order(replayed, err)
	if err != nil {
		s.apiError(w, r, err)
		return
	}
	w.Header().Set("Location", "/api/v1/orders/"+o.ID)
	status := http.StatusCreated
	if replayed {
		status = http.StatusOK
	}
	writeJSON(w, status, o)
}

func (s *Server) apiOrder(w http.ResponseWriter, r *http.Request) {
	o, err := s.shop.Order(r.Context(), r.PathValue("id"))
	s.answer(w, r, o, err)
}

func (s *Server) apiCancel(w http.ResponseWriter, r *http.Request) {
	o, err := s.shop.Cancel(r.Context(), r.PathValue("id"), time.Now())
	s.answer(w, r, o, err)
}

// signatureHeader has the HMAC-SHA-256 of the body in hexadecimal digits.
const signatureHeader = "Bank-Signature"

// paymentCallback is where the bank says that it has news of an order. The news is not believed: the cashier asks.
func (s *Server) paymentCallback(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.apiError(w, r, bodyError(err))
		return
	}
	signature, err := hex.DecodeString(r.Header.Get(signatureHeader))
	mac := hmac.New(sha256.New, s.opt.Secret)
	mac.Write(body)
	if err != nil || len(s.opt.Secret) == 0 || !hmac.Equal(signature, mac.Sum(nil)) {
		writeJSON(w, http.StatusForbidden, apiFault{Error: signatureHeader + ": want the HMAC-SHA-256 of the body"})
		return
	}
	var news struct {
		Order string `json:"order"`
	}
	if err := json.Unmarshal(body, &news); err != nil {
		s.apiError(w, r, bodyError(err))
		return
	}
	if err := s.shop.Hurry(r.Context(), news.Order, time.Now()); err != nil {
		s.apiError(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// errNoProof means that this replica was not told how to check the invariants.
var errNoProof = errors.New("this replica cannot reach the bank's book")

// prove runs the check. It takes longer than a page may otherwise take.
func (s *Server) prove(r *http.Request) (invariant.Report, error) {
	if s.opt.Prove == nil {
		return invariant.Report{}, errNoProof
	}
	return s.opt.Prove(r.Context())
}

// apiInvariants answers 200 when all invariants hold and 500 when one does not; both with the report.
func (s *Server) apiInvariants(w http.ResponseWriter, r *http.Request) {
	report, err := s.prove(r)
	if err != nil {
		s.apiError(w, r, err)
		return
	}
	status := http.StatusOK
	if !report.OK() {
		status = http.StatusInternalServerError
	}
	writeJSON(w, status, report)
}

// readJSON reads the body into v, or answers what is wrong with it.
func (s *Server) readJSON(w http.ResponseWriter, r *http.Request, v any) bool {
	// A page of another origin cannot send this type without asking first.
	if t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); t != "application/json" {
		writeJSON(w, http.StatusUnsupportedMediaType, apiFault{"content type: want application/json", ""})
		return false
	}
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err != nil {
		err = bodyError(err)
	} else if _, end := dec.Token(); !errors.Is(end, io.EOF) {
		err = &shop.InvalidError{Reason: "body: want one JSON object and nothing after it"}
	}
	if err != nil {
		s.apiError(w, r, err)
	}
	return err == nil
}

type apiFault struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, v any, err error) {
	if err != nil {
		s.apiError(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, v)
}

func (s *Server) apiError(w http.ResponseWriter, r *http.Request, err error) {
	status, message, hint := s.fault(w, r, err)
	writeJSON(w, status, apiFault{message, hint})
}

// bodyError is err of reading a request's body, as the client's fault.
func bodyError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	return &shop.InvalidError{Reason: "body: " + err.Error()}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // the client is gone if this fails
}
