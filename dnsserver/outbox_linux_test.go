package dnsserver

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// answersOf sends total queries for names of two answers' lengths from each client, has them answered in one batch, and
// returns what each client got, by ID.
func answersOf(t *testing.T, w *worker, b *batch, clients []*net.UDPConn, total int) []map[uint16][]byte {
	t.Helper()
	for i := range total {
		for _, conn := range clients {
			if _, err := conn.Write(numbered(t, []string{"static.shop.example.", "gone.shop.example."}[i%2], i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := b.read(); err != nil || b.received != total*len(clients) {
		t.Fatalf("%d packets, %v", b.received, err)
	}
	w.answerBatch(b)
	got := make([]map[uint16][]byte, len(clients))
	for k, conn := range clients {
		got[k] = make(map[uint16][]byte)
		for range total {
			buf := make([]byte, 1500)
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatalf("client %d after %d answers: %v", k, len(got[k]), err)
			}
			got[k][binary.BigEndian.Uint16(buf)] = buf[:n]
		}
	}
	return got
}

// Answers of one length to one client are one message to the kernel, and what arrives is what would have arrived one by
// one, from the address asked.
func TestOutboxSegments(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"} {
		t.Run(listen, func(t *testing.T) {
			needFamily(t, netip.MustParseAddrPort(listen).Addr())
			w, b, to := newTestBatch(t, listen)
			if !b.outbox.segments {
				t.Skip("the kernel does not cut messages")
			}
			if listen == "[::]:0" {
				to.IP = net.IPv6loopback
			}
			clients := []*net.UDPConn{newClient(t, to), newClient(t, to), newClient(t, to)}
			merged := answersOf(t, w, b, clients, 20)
			if got, want := b.outbox.queued, 2*len(clients); got != want {
				t.Errorf("%d messages, want %d", got, want)
			}
			b.outbox.segments = false
			single := answersOf(t, w, b, clients, 20)
			if got, want := b.outbox.queued, 20*len(clients); got != want {
				t.Errorf("%d messages without segments, want %d", got, want)
			}
			for k := range clients {
				for id, want := range single[k] {
					if !bytes.Equal(merged[k][id], want) {
						t.Errorf("client %d, query %d: got %x, want %x", k, id, merged[k][id], want)
					}
				}
			}
			if st := w.server.Stats().UDP; st.WriteErrors != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// A message is no longer than the kernel takes.
func TestOutboxFull(t *testing.T) {
	w, b, to := newTestBatch(t, "127.0.0.1:0")
	if !b.outbox.segments {
		t.Skip("the kernel does not cut messages")
	}
	peer := unix.RawSockaddrInet6{Family: unix.AF_INET, Port: 1, Flowinfo: 2}
	for i := range batchSize {
		b.outbox.queue(i, &peer, b.out[i][:maxSegment], nil)
	}
	if got := b.outbox.messages[0].answers; b.outbox.queued != 2 || int(got) != maxSegments {
		t.Errorf("%d messages, %d answers in the first", b.outbox.queued, got)
	}
	b.outbox.reset()
	for i := range 2 {
		b.outbox.queue(i, &peer, b.out[i][:maxSegment+1], nil)
	}
	if b.outbox.queued != 2 {
		t.Error("answers that need not fit the path go together")
	}
	b.outbox.reset()

	client := newClient(t, to)
	for i := range batchSize {
		if _, err := client.Write(numbered(t, "static.shop.example.", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.read(); err != nil {
		t.Fatal(err)
	}
	w.answerBatch(b)
	if got := ids(t, client, batchSize); len(got) != batchSize || b.outbox.failed != 0 {
		t.Errorf("%d answers, %d failed", len(got), b.outbox.failed)
	}
}

// Where the kernel refuses to cut messages, here because nobody wants checksums, every answer goes by itself.
func TestOutboxRefused(t *testing.T) {
	w, b, to := newTestBatch(t, "127.0.0.1:0")
	if !b.outbox.segments {
		t.Skip("the kernel does not cut messages")
	}
	err := control(b.raw, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1) })
	if err != nil {
		t.Fatal(err)
	}
	clients := []*net.UDPConn{newClient(t, to), newClient(t, to)}
	answersOf(t, w, b, clients, 10)
	if got, want := b.outbox.queued, 10*len(clients); got != want {
		t.Errorf("%d messages, want %d", got, want)
	}
	if !b.outbox.segments || b.outbox.failed != 0 {
		t.Errorf("segments %v, %d failed", b.outbox.segments, b.outbox.failed)
	}

	b.outbox.reset()
	peer := unix.RawSockaddrInet6{Family: unix.AF_INET, Port: 1, Flowinfo: 2}
	for i := range 3 {
		b.outbox.queue(i, &peer, b.out[i][:100], nil)
	}
	b.outbox.refused(unix.EIO)
	if b.outbox.segments || b.outbox.left() != 3 || b.outbox.queued != 3 {
		t.Errorf("after EIO: segments %v, %d answers left in %d messages", b.outbox.segments, b.outbox.left(), b.outbox.queued)
	}
}
