//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxBatch is the number of packets that one system call moves at most.
const maxBatch = 256

// lossTime is the silence after which answers that are missing count as lost.
const lossTime = 100 * time.Millisecond

// load describes who asks: a number of sockets, each with so many queries on their way at a time.
type load struct {
	server   netip.AddrPort
	queries  [][]byte // in turn
	duration time.Duration
	sockets  int
	window   int
	rate     int // queries per second; 0 = as many as the windows allow
}

// result is what came of it.
type result struct {
	sent, answered, lost uint64
	elapsed              time.Duration
	latency              histogram
	filled               uint64 // answers with at least one record in the answer section
	rcodes               [16]uint64
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	n uint32
}

// maxSegments is the number of packets that the kernel cuts one message into at most (UDP_MAX_SEGMENTS).
const maxSegments = 64

// train is one message of several packets for the kernel to cut: its control message says how long they are.
type train struct {
	header unix.Cmsghdr
	length uint16
	_      [6]byte
}

// packets are buffers for one system call.
type packets struct {
	headers [maxBatch]mmsghdr
	vectors [maxBatch]unix.Iovec
	trains  [maxBatch]train
	data    [maxBatch][2048 + 64]byte // not a whole page: see the caches
}

func newPackets() *packets {
	p := &packets{}
	for i := range p.headers {
		p.vectors[i].Base = &p.data[i][0]
		p.vectors[i].SetLen(2048)
		p.headers[i].Iov = &p.vectors[i]
		p.headers[i].SetIovlen(1)
	}
	return p
}

// call moves n packets and returns how many were moved.
func (p *packets) call(trap uintptr, fd, n int, flags uintptr) (int, error) {
	moved, _, errno := unix.Syscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(&p.headers[0])), uintptr(n), flags, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(moved), nil
}

// send sends the first n packets, a run of one length as one message that the kernel cuts into packets (udp(7),
// UDP_SEGMENT), and returns how many packets went. Each reaches the server by itself; the load just has less to do than
// the server for it, and so is not the limit.
func (p *packets) send(fd, n int) (int, error) {
	messages := 0
	for i := 0; i < n; messages++ {
		begin := i
		for i < n && i-begin < maxSegments && p.vectors[i].Len == p.vectors[begin].Len {
			i++
		}
		h, t := &p.headers[messages], &p.trains[messages]
		h.Iov = &p.vectors[begin]
		h.SetIovlen(i - begin)
		h.Control = nil
		h.SetControllen(0)
		if i-begin > 1 {
			t.header.Level, t.header.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
			t.header.SetLen(unix.CmsgLen(2))
			t.length = uint16(p.vectors[begin].Len)
			h.Control = (*byte)(unsafe.Pointer(t))
			h.SetControllen(unix.CmsgSpace(2))
		}
	}
	moved, err := p.call(unix.SYS_SENDMMSG, fd, messages, unix.MSG_DONTWAIT)
	if err != nil {
		return 0, err
	}
	sent := 0
	for _, h := range p.headers[:moved] {
		sent += int(h.Iovlen)
	}
	return sent, nil
}

// asker is one socket and the queries that are on their way.
type asker struct {
	fd     int
	open   int
	id     uint16 // of the last query
	heard  time.Duration
	sentAt [1 << 16]time.Duration // by ID; 0 = not on its way
}

// run asks for the time given. It keeps the calling thread busy.
func (l *load) run() (*result, error) {
	askers := make([]*asker, l.sockets)
	polls := make([]unix.PollFd, l.sockets)
	defer func() {
		for _, a := range askers {
			if a != nil {
				unix.Close(a.fd)
			}
		}
	}()
	for i := range askers {
		fd, err := connect(l.server)
		if err != nil {
			return nil, err
		}
		askers[i] = &asker{fd: fd}
		polls[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	}
	r, in, out, next := &result{}, newPackets(), newPackets(), 0
	begin := time.Now()
	since := func() time.Duration { return time.Since(begin) + 1 } // never 0
	now := since()
	for ; now < l.duration; now = since() {
		idle := true
		for _, a := range askers {
			n, err := in.call(unix.SYS_RECVMMSG, a.fd, maxBatch, unix.MSG_DONTWAIT)
			if err != nil && !errors.Is(err, unix.EAGAIN) {
				return nil, fmt.Errorf("%s: %w", l.server, err)
			}
			at := since()
			for i := range n {
				r.take(a, in.data[i][:in.headers[i].n], at)
			}
			if n > 0 {
				idle, a.heard = false, at
			} else if a.open > 0 && at-a.heard > lossTime {
				r.lost += uint64(a.open)
				a.open, a.heard = 0, at
				clear(a.sentAt[:])
			}
			room := min(l.window-a.open, maxBatch)
			if l.rate > 0 {
				room = min(room, int(at.Seconds()*float64(l.rate))-int(r.sent))
			} else if room < l.window/4 && n > 0 {
				continue // a few more answers make a fuller batch
			}
			if room <= 0 {
				continue
			}
			ids := a.id
			for i := range room {
				q := l.queries[(next+i)%len(l.queries)]
				copy(out.data[i][:], q)
				ids++
				binary.BigEndian.PutUint16(out.data[i][:], ids)
				out.vectors[i].SetLen(len(q))
			}
			at = since()
			n, err = out.send(a.fd, room)
			if err != nil && !errors.Is(err, unix.EAGAIN) {
				return nil, fmt.Errorf("%s: %w", l.server, err)
			}
			for range n {
				a.id++
				a.sentAt[a.id] = at
			}
			if a.open == 0 {
				a.heard = at
			}
			a.open += n
			next = (next + n) % len(l.queries)
			r.sent += uint64(n)
			idle = idle && n <= 0
		}
		if idle && l.rate == 0 {
			if _, err := unix.Poll(polls, 5); err != nil && !errors.Is(err, unix.EINTR) {
				return nil, err
			}
		}
	}
	r.elapsed = now
	return r, nil
}

// take counts one answer.
func (r *result) take(a *asker, answer []byte, now time.Duration) {
	if len(answer) < 12 {
		return
	}
	id := binary.BigEndian.Uint16(answer)
	if a.sentAt[id] == 0 {
		return // lost, and found too late
	}
	r.latency.add(now - a.sentAt[id])
	a.sentAt[id] = 0
	a.open--
	r.answered++
	r.rcodes[answer[3]&0xf]++
	if binary.BigEndian.Uint16(answer[6:]) > 0 {
		r.filled++
	}
}

// connect returns a socket that talks to the server alone.
func connect(server netip.AddrPort) (int, error) {
	fd, err := udpSocket()
	if err != nil {
		return 0, err
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: server.Addr().As4(), Port: int(server.Port())}); err != nil {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

// udpSocket returns a socket with large buffers.
func udpSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	const buffer = 4 << 20
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, buffer),
	)
	if err != nil {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

// echo sends every packet back as an answer, in batches, for ever: what any server must spend in the kernel. Its socket
// is one that the runtime does not poll, since each packet sent would cost a look at who waits.
func echo(addr string) error {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return err
	}
	fd, err := udpSocket()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}); err != nil {
		return err
	}
	const batch = 64
	p := newPackets()
	var peers [batch]unix.RawSockaddrInet4
	for i := range peers {
		p.headers[i].Name = (*byte)(unsafe.Pointer(&peers[i]))
	}
	for {
		for i := range batch {
			p.headers[i].Namelen = unix.SizeofSockaddrInet4
			p.vectors[i].SetLen(2048)
		}
		n, err := p.raw(unix.SYS_RECVMMSG, fd, batch, unix.MSG_WAITFORONE)
		if err != nil {
			return err
		}
		for i := range n {
			p.data[i][2] |= 0x80
			p.vectors[i].SetLen(int(p.headers[i].n))
		}
		if _, err := p.raw(unix.SYS_SENDMMSG, fd, n, 0); err != nil {
			return err
		}
	}
}

// raw is call without a word to the scheduler: there is nothing else to run.
func (p *packets) raw(trap uintptr, fd, n int, flags uintptr) (int, error) {
	for {
		moved, _, errno := unix.RawSyscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(&p.headers[0])), uintptr(n), flags, 0, 0)
		if errno == 0 {
			return int(moved), nil
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}
