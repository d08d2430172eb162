package world

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// Client speaks to the fault control of a world in another process.
type Client struct {
	addr netip.AddrPort
	http *http.Client
}

// NewClient makes a client of the fault control at addr.
func NewClient(addr netip.AddrPort) *Client {
	return &Client{addr, &http.Client{
		Timeout: 5 * time.Second,
		// No proxy from the environment, and no connection left idle.
		Transport: &http.Transport{DisableKeepAlives: true},
	}}
}

// Inject breaks something and returns the fault as it is in the table.
func (c *Client) Inject(ctx context.Context, f Fault) (Fault, error) {
	j := toJSON(f, time.Now())
	j.ID, j.Text, j.Left = 0, "", ""
	if f.For == 0 {
		j.For = ""
	}
	var got faultJSON
	if err := c.do(ctx, http.MethodPost, "/faults", j, &got); err != nil {
		return Fault{}, err
	}
	return got.fault(time.Now())
}

// Faults returns what is broken, oldest first.
func (c *Client) Faults(ctx context.Context) ([]Fault, error) {
	var list []faultJSON
	if err := c.do(ctx, http.MethodGet, "/faults", nil, &list); err != nil {
		return nil, err
	}
	all := make([]Fault, 0, len(list))
	for _, j := range list {
		f, err := j.fault(time.Now())
		if err != nil {
			return nil, fmt.Errorf("fault control: fault %d: %w", j.ID, err)
		}
		all = append(all, f)
	}
	return all, nil
}

// Heal ends one fault, or returns ErrNoFault.
func (c *Client) Heal(ctx context.Context, id int) error {
	return c.do(ctx, http.MethodDelete, "/faults/"+strconv.Itoa(id), nil, nil)
}

// HealAll ends every fault and returns how many there were.
func (c *Client) HealAll(ctx context.Context) (int, error) {
	var got struct {
		Healed int `json:"healed"`
	}
	err := c.do(ctx, http.MethodDelete, "/faults", nil, &got)
	return got.Healed, err
}

// Status returns every site as it is now.
func (c *Client) Status(ctx context.Context) (all []SiteStatus, err error) {
	err = c.do(ctx, http.MethodGet, "/world", nil, &all)
	return all, err
}

func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("fault control: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.addr.String()+path, body)
	if err != nil {
		return fmt.Errorf("fault control: %w", err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("fault control: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("fault control: %w", err)
	}
	if resp.StatusCode == http.StatusNotFound && method == http.MethodDelete {
		return fmt.Errorf("fault control: %s: %w", path, ErrNoFault)
	}
	if resp.StatusCode/100 != 2 {
		var fault struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(b, &fault) != nil || fault.Error == "" {
			return fmt.Errorf("fault control: status %s", resp.Status)
		}
		return errors.New(fault.Error)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("fault control: %s %s: %w", method, path, err)
	}
	return nil
}
