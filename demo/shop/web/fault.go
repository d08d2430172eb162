package web

import (
	"context"
	"errors"
	"net/http"

	"github.com/meridian-gtm/meridian/demo/shop"
	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// fault says how a client is told of err. What is not the client's doing is logged here and kept from the client.
func (s *Server) fault(w http.ResponseWriter, r *http.Request, err error) (status int, message, hint string) {
	if e, ok := errors.AsType[*shop.InvalidError](err); ok {
		return http.StatusBadRequest, e.Error(), "correct the order and send it again"
	}
	if e, ok := errors.AsType[*shop.OutOfStockError](err); ok {
		return http.StatusConflict, e.Error(), "order fewer"
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge, "request body over 64 KiB", ""
	}
	switch {
	case errors.Is(err, shop.ErrNotFound):
		return http.StatusNotFound, "there is nothing here by that name", ""
	case errors.Is(err, shop.ErrKeyReused):
		return http.StatusConflict, shop.ErrKeyReused.Error(), "open the product again for a fresh form"
	}
	// The same key makes the retry safe, whatever became of this attempt.
	w.Header().Set("Retry-After", "1")
	// A client that left is nobody's fault; a database that was silent for the whole of our patience is.
	if !errors.Is(r.Context().Err(), context.Canceled) {
		s.log.Error("request", "method", r.Method, "path", r.URL.Path, "replica", s.opt.Replica, "err", err)
	}
	switch {
	case errors.Is(err, errNoPart):
		return http.StatusServiceUnavailable, err.Error(), "try again later"
	case errors.Is(err, errNoProof):
		return http.StatusServiceUnavailable, err.Error(), "run: shop check"
	case errors.Is(err, store.ErrAmbiguous):
		return http.StatusServiceUnavailable, "the database was lost while it wrote the order", "send the same form again: it finds out, and cannot order twice"
	}
	return http.StatusServiceUnavailable, "the shop cannot reach its database", "send the same form again: it cannot order twice"
}

func (s *Server) errorPage(w http.ResponseWriter, r *http.Request, err error) {
	status, message, hint := s.fault(w, r, err)
	s.render(w, r, status, "error.html", page{
		Title: http.StatusText(status), Status: status, Message: message, Hint: hint,
	})
}
