package dnstap

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/meridian-gtm/meridian/dnsserver/tap"
	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

// frame is one message as a reader finds it: numbers and octets by field number.
type frame struct {
	outer, inner map[protowire.Number]any
}

func fieldsOf(t *testing.T, b []byte) map[protowire.Number]any {
	t.Helper()
	out := map[protowire.Number]any{}
	for len(b) > 0 {
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		switch kind {
		case protowire.VarintType:
			out[num], n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			out[num], n = protowire.ConsumeFixed32(b)
		case protowire.BytesType:
			out[num], n = protowire.ConsumeBytes(b)
		default:
			t.Fatalf("field %d of type %d", num, kind)
		}
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
	}
	return out
}

// readFrames reads data frames up to STOP.
func readFrames(t *testing.T, r io.Reader) (all []frame) {
	t.Helper()
	for {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			t.Fatalf("after %d frames: %v", len(all), err)
		}
		size := binary.BigEndian.Uint32(head[:])
		if size == 0 {
			c, _, err := readControl(io.MultiReader(bytes.NewReader(head[:]), r))
			if err != nil || c != stop {
				t.Fatalf("after %d frames: %v, %v: want STOP", len(all), c, err)
			}
			return all
		}
		b := make([]byte, size)
		if _, err := io.ReadFull(r, b); err != nil {
			t.Fatal(err)
		}
		f := frame{outer: fieldsOf(t, b)}
		message, _ := f.outer[fieldMessage].([]byte)
		f.inner = fieldsOf(t, message)
		all = append(all, f)
	}
}

// exchange is a query for a name, and its answer.
func exchange(t testing.TB, name, client string, tr wire.Transport, sent bool) *tap.Exchange {
	t.Helper()
	q := new(dns.Msg).SetQuestion(name, dns.TypeA)
	q.Id = 7
	a := new(dns.Msg).SetReply(q)
	rr, err := dns.NewRR(name + " 30 IN A 203.0.113.1")
	if err != nil {
		t.Fatal(err)
	}
	a.Answer = append(a.Answer, rr)
	x := &tap.Exchange{
		Time: time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC), Client: netip.MustParseAddrPort(client),
		Server: netip.MustParseAddrPort("192.0.2.53:53"), Transport: tr, Sent: sent,
	}
	if x.Query, err = q.Pack(); err != nil {
		t.Fatal(err)
	}
	if sent {
		if x.Answer, err = a.Pack(); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

func TestFrames(t *testing.T) {
	e := newEncoder("ns1", "meridian 1")
	for _, tt := range []struct {
		x              *tap.Exchange
		family, socket uint64
		address        []byte
	}{
		{exchange(t, "www.shop.example.", "198.51.100.7:4711", wire.UDP, true), familyV4, 1, []byte{198, 51, 100, 7}},
		{exchange(t, "www.shop.example.", "[::ffff:198.51.100.7]:4711", wire.UDP, true), familyV4, 1, []byte{198, 51, 100, 7}},
		{exchange(t, "www.shop.example.", "[2001:db8::7]:4711", wire.TCP, true), familyV6, 2,
			netip.MustParseAddr("2001:db8::7").AsSlice()},
		{exchange(t, "www.shop.example.", "198.51.100.7:4711", wire.UDP, false), familyV4, 1, []byte{198, 51, 100, 7}},
	} {
		got := readFrames(t, bytes.NewReader(appendControl(slices.Clone(e.encode(tt.x)), stop)))
		if want := map[bool]int{true: 2, false: 1}[tt.x.Sent]; len(got) != want {
			t.Fatalf("%v: %d frames, want %d", tt.x.Client, len(got), want)
		}
		for i, f := range got {
			want := map[protowire.Number]any{
				fieldType: uint64(i + 1), fieldFamily: tt.family, fieldProtocol: tt.socket,
				fieldQueryAddress: tt.address, fieldQueryPort: uint64(4711),
				fieldResponseAddress: []byte{192, 0, 2, 53}, fieldResponsePort: uint64(53),
				fieldQuerySeconds: uint64(tt.x.Time.Unix()), fieldQueryNanos: uint32(678_000_000),
			}
			if i == 0 {
				want[fieldQueryMessage] = tt.x.Query
			} else {
				want[fieldAnswerMessage] = tt.x.Answer
				want[fieldAnswerSeconds], want[fieldAnswerNanos] = uint64(tt.x.Time.Unix()), uint32(678_000_000)
			}
			if a, b := fmt.Sprint(f.inner), fmt.Sprint(want); a != b {
				t.Errorf("%v: got %s, want %s", tt.x.Client, a, b)
			}
			if string(f.outer[fieldIdentity].([]byte)) != "ns1" || string(f.outer[fieldVersion].([]byte)) != "meridian 1" ||
				f.outer[fieldKind] != uint64(kindMessage) {
				t.Errorf("outside: %v", f.outer)
			}
		}
	}
	// What is not known is left out, not made up.
	x := &tap.Exchange{Client: netip.MustParseAddrPort("192.0.2.1:1"), Sent: true}
	for _, f := range readFrames(t, bytes.NewReader(appendControl(slices.Clone(newEncoder("", "").encode(x)), stop))) {
		for _, absent := range []protowire.Number{fieldResponseAddress, fieldResponsePort, fieldQueryMessage, fieldAnswerMessage} {
			if _, ok := f.inner[absent]; ok {
				t.Errorf("field %d is there", absent)
			}
		}
		if len(f.outer) != 2 {
			t.Errorf("outside: %v", f.outer)
		}
	}
}

// run runs an output until the function that it returns is called.
func run(t *testing.T, o *Output) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { o.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(stop)
	return stop
}

func newOutput(t *testing.T, o Options) *Output {
	t.Helper()
	o.Identity = "ns1"
	out, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in time: " + what)
		}
	}
}

// accepting takes one connection and shakes hands as a reader does.
func accepting(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if err := expect(conn, ready); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(appendControl(nil, accept)); err != nil {
		t.Fatal(err)
	}
	if err := expect(conn, start); err != nil {
		t.Fatal(err)
	}
	return conn
}

// A reader that comes late gets what has waited, one that goes away is looked for again, and the last gets a proper end.
func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dnstap.sock")
	var log strings.Builder
	o := newOutput(t, Options{Socket: path, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	o.Take(exchange(t, "early.example.", "192.0.2.1:1", wire.UDP, true))
	end := run(t, o)
	eventually(t, "the socket is missed", func() bool { return o.Failures() > 0 })
	listen := func() net.Listener {
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	l := listen()
	conn := accepting(t, l)
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil || binary.BigEndian.Uint32(head[:]) == 0 {
		t.Fatalf("%x, %v: want a data frame", head, err)
	}
	conn.Close()
	l.Close()
	// What is written now fails, at the latest with the second record.
	failures := o.Failures()
	eventually(t, "the lost reader is noticed", func() bool {
		o.Take(exchange(t, "between.example.", "192.0.2.1:1", wire.UDP, true))
		return o.Failures() > failures
	})
	conn = accepting(t, listen())
	o.Take(exchange(t, "late.example.", "192.0.2.1:1", wire.UDP, true))
	done := make(chan struct{})
	go func() { defer close(done); end() }()
	frames := readFrames(t, conn)
	if len(frames) < 2 || !bytes.Contains(frames[len(frames)-1].inner[fieldAnswerMessage].([]byte), []byte("late")) {
		t.Errorf("%d frames, the last %v", len(frames), frames[len(frames)-1:])
	}
	if _, err := conn.Write(appendControl(nil, finish)); err != nil {
		t.Fatal(err)
	}
	<-done
	if o.Lost() == 0 {
		t.Error("the record that failed is not counted")
	}
	if n := strings.Count(log.String(), "cannot deliver"); n != 2 || strings.Count(log.String(), "delivering again") != 2 {
		t.Errorf("log:\n%s", log.String())
	}
}

// Readers that are none are left, and their silence is limited.
func TestStrangeReaders(t *testing.T) {
	for name, answer := range map[string][]byte{
		"another content": bytes.Replace(appendControl(nil, accept), []byte("Dnstap"), []byte("Nothin"), 1),
		"another frame":   appendControl(nil, ready),
		"data":            {0, 0, 0, 1, 0, 0, 0, 0},
		"nothing":         nil,
	} {
		path := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _, _ = readControl(conn)
			_, _ = conn.Write(answer)
			_, _ = io.Copy(io.Discard, conn)
		}()
		if _, err := dial(t.Context(), path); err == nil || !strings.Contains(err.Error(), "ACCEPT") && name != "nothing" {
			t.Errorf("%s: %v", name, err)
		}
		l.Close()
	}
}

// A file is whole when it is opened again or the output ends, and an older one is kept.
func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "queries.fstrm")
	if err := os.WriteFile(path, []byte("older"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := newOutput(t, Options{File: path})
	end := run(t, o)
	eventually(t, "the older file is moved", func() bool {
		kept, err := filepath.Glob(path + ".2*")
		return err == nil && len(kept) == 1
	})
	o.Take(exchange(t, "first.example.", "192.0.2.1:1", wire.UDP, true))
	eventually(t, "the first is written", func() bool { info, err := os.Stat(path); return err == nil && info.Size() > 100 })
	moved := filepath.Join(dir, "rotated")
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	o.Reopen()
	eventually(t, "the new file is there", func() bool { _, err := os.Stat(path); return err == nil })
	o.Take(exchange(t, "second.example.", "[2001:db8::1]:1", wire.TCP, true))
	end()
	if o.Lost() != 0 || o.Failures() != 0 {
		t.Errorf("%d lost, %d failures", o.Lost(), o.Failures())
	}
	for file, name := range map[string]string{moved: "first", path: "second"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r := bytes.NewReader(b)
		if err := expect(r, start); err != nil {
			t.Fatal(err)
		}
		got := readFrames(t, r)
		if len(got) != 2 || !bytes.Contains(got[0].inner[fieldQueryMessage].([]byte), []byte(name)) || r.Len() > 0 {
			t.Errorf("%s: %v", file, got)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o007 != 0 {
			t.Errorf("%s: mode %v, %v: want it closed to others", file, info.Mode(), err)
		}
	}
	t.Run("dnstap-ldns", func(t *testing.T) {
		out := decode(t, "dnstap-ldns", "-y", "-r", path)
		for _, want := range []string{"AUTH_QUERY", "AUTH_RESPONSE", "second.example.", "socket_protocol: TCP",
			`query_address: "2001:db8::1"`, "203.0.113.1", "ns1"} {
			if !strings.Contains(out, want) {
				t.Errorf("no %s in\n%s", want, out)
			}
		}
	})
	t.Run("fstrm_dump", func(t *testing.T) {
		if out := decode(t, "fstrm_dump", path); !strings.Contains(out, "second") {
			t.Errorf("no name in %q", out)
		}
	})
}

// Somebody else's reader takes the stream from its handshake to its end, and a reload does not interrupt it.
func TestCapture(t *testing.T) {
	const program = "fstrm_capture"
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("NOT READ BY %s: %v", program, err)
	}
	dir := t.TempDir()
	path, out := filepath.Join(dir, "s"), filepath.Join(dir, "out.fstrm")
	said, err := os.Create(filepath.Join(dir, "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	hear := func() string {
		b, err := os.ReadFile(said.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	capture := exec.Command(program, "-d", "-d", "-d", "-d", "-d", "-t", contentType, "-u", path, "-w", out)
	capture.Stderr = said
	if err := capture.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	t.Cleanup(func() {
		if !ended {
			_ = capture.Process.Kill()
			_ = capture.Wait()
		}
	})
	o := newOutput(t, Options{Socket: path})
	end := run(t, o)
	eventually(t, "it has begun", func() bool { return strings.Contains(hear(), "received FSTRM_CONTROL_START") })
	o.Take(exchange(t, "first.example.", "192.0.2.1:1", wire.UDP, true))
	o.Reopen()
	o.Take(exchange(t, "second.example.", "192.0.2.1:1", wire.UDP, true))
	end()
	if o.Lost() != 0 {
		t.Errorf("%d lost", o.Lost())
	}
	if err := capture.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err = capture.Wait()
	if ended = true; err != nil {
		t.Fatalf("%v: %s", err, hear())
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	r := bytes.NewReader(b)
	if err := expect(r, start); err != nil {
		t.Fatal(err)
	}
	if got := readFrames(t, r); len(got) != 4 || strings.Count(hear(), "received FSTRM_CONTROL_START") != 1 {
		t.Errorf("%d frames of 4; it said:\n%s", len(got), hear())
	}
}

// decode runs somebody else's reader.
func decode(t *testing.T, program string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("NOT READ BY %s: %v", program, err)
	}
	out, err := exec.Command(program, args...).Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("%s: %v: %s", program, err, exit.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// Without a place to write to nothing waits: records are lost and counted, and the end comes at once.
func TestFullDisk(t *testing.T) {
	o := newOutput(t, Options{File: filepath.Join(t.TempDir(), "none", "x")})
	end := run(t, o)
	x := exchange(t, strings.Repeat("a.", 100)+"example.", "192.0.2.1:1", wire.UDP, true)
	for range 20_000 {
		o.Take(x)
	}
	end()
	if o.Failures() == 0 || o.Lost() != 20_000 {
		t.Errorf("%d failures, %d lost of 20000", o.Failures(), o.Lost())
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{}, {Socket: "a", File: "b"}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

func FuzzReadControl(f *testing.F) {
	for _, c := range []control{accept, start, stop, ready, finish} {
		f.Add(appendControl(nil, c))
	}
	f.Add([]byte{0, 0, 0, 0, 0, 0, 2, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, contents, err := readControl(bytes.NewReader(b))
		if err != nil && (c != 0 || contents != nil) {
			t.Errorf("%v, %v with %v", c, contents, err)
		}
		for _, s := range contents {
			if len(s) > maxContentType {
				t.Errorf("a content type of %d octets", len(s))
			}
		}
	})
}
