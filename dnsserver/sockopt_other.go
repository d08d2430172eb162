//go:build !linux

package dnsserver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// canShare is false where the kernel does not spread clients over the sockets of one address.
const canShare = false

func shareAddress(syscall.RawConn) error { return errors.ErrUnsupported }

func wantConnections(*net.TCPListener) error { return errors.ErrUnsupported }

func forceBuffers(*net.UDPConn, int) error { return errors.ErrUnsupported }

func turnAway(*net.UDPConn) error { return errors.ErrUnsupported }

func wantDestination(_ syscall.RawConn, wildcard netip.Addr) error {
	return fmt.Errorf("%s: cannot tell which address a query came to: list each address instead: %w", wildcard,
		errors.ErrUnsupported)
}

func sourceFromDestination([]byte) []byte { return nil }
