package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/meridian-gtm/meridian/control"
)

// Description is what a laboratory tells of itself: GET /fleet of its fault control.
type Description struct {
	Name    string   `json:"name"` // DNS name to ask for
	Pace    Pace     `json:"pace"`
	Kinds   []Kind   `json:"kinds"` // faults that it can make
	Nodes   []Place  `json:"nodes"`
	Clients []Client `json:"clients"`
}

// Place is where one node of a laboratory is.
type Place struct {
	Name string         `json:"name"`
	Site string         `json:"site"`
	DNS  netip.AddrPort `json:"dns"`
	API  netip.AddrPort `json:"api"`
}

// Demo is the world of cmd/demo, or of any program that serves the same fault control:
//
//	GET    /fleet      a [Description]
//	POST   /faults     break something: {"kind": "lose", "site": "eu-west", "for": "30s"}; the answer has an "id"
//	DELETE /faults/ID  heal it; 404 = it has healed
//
// Make one with [DialDemo].
type Demo struct {
	addr        string
	http        *http.Client
	Description Description
}

// DemoKinds are the faults that cmd/demo can make, FillDisk only where it may mount. A process cannot pause one of its
// nodes or give it a clock of its own, and all its sites share one database.
func DemoKinds() []Kind {
	return slices.DeleteFunc(Kinds(), func(k Kind) bool { return k == PauseNode || k == SkewClock || k == KillData })
}

// DialDemo asks the fault control at an address what it is.
func DialDemo(ctx context.Context, addr string) (*Demo, error) {
	if _, err := netip.ParseAddrPort(addr); err != nil {
		return nil, fmt.Errorf("fault control %q: want ADDRESS:PORT", addr)
	}
	d := &Demo{addr: addr, http: &http.Client{
		Timeout: 5 * time.Second,
		// No proxy from the environment: a fault control is on this machine.
		Transport: &http.Transport{DisableKeepAlives: true},
	}}
	return d, d.do(ctx, http.MethodGet, "/fleet", nil, &d.Description)
}

// Fleet returns the nodes and clients that the laboratory tells of.
func (d *Demo) Fleet() (Fleet, error) {
	f := Fleet{Name: d.Description.Name, Clients: d.Description.Clients}
	for _, p := range d.Description.Nodes {
		api, err := control.NewClient(p.API.String())
		if err != nil {
			return f, err
		}
		f.Nodes = append(f.Nodes, Node{Name: p.Name, Site: p.Site, DNS: p.DNS, API: api})
	}
	return f, f.check()
}

// Name implements [World].
func (d *Demo) Name() string { return "demo" }

// Can implements [World].
func (d *Demo) Can() []Kind { return slices.Clone(d.Description.Kinds) }

// Inject implements [World].
func (d *Demo) Inject(ctx context.Context, f Fault) (Injection, error) {
	body := struct {
		Kind    Kind   `json:"kind"`
		Site    string `json:"site"`
		To      string `json:"to,omitempty"`
		Delay   string `json:"delay,omitempty"`
		Percent int    `json:"percent,omitempty"`
		For     string `json:"for"`
	}{Kind: f.Kind, Site: f.Site, To: f.To, Percent: f.Percent, For: f.For.String()}
	if f.Delay > 0 {
		body.Delay = f.Delay.String()
	}
	at := time.Now()
	var got struct{ ID int }
	if err := d.do(ctx, http.MethodPost, "/faults", body, &got); err != nil {
		return Injection{}, err
	}
	return Injection{ID: strconv.Itoa(got.ID), Fault: f, At: at}, nil
}

// errGone says that a fault has healed by itself.
var errGone = errors.New("no such fault")

// Heal implements [World].
func (d *Demo) Heal(ctx context.Context, in Injection) error {
	if err := d.do(ctx, http.MethodDelete, "/faults/"+in.ID, nil, nil); !errors.Is(err, errGone) {
		return err
	}
	return nil
}

func (d *Demo) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("fault control: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+d.addr+path, body)
	if err != nil {
		return fmt.Errorf("fault control: %w", err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return fmt.Errorf("fault control: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case err != nil:
		return fmt.Errorf("fault control: %w", err)
	case resp.StatusCode == http.StatusNotFound && method == http.MethodDelete:
		return errGone
	case resp.StatusCode/100 != 2:
		var fault struct{ Error string }
		if json.Unmarshal(b, &fault) != nil || fault.Error == "" {
			return fmt.Errorf("fault control: %s: status %s", path, resp.Status)
		}
		return errors.New(fault.Error)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("fault control: %s: %w", path, err)
	}
	return nil
}
