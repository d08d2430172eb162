package compose

import (
	"bufio"
	"context"
	"io"
	"net"
	"testing"
	"time"
)

func loopback(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

// TestPassIsLate: what the client sends comes late and in order, what the server sends does not wait, and ends are passed on.
func TestPassIsLate(t *testing.T) {
	const d = 300 * time.Millisecond
	server, front := loopback(t), loopback(t)
	go func() {
		conn, err := server.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "hello\n")
		io.Copy(conn, conn)
		io.WriteString(conn, "bye\n")
	}()
	go func() {
		conn, err := front.AcceptTCP()
		if err != nil {
			return
		}
		defer conn.Close()
		pass(t.Context(), conn, server.Addr().(*net.TCPAddr).AddrPort(), d)
	}()
	conn, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	start := time.Now()
	lines := bufio.NewScanner(conn)
	expect := func(want string, atLeast time.Duration) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want || time.Since(start) < atLeast {
			t.Errorf("%q after %v, %v: want %q after %v at least", lines.Text(), time.Since(start), lines.Err(), want, atLeast)
		}
	}
	expect("hello", 0)
	io.WriteString(conn, "one\n")
	io.WriteString(conn, "two\n")
	conn.(*net.TCPConn).CloseWrite()
	expect("one", d)
	expect("two", d)
	expect("bye", d)
	if lines.Scan() {
		t.Errorf("after the end: %q", lines.Text())
	}
}

// TestDelayTakesOnlyWhatIsRedirected: nobody can use it to get anywhere else, least of all to itself.
func TestDelayTakesOnlyWhatIsRedirected(t *testing.T) {
	front := loopback(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Delay(ctx, front, time.Millisecond) }()
	conn, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("%d bytes, %v: want the end", n, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
