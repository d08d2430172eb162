package dnsserver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"unsafe"

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

// Whatever comes together, and whatever the kernel refuses, every answer is in one message that is left, to the client it is
// for and from the address that was asked, with others of its length alone.
func TestOutboxHoldsAll(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var o outbox
	o.segments = true
	for range 2000 {
		o.reset()
		var peers [batchSize]unix.RawSockaddrInet6
		var sources [batchSize][]byte
		answers := make(map[*byte]int)
		packets := 1 + random.IntN(batchSize)
		few := 1 + random.IntN(5)
		for i := range packets {
			peers[i] = unix.RawSockaddrInet6{Family: unix.AF_INET, Port: uint16(random.IntN(few)), Flowinfo: uint32(random.IntN(2))}
			if random.IntN(2) == 0 {
				peers[i].Family = unix.AF_INET6
				peers[i].Addr[random.IntN(16)] = byte(random.IntN(2))
			}
			if random.IntN(2) == 0 {
				sources[i] = pktinfo(byte(random.IntN(2)))
			}
			lengths := []int{40, 40 + 196, maxSegment, maxSegment + 1} // the first two have one place in the hash table, mostly
			answer := make([]byte, lengths[random.IntN(len(lengths))])
			answers[&answer[0]] = i
			o.queue(i, &peers[i], answer, sources[i])
		}
		kinds := make(map[string]bool)
		for i := range packets {
			if n := o.answers[i].Len; n <= maxSegment {
				kinds[fmt.Sprint(peers[i].Family, peers[i].Port, peers[i].Flowinfo, peers[i].Addr, sources[i], n)] = true
			} else {
				kinds[fmt.Sprint(i)] = true
			}
		}
		if most := len(kinds) + packets/maxSegments; o.queued > most {
			t.Errorf("%d messages, want %d at most", o.queued, most)
		}
		o.compose()
		gone := 0
		for o.sent < o.queued {
			h, m := &o.headers[o.sent], o.messages[o.sent]
			if m.answers > 1 && random.IntN(4) == 0 || random.IntN(50) == 0 {
				before := o.failed
				o.refused(unix.EPERM)
				gone += o.failed - before
				continue
			}
			vectors := unsafe.Slice(h.Iov, h.Iovlen)
			if len(vectors) != int(m.answers) || len(vectors) > 1 && h.Controllen == 0 {
				t.Fatalf("%d answers in %d parts, %d octets of control messages", m.answers, len(vectors), h.Controllen)
			}
			for _, v := range vectors {
				i, ok := answers[v.Base]
				if !ok {
					t.Fatal("an answer is in two messages")
				}
				delete(answers, v.Base)
				gone++
				first := m.first
				if !samePeer(&peers[i], &peers[first]) || string(sources[i]) != string(sources[first]) || v.Len != vectors[0].Len {
					t.Errorf("packet %d goes with %d", i, first)
				}
				if len(vectors) > 1 && v.Len > maxSegment {
					t.Errorf("%d octets in a message of %d answers", v.Len, len(vectors))
				}
			}
			o.sent++
		}
		if gone != packets || len(answers) != o.failed {
			t.Fatalf("%d of %d answers, %d failed, %d never sent", gone, packets, o.failed, len(answers))
		}
	}
}

// pktinfo is a control message that says a packet came to 192.0.2.host.
func pktinfo(host byte) []byte {
	b := make([]byte, unix.CmsgSpace(unix.SizeofInet4Pktinfo))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
	h.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
	copy(b[unix.CmsgLen(8):], []byte{192, 0, 2, host})
	return b
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
