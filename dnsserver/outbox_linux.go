package dnsserver

import (
	"encoding/binary"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxSegment is the longest answer that goes out in one message with others, in octets: a path that carries IPv6 carries
// it whole. The kernel refuses to cut a message into packets that would have to be fragmented.
const maxSegment = 1280 - 40 - 8

// maxSegments is the number of answers in one message at most: 64 is all that the kernel takes (UDP_MAX_SEGMENTS), and
// 65,535 octets with their headers.
const maxSegments = 65_000 / maxSegment

// segmentControl is the room for a message's control messages: those of a packet received, and the length to cut by.
const segmentControl = controlSize + 32

// outbox holds the answers to a batch of packets until they are sent. Answers of one length to one client go out as one
// message that the kernel cuts into packets at its lower end (udp(7), UDP_SEGMENT): routing, firewall and queues see one
// instead of many. That helps with the queries of a front end or a forwarder, which come from few ports; it is nothing to
// clients that use a port for each query. Answers to one client may change places where their lengths differ.
type outbox struct {
	segments bool // the kernel cuts messages
	queued   int  // messages
	sent     int  // messages that are gone, or given up
	failed   int  // answers that were given up

	messages [batchSize]message
	peers    [batchSize]*unix.RawSockaddrInet6 // by packet
	sources  [batchSize][]byte                 // by packet: control messages, nil = none
	answers  [batchSize]unix.Iovec             // by packet
	next     [batchSize]uint8                  // by packet: the one whose answer follows in the same message

	// slots is a hash table of clients and lengths, with open addressing: 1 + the message, 0 = free. It is never more
	// than a quarter full.
	slots [256]uint8

	headers  [batchSize]mmsghdr
	vectors  [batchSize]unix.Iovec
	controls [batchSize][segmentControl]byte
}

// message is one or several answers, by the packets that they answer: first, next of that, and so on to last.
type message struct {
	first, last uint8
	answers     uint8
}

// canSegment says whether the kernel knows how to cut messages. Linux does since 4.18, a sandbox in front of it may not.
func canSegment(raw syscall.RawConn) (can bool, err error) {
	err = control(raw, func(fd int) error {
		_, unknown := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		can = unknown == nil
		return nil
	})
	return can, err
}

func (o *outbox) reset() {
	o.queued, o.sent, o.failed = 0, 0, 0
	clear(o.slots[:])
}

// queue adds the answer to packet i, from peer and with its control messages. All of it stays where it is until it is
// sent.
func (o *outbox) queue(i int, peer *unix.RawSockaddrInet6, answer, control []byte) {
	o.peers[i], o.sources[i] = peer, control
	o.answers[i].Base = &answer[0]
	o.answers[i].SetLen(len(answer))
	if o.segments && len(answer) <= maxSegment {
		at := slotOf(peer, len(answer))
		for ; o.slots[at] > 0; at++ {
			if o.joins(i, &o.messages[o.slots[at]-1]) {
				return
			}
		}
		o.slots[at] = uint8(o.queued + 1)
	}
	o.messages[o.queued] = message{uint8(i), uint8(i), 1}
	o.queued++
}

// slotOf is where to look for a client's message with answers of a length. Who makes them collide gains nothing: a batch
// has few.
func slotOf(peer *unix.RawSockaddrInet6, octets int) uint8 {
	h := uint64(octets)<<48 ^ uint64(peer.Port)<<32 ^ uint64(peer.Flowinfo) // which is where IPv4 has the address
	if peer.Family == unix.AF_INET6 {
		h ^= binary.NativeEndian.Uint64(peer.Addr[:8]) ^ binary.NativeEndian.Uint64(peer.Addr[8:])
	}
	return uint8(h * 0x9e3779b97f4a7c15 >> 56) // the golden ratio's bits: D. E. Knuth, TAOCP 3, 6.4
}

// joins adds the answer to packet i to m, if the two may go together.
func (o *outbox) joins(i int, m *message) bool {
	if m.answers == maxSegments || o.answers[i].Len != o.answers[m.first].Len ||
		!samePeer(o.peers[i], o.peers[m.first]) || string(o.sources[i]) != string(o.sources[m.first]) {
		return false
	}
	o.next[m.last], m.last = uint8(i), uint8(i)
	m.answers++
	return true
}

func samePeer(a, b *unix.RawSockaddrInet6) bool {
	if a.Family == unix.AF_INET6 {
		return *a == *b
	}
	return a.Family == b.Family && a.Port == b.Port && a.Flowinfo == b.Flowinfo // as in slotOf
}

// compose makes the headers of the messages that are not sent yet.
func (o *outbox) compose() {
	vectors := o.vectors[:0]
	for k := o.sent; k < o.queued; k++ {
		m, h := o.messages[k], &o.headers[k]
		begin := len(vectors)
		for i, n := m.first, m.answers; n > 0; i, n = o.next[i], n-1 {
			vectors = append(vectors, o.answers[i])
		}
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(o.peers[m.first])), unix.SizeofSockaddrInet6
		if o.peers[m.first].Family == unix.AF_INET {
			h.Namelen = unix.SizeofSockaddrInet4
		}
		h.Iov = &vectors[begin]
		h.SetIovlen(len(vectors) - begin)
		o.address(k)
	}
}

// address makes the control messages of message k: where from, and how long its answers are.
func (o *outbox) address(k int) {
	m, h := o.messages[k], &o.headers[k]
	control := append(o.controls[k][:0], sourceFromDestination(o.sources[m.first])...)
	if m.answers > 1 {
		at := len(control)
		control = control[:at+unix.CmsgSpace(2)]
		header := (*unix.Cmsghdr)(unsafe.Pointer(&control[at]))
		header.Level, header.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		header.SetLen(unix.CmsgLen(2))
		binary.NativeEndian.PutUint16(control[at+unix.CmsgLen(0):], uint16(o.answers[m.first].Len))
	}
	h.Control = nil
	if len(control) > 0 {
		h.Control = &control[0]
	}
	h.SetControllen(len(control))
}

// send reports false when the socket's buffer is full. An answer that the kernel refuses, say because a firewall or the
// routes do (EPERM, ENETUNREACH) or because it came from port 0 (EINVAL), is given up for itself alone.
func (o *outbox) send(fd uintptr) bool {
	for o.sent < o.queued {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&o.headers[o.sent])),
			uintptr(o.queued-o.sent), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			o.sent += int(n) // those before the first that is refused
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			o.refused(errno)
		}
	}
	return true
}

// refused gives up the message whose turn it is, or takes it apart when it has several answers: they are next, then.
func (o *outbox) refused(errno syscall.Errno) {
	m := o.messages[o.sent]
	if m.answers == 1 {
		o.sent++
		o.failed++
		return
	}
	if errno == unix.EIO {
		o.segments = false // the device, or what encrypts in front of it, cannot take such messages, and will not
	}
	more := int(m.answers) - 1
	copy(o.messages[o.sent+1+more:], o.messages[o.sent+1:o.queued])
	o.queued += more
	for i, k := m.first, o.sent; k <= o.sent+more; i, k = o.next[i], k+1 {
		o.messages[k] = message{i, i, 1}
	}
	o.compose()
}

// left returns how many answers are not sent yet.
func (o *outbox) left() (n int) {
	for _, m := range o.messages[o.sent:o.queued] {
		n += int(m.answers)
	}
	return n
}
