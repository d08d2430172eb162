// Package dnsserver is the authoritative DNS server's shell: UDP, TCP and TLS, limits and counters around the
// pure package wire.
//
// A [Server] answers from the [wire.Snapshot] that was stored last. [Server.Store] replaces it at any time, from any
// goroutine, without a lock on the query path: every query loads one pointer and is answered from that state alone.
// Until the first Store every query gets SERVFAIL, which makes resolvers try another server at once where silence
// would make them wait.
//
// UDP: on Linux every address gets one socket and one goroutine per core, and the kernel spreads clients over them
// (SO_REUSEPORT); elsewhere the goroutines share a socket. A goroutine reads the packets that are there, 64 at most,
// with one system call (recvmmsg), answers them from one state and sends the answers with another (sendmmsg);
// elsewhere it does so packet by packet. Answers of one length to one client of the batch, say a front end, are one
// message that the kernel cuts into packets where they leave (UDP_SEGMENT): most of the time that an answer takes is the
// way through routing and firewall, and they go it together. Load beyond what the cores can do stays in the kernel's
// queue and is dropped there; nothing in the process grows. The loop does not allocate and takes no lock.
//
// TCP (RFC 7766): queries that a client sends without waiting are answered side by side and in the order they are done,
// up to a limit. Each query has a time within which it must have arrived, and a client that does not take its answers
// is not read from. Connections are limited per client; where there are too many in all, a newcomer takes the place of
// the one that has gone longest without an answer. Clients that ask are told how long they may be idle (RFC 7828).
//
// TLS (RFC 7858): the same connections, once a handshake is done. A client has the idle timeout for that, and holds up
// nobody else. The certificate may be replaced at any time ([Server.SetCertificate]). Answers are padded for those who
// ask for it (RFC 8467).
//
// At its end a server answers the packets and connections that the kernel had begun to hand over. So a new server can
// take over ([Options.TakeOver]) without a query lost: it starts beside the old one, has its sockets share the
// addresses, and the old one is stopped once the new one is ready. On ending, a UDP socket is connected to itself: the
// kernel then chooses others of the address for packets to come. A TCP listener that takes over has a program name it
// for all connections to come, while the old one accepts what had begun.
//
// Answers over UDP may be limited by network of clients and kind of answer (package rrl). The limiter is shared by all
// goroutines and takes no lock; its clock is read for all of them a hundred times a second. A client that has shown its
// address by a server cookie (RFC 7873) is not limited. What cookies are made and checked with is one pointer to
// immutable state, which is replaced every second; see [CookieKeys] for how servers share them.
//
// Behind a front end ([Options.ProxyFrom]) every packet and every connection begins with a header of the PROXY protocol,
// and the client is who that says, for answers and for limits. The answer goes to the front end.
//
// An answer leaves from the address that its query came to. For a specific address the socket sees to that. For
// 0.0.0.0 and :: it takes IP_PKTINFO, which exists on Linux; elsewhere a wildcard address is an error. The wildcard
// :: means IPv6 only: list 0.0.0.0 beside it to serve both.
//
// Who watches queries (package tap) gets copies, of a sample, through rings that are full before anything waits.
//
// A query that makes the server panic gets SERVFAIL and is counted and logged; the server goes on.
package dnsserver
