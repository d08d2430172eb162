package world

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// faultJSON is a fault on the wire. Durations are text, "45s".
type faultJSON struct {
	ID      int    `json:"id,omitempty"`
	Kind    Kind   `json:"kind"`
	Site    string `json:"site"`
	To      string `json:"to,omitempty"`
	Refuse  bool   `json:"refuse,omitempty"`
	Delay   string `json:"delay,omitempty"`
	Percent int    `json:"percent,omitempty"`
	For     string `json:"for,omitempty"`
	Left    string `json:"left,omitempty"` // until it heals by itself
	Text    string `json:"text,omitempty"`
}

func toJSON(f Fault, now time.Time) faultJSON {
	j := faultJSON{
		ID: f.ID, Kind: f.Kind, Site: f.Site, To: f.To, Refuse: f.Refuse, Percent: f.Percent, For: f.For.String(), Text: f.String(),
	}
	if !f.Until.IsZero() {
		j.Left = f.Until.Sub(now).Round(time.Millisecond).String()
	}
	if f.Delay != 0 {
		j.Delay = f.Delay.String()
	}
	return j
}

func (j faultJSON) fault(now time.Time) (Fault, error) {
	f := Fault{ID: j.ID, Kind: j.Kind, Site: j.Site, To: j.To, Refuse: j.Refuse, Percent: j.Percent}
	var left time.Duration
	for _, d := range []struct {
		name, text string
		to         *time.Duration
	}{{"delay", j.Delay, &f.Delay}, {"for", j.For, &f.For}, {"left", j.Left, &left}} {
		if d.text == "" {
			continue
		}
		v, err := time.ParseDuration(d.text)
		if err != nil {
			return Fault{}, fmt.Errorf("%s %q: want a duration such as 45s", d.name, d.text)
		}
		*d.to = v
	}
	if j.Left != "" {
		f.Until = now.Add(left)
	}
	return f, nil
}

// Control returns the fault control, which Run serves on ControlAddr:
//
//	POST   /faults     break something; the body is a fault: {"kind": "lose", "site": "eu-west", "for": "30s"}
//	GET    /faults     what is broken
//	DELETE /faults     heal all
//	DELETE /faults/ID  heal one
//	GET    /world      every site from inside
//	GET    /fleet      what Options.Describe tells
//
// It serves programs on this machine only: no other address, no browser page of another origin.
func (w *World) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /faults", func(rw http.ResponseWriter, r *http.Request) {
		if t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); t != "application/json" {
			answerError(rw, http.StatusUnsupportedMediaType, errors.New("content type: want application/json"))
			return
		}
		var j faultJSON
		dec := json.NewDecoder(http.MaxBytesReader(rw, r.Body, 4<<10))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&j); err != nil {
			answerError(rw, http.StatusBadRequest, fmt.Errorf("body: %w", err))
			return
		}
		f, err := j.fault(time.Now())
		if err == nil {
			f, err = w.Inject(f)
		}
		if err != nil {
			answerError(rw, http.StatusBadRequest, err)
			return
		}
		answer(rw, http.StatusCreated, toJSON(f, time.Now()))
	})
	mux.HandleFunc("GET /faults", func(rw http.ResponseWriter, _ *http.Request) {
		list := []faultJSON{}
		for _, f := range w.Faults() {
			list = append(list, toJSON(f, time.Now()))
		}
		answer(rw, http.StatusOK, list)
	})
	mux.HandleFunc("DELETE /faults", func(rw http.ResponseWriter, _ *http.Request) {
		answer(rw, http.StatusOK, map[string]int{"healed": w.HealAll()})
	})
	mux.HandleFunc("DELETE /faults/{id}", func(rw http.ResponseWriter, r *http.Request) {
		id, err := strconv.Atoi(r.PathValue("id"))
		if err == nil {
			err = w.Heal(id)
		}
		if err != nil {
			answerError(rw, http.StatusNotFound, err)
			return
		}
		answer(rw, http.StatusOK, map[string]int{"healed": 1})
	})
	mux.HandleFunc("GET /world", func(rw http.ResponseWriter, _ *http.Request) {
		answer(rw, http.StatusOK, w.Status())
	})
	if w.opt.Describe != nil {
		mux.HandleFunc("GET /fleet", func(rw http.ResponseWriter, _ *http.Request) { answer(rw, http.StatusOK, w.opt.Describe()) })
	}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if err := local(r); err != nil {
			answerError(rw, http.StatusForbidden, err)
			return
		}
		mux.ServeHTTP(rw, r)
	})
}

// local lets only programs of this machine pass. The Host check keeps out pages whose name was made to point here.
func local(r *http.Request) error {
	if remote, err := netip.ParseAddrPort(r.RemoteAddr); err != nil || !remote.Addr().Unmap().IsLoopback() {
		return fmt.Errorf("client %s: want a loopback address", r.RemoteAddr)
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		return fmt.Errorf("origin %q: browsers' pages have no business here", origin)
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return fmt.Errorf("host %q: want localhost or a loopback address", r.Host)
	}
	return nil
}

func answerError(rw http.ResponseWriter, status int, err error) {
	answer(rw, status, map[string]string{"error": err.Error()})
}

func answer(rw http.ResponseWriter, status int, v any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	json.NewEncoder(rw).Encode(v) // the client is gone if this fails
}
