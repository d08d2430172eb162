package gossip

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// pair is a wrapped transport at 192.0.2.1, and a plain one at 192.0.2.2 to talk to it.
func pair(faults *Faults) (*transport, *memoryTransport, *counters) {
	network := &memoryNet{nodes: map[string]*memoryTransport{}, rng: rand.New(rand.NewPCG(1, 1)), delay: 1}
	a := network.transport(netip.MustParseAddrPort("192.0.2.1:7946"))
	b := network.transport(netip.MustParseAddrPort("192.0.2.2:7946"))
	c := &counters{}
	return newTransport(a, faults, c, a.addr.Addr(), 10*time.Second), b, c
}

func TestPacketIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, peer, c := pair(nil)
		defer w.Shutdown()
		if _, err := w.WriteTo(make([]byte, maxPacket+1), peer.addr.String()); !errors.Is(err, errBigPacket) {
			t.Errorf("got %v", err)
		}
		if _, err := w.WriteTo(make([]byte, maxPacket), peer.addr.String()); err != nil {
			t.Error(err)
		}
		if p := <-peer.packets; len(p.Buf) != maxPacket {
			t.Errorf("packet of %d bytes", len(p.Buf))
		}
		if c.packetsOut.Load() != 1 || c.packetBytesOut.Load() != maxPacket || c.largestPacketOut.Load() != maxPacket {
			t.Errorf("counted %d packets, %d bytes", c.packetsOut.Load(), c.packetBytesOut.Load())
		}
	})
}

func TestFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		cut                          Direction
		packetOut, packetIn, streams bool
	}{
		"none": {0, true, true, true},
		"out":  {Out, false, true, false},
		"in":   {In, true, false, false},
		"both": {Both, false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				faults := &Faults{}
				w, peer, c := pair(faults)
				defer w.Shutdown()
				faults.Cut(netip.MustParseAddrPort("[::ffff:192.0.2.2]:7946"), tt.cut)
				faults.Cut(netip.MustParseAddrPort("192.0.2.3:7946"), Both) // concerns nobody here

				if _, err := w.WriteTo([]byte("x"), peer.addr.String()); err != nil {
					t.Error(err)
				}
				if got := arrives(peer.packets); got != tt.packetOut {
					t.Errorf("packet out: %v", got)
				}
				_, _ = peer.WriteTo([]byte("x"), w.inner.(*memoryTransport).addr.String())
				if got := arrives(w.PacketCh()); got != tt.packetIn {
					t.Errorf("packet in: %v", got)
				}

				go func() {
					if conn, err := w.DialTimeout(peer.addr.String(), time.Second); err == nil {
						conn.Close()
					} else if !tt.streams && !errors.Is(err, errCut) {
						t.Errorf("dial: %v", err)
					}
				}()
				if got := arrives(peer.streams); got != tt.streams {
					t.Errorf("stream out: %v", got)
				}
				go func() {
					if conn, err := peer.DialTimeout(w.inner.(*memoryTransport).addr.String(), time.Second); err == nil {
						conn.Close()
					}
				}()
				if got := arrives(w.StreamCh()); got != tt.streams {
					t.Errorf("stream in: %v", got)
				}

				stopped := c.cut.Load()
				if (stopped > 0) != (tt.cut != 0) {
					t.Errorf("counted %d cuts", stopped)
				}
				faults.Heal()
				if _, err := w.WriteTo([]byte("x"), peer.addr.String()); err != nil || !arrives(peer.packets) {
					t.Errorf("after heal: %v", err)
				}
			})
		})
	}
}

func arrives[T any](ch <-chan T) bool {
	select {
	case <-ch:
		return true
	case <-time.After(time.Second):
		return false
	}
}

// A stream ends when its life is over, whatever deadline memberlist sets, and when it has carried too much.
func TestStreamIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, peer, c := pair(nil)
		defer w.Shutdown()
		go func() {
			for range 2 {
				conn := <-peer.streams
				go func() { // it talks for ever, and never listens
					chunk := make([]byte, 64<<10)
					for _, err := conn.Write(chunk); err == nil; _, err = conn.Write(chunk) {
					}
				}()
			}
		}()

		conn, err := w.DialTimeout(peer.addr.String(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, conn); n != maxStreamBytes || !errors.Is(err, errLongRead) {
			t.Errorf("read %d bytes, %v", n, err)
		}
		conn.Close()

		if conn, err = w.DialTimeout(peer.addr.String(), time.Hour); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := conn.Write([]byte("is anybody there?")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write: %v", err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("write gave up after %s, want 10s", took)
		}
		conn.Close()
		if c.streamsOut.Load() != 2 || c.streamBytesIn.Load() != maxStreamBytes {
			t.Errorf("counted %d streams, %d bytes", c.streamsOut.Load(), c.streamBytesIn.Load())
		}
	})
}

func TestInboundStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, peer, c := pair(nil)
		defer w.Shutdown()
		self := w.inner.(*memoryTransport).addr.String()
		var held []net.Conn
		for range maxStreams {
			go peer.DialTimeout(self, time.Second)
			held = append(held, <-w.StreamCh())
		}
		go peer.DialTimeout(self, time.Second)
		if arrives(w.StreamCh()) || c.overflow.Load() != 1 {
			t.Errorf("one too many was let in; overflow %d", c.overflow.Load())
		}
		held[0].Close()
		held[0].Close() // counts once
		go peer.DialTimeout(self, time.Second)
		if !arrives(w.StreamCh()) {
			t.Error("a place was free")
		}
		go peer.DialTimeout(self, time.Second)
		if arrives(w.StreamCh()) {
			t.Error("one place was free, two were given")
		}
	})
}

// Shutdown ends the streams that are open, so that Run does not wait for a peer that hangs.
func TestShutdownClosesStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, peer, _ := pair(nil)
		go func() { <-peer.streams }()
		conn, err := w.DialTimeout(peer.addr.String(), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		failed := make(chan error)
		go func() { _, err := conn.Write([]byte("x")); failed <- err }()
		synctest.Wait()
		if err := w.Shutdown(); err != nil {
			t.Error(err)
		}
		if err := <-failed; err == nil || time.Since(start) != 0 {
			t.Errorf("write ended after %s with %v", time.Since(start), err)
		}
		go func() { <-peer.streams }()
		if _, err := w.DialTimeout(peer.addr.String(), time.Second); !errors.Is(err, net.ErrClosed) {
			t.Errorf("dial after shutdown: %v", err)
		}
	})
}
