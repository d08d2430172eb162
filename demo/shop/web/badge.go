package web

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/meridian-gtm/meridian/demo/shop/store"
)

// Via is the way a connection came to the replica, as far as the replica was told.
type Via struct {
	Director string // name of the layer-4 director that forwarded the connection; "" = none
	VIP      string // address the client connected to; "" = unknown
}

// Badge says who served a response. It is on every page, and in the headers of every response.
type Badge struct {
	Region   string
	Director string
	VIP      string
	Replica  string
	Database string
}

func (s *Server) badge(r *http.Request) Badge {
	b := Badge{Region: s.opt.Region, Replica: s.opt.Replica, Database: s.database.name(time.Now())}
	if s.opt.Via != nil {
		via := s.opt.Via(r)
		b.Director, b.VIP = via.Director, via.VIP
	}
	return b
}

// badgePrefix begins the names of the badge's headers.
const badgePrefix = "Shop-"

func badgeHeader(name string) bool { return strings.HasPrefix(name, badgePrefix) }

// header tells clients without eyes. A layer-4 director cannot add these: it does not know that the bytes it
// forwards are HTTP.
func (b Badge) header(h http.Header) {
	h.Set(badgePrefix+"Region", b.Region)
	h.Set(badgePrefix+"Replica", b.Replica)
	if b.Director != "" {
		h.Set(badgePrefix+"Director", b.Director)
	}
	if b.VIP != "" {
		h.Set(badgePrefix+"Vip", b.VIP)
	}
}

// How long what the badge says about the database is reused, and how long a page waits for it.
const (
	describeFor  = 10 * time.Second
	describeWait = 200 * time.Millisecond
)

// database remembers what the database is called and where its gateway is. The demo does not claim to be what it is
// not, so the database is asked; but no page waits for that when it was asked before.
type database struct {
	db *store.DB

	mu   sync.Mutex
	at   time.Time
	text string
}

func (d *database) name(now time.Time) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at.IsZero() || now.Sub(d.at) >= describeFor {
		d.at = now
		ctx, cancel := context.WithTimeout(context.Background(), describeWait)
		defer cancel()
		text, err := d.db.Describe(ctx)
		switch {
		case err == nil:
			d.text = text
		case d.text == "":
			d.text = string(d.db.Engine()) + ", which does not answer"
		case !strings.HasSuffix(d.text, silent):
			d.text += silent
		}
	}
	return d.text
}

const silent = " (when it last answered)"
