package dnsserver

import (
	"context"
	"errors"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// canBatch says that one system call takes many packets.
const canBatch = true

// batchSize is the number of packets that a system call takes at most. More gains nothing and keeps the first waiting.
const batchSize = 64

// packetStride is the room for one packet. Rooms of whole pages would begin at the same few lines of the processor's
// cache, so it is one line more.
const packetStride = max(maxUDPQuery, maxUDPAnswer) + 64

// controlSize is the room for a packet's control messages: one IPV6_PKTINFO, and more than that.
const controlSize = 64

// errNoBatches is returned where the kernel, or a sandbox in front of it, does not know the system calls.
var errNoBatches = errors.New("recvmmsg: not available")

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	n uint32 // octets received
}

// batch reads up to batchSize packets with one system call and sends their answers with another. It serves one
// goroutine. All it needs is allocated once and stays in place: the headers point into it.
type batch struct {
	socket *udpSocket
	raw    syscall.RawConn

	in, out  [batchSize][packetStride]byte
	peers    [batchSize]unix.RawSockaddrInet6 // large enough for an IPv4 one, too
	controls [batchSize][controlSize]byte     // of a wildcard socket
	recvs    [batchSize]mmsghdr
	recvIOs  [batchSize]unix.Iovec
	outbox   outbox

	received int // packets in the batch
	errno    syscall.Errno

	// The methods of these names, bound once: binding allocates.
	recvmmsg, sendmmsg func(fd uintptr) bool
}

func newBatch(socket *udpSocket) (*batch, error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	b := &batch{socket: socket, raw: raw}
	if b.outbox.segments, err = canSegment(raw); err != nil {
		return nil, err
	}
	b.recvmmsg, b.sendmmsg = b.recvOnce, b.outbox.send
	for i := range b.recvs {
		b.recvIOs[i].Base = &b.in[i][0]
		b.recvIOs[i].SetLen(maxUDPQuery)
		b.recvs[i].Iov = &b.recvIOs[i]
		b.recvs[i].SetIovlen(1)
		b.recvs[i].Name = (*byte)(unsafe.Pointer(&b.peers[i]))
	}
	b.received = batchSize
	b.reset()
	return b, nil
}

// reset gives the room of the last batch back: the kernel wrote how much of it was used.
func (b *batch) reset() {
	for i := range b.recvs[:b.received] {
		h := &b.recvs[i]
		h.Namelen = unix.SizeofSockaddrInet6
		if b.socket.wildcard {
			h.Control = &b.controls[i][0]
			h.SetControllen(controlSize)
		}
	}
	b.received = 0
	b.outbox.reset()
}

// read waits for packets and takes those that are there.
func (b *batch) read() error {
	b.reset()
	b.errno = 0
	if err := b.raw.Read(b.recvmmsg); err != nil {
		return err
	}
	if b.errno == unix.ENOSYS {
		return errNoBatches
	}
	if b.errno != 0 {
		return b.errno
	}
	return nil
}

// recvOnce reports false when there is nothing to read yet. The system call does not wait, so the scheduler need not
// know of it.
func (b *batch) recvOnce(fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&b.recvs[0])), batchSize,
			unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			b.received = int(n)
			return true
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			b.errno = errno
			return true
		}
	}
}

// query returns packet i of the batch and who sent it.
func (b *batch) query(i int) ([]byte, netip.AddrPort) {
	return b.in[i][:min(b.recvs[i].n, maxUDPQuery)], b.peer(i)
}

func (b *batch) peer(i int) netip.AddrPort {
	sa := &b.peers[i]
	port := (*[2]byte)(unsafe.Pointer(&sa.Port)) // in network order, as in the IPv4 kind
	number := uint16(port[0])<<8 | uint16(port[1])
	if sa.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(sa)).Addr), number)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), number)
}

// queue adds the answer to packet i, which lies in b.out[i] and stays there.
func (b *batch) queue(i int, answer []byte) {
	b.outbox.queue(i, &b.peers[i], answer, b.destination(i))
}

// destination returns the control messages that say where packet i came to.
func (b *batch) destination(i int) []byte {
	if !b.socket.wildcard {
		return nil
	}
	return b.controls[i][:b.recvs[i].Controllen]
}

// write sends the answers queued, waiting for room in the socket's buffer as long as the write deadline allows, and
// returns how many could not be sent.
func (b *batch) write() (failed int) {
	if b.outbox.queued == 0 {
		return 0
	}
	b.outbox.compose()
	if err := b.raw.Write(b.sendmmsg); err != nil {
		return b.outbox.failed + b.outbox.left()
	}
	return b.outbox.failed
}

// serveBatches is servePackets, batch by batch. It returns errNoBatches before it has read anything where there are
// none.
func (s *Server) serveBatches(ctx context.Context, socket *udpSocket, w *worker) error {
	b, err := newBatch(socket)
	if err != nil {
		return err
	}
	for {
		err := b.read()
		if errors.Is(err, errNoBatches) {
			return err
		}
		if err != nil {
			if end, err := readFailed(ctx, w.counters, err); end {
				return err
			}
			continue
		}
		if !w.sampler.next() {
			w.answerBatch(b)
			continue
		}
		begin := time.Now()
		w.answerBatch(b)
		w.counters.latency.add(b.received, time.Since(begin))
	}
}

// answerBatch answers the packets read from one state.
func (w *worker) answerBatch(b *batch) {
	w.begin()
	snap, cookies := w.server.snapshot.Load(), w.server.cookies.now.Load()
	for i := range b.received {
		req, client, ok := w.unwrap(b.query(i))
		if !ok {
			continue
		}
		if answer := w.answer(snap, cookies, req, client, b.out[i][:maxUDPAnswer]); len(answer) > 0 {
			b.queue(i, answer)
		}
	}
	if failed := b.write(); failed > 0 {
		w.counters.writeErrors.Add(uint64(failed))
	}
}
