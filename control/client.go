package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Client calls one node's API. The zero value is not usable: see [NewClient]. It is safe for concurrent use.
type Client struct {
	name string // for errors
	base string
	http *http.Client
}

// answerWithin is how long a node may take to begin an answer: somewhat longer than a change may wait for other nodes.
const answerWithin = 75 * time.Second

// NewClient returns a client for an API at base, such as "http://127.0.0.1:8053"; the scheme may be left out.
func NewClient(base string) (*Client, error) {
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" {
		return nil, fmt.Errorf("api %q: want http://HOST:PORT", base)
	}
	return &Client{name: "http://" + u.Host, base: "http://" + u.Host, http: &http.Client{Transport: newTransport()}}, nil
}

// NewClientOver returns a client of a node whose API no address leads to from here. dial makes its connections; the name is for
// errors.
func NewClientOver(name string, dial func(context.Context) (net.Conn, error)) *Client {
	transport := newTransport()
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	return &Client{name: name, base: "http://localhost", http: &http.Client{Transport: transport}}
}

func newTransport() *http.Transport {
	return &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 2, IdleConnTimeout: 10 * time.Second, ResponseHeaderTimeout: answerWithin}
}

// UnreachableError says that no node answers at the address.
type UnreachableError struct {
	API string
	Err error
}

func (e *UnreachableError) Error() string { return fmt.Sprintf("api %s: %v", e.API, e.Err) }

// Unwrap returns the transport's error.
func (e *UnreachableError) Unwrap() error { return e.Err }

// Status fetches GET /v1/status.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	var s Status
	return &s, c.call(ctx, http.MethodGet, "/v1/status", nil, &s)
}

// Explain fetches GET /v1/explain.
func (c *Client) Explain(ctx context.Context, q ExplainQuery) (*Explanation, error) {
	v := url.Values{"name": {q.Name}, "type": {q.Type}}
	if q.Client.IsValid() {
		v.Set("client", q.Client.String())
	}
	var e Explanation
	return &e, c.call(ctx, http.MethodGet, "/v1/explain?"+v.Encode(), nil, &e)
}

// Top fetches GET /v1/top.
func (c *Client) Top(ctx context.Context, q TopQuery) (*Top, error) {
	v := url.Values{"by": {q.By}, "limit": {strconv.Itoa(q.Limit)}}
	var t Top
	return &t, c.call(ctx, http.MethodGet, "/v1/top?"+v.Encode(), nil, &t)
}

// Queries fetches GET /v1/queries.
func (c *Client) Queries(ctx context.Context) (*Queries, error) {
	var q Queries
	return &q, c.call(ctx, http.MethodGet, "/v1/queries", nil, &q)
}

// Apply posts a change. A refusal is an Outcome with Refused set.
func (c *Client) Apply(ctx context.Context, ch Change) (*Outcome, error) {
	var o Outcome
	return &o, c.call(ctx, http.MethodPost, "/v1/overrides", ch, &o)
}

// Reload posts /v1/reload.
func (c *Client) Reload(ctx context.Context) (*ReloadResult, error) {
	var r ReloadResult
	return &r, c.call(ctx, http.MethodPost, "/v1/reload", struct{}{}, &r)
}

// Events calls each with every event after the given id, in order, until ctx ends, each fails, or, without follow,
// nothing more is held.
func (c *Client) Events(ctx context.Context, after uint64, follow bool, each func(Event) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet,
		fmt.Sprintf("%s/v1/events?after=%d&follow=%t", c.base, after, follow), nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return &UnreachableError{API: c.name, Err: unwrapURL(err)}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return decodeError(resp)
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || data == "{}" {
			continue
		}
		var e Event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return fmt.Errorf("api %s: event: %w", c.name, err)
		}
		if err := each(e); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return lines.Err()
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return &UnreachableError{API: c.name, Err: unwrapURL(err)}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusConflict {
		return decodeError(resp)
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("api %s%s: %w", c.name, path, err)
	}
	return nil
}

func decodeError(resp *http.Response) error {
	var e struct{ Error string }
	if json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(&e) != nil || e.Error == "" {
		return fmt.Errorf("api: status %s", resp.Status)
	}
	if resp.StatusCode == http.StatusPreconditionFailed {
		return supersededError(e.Error)
	}
	return errors.New(e.Error)
}

// unwrapURL drops net/http's repetition of method and URL.
func unwrapURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// supersededError is ErrSuperseded in the server's words.
type supersededError string

func (e supersededError) Error() string { return string(e) }

func (e supersededError) Is(target error) bool { return target == ErrSuperseded }
