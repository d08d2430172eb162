//go:build !linux

package dnsserver

import (
	"context"
	"errors"
)

// canBatch is false where packets are read one by one.
const canBatch = false

var errNoBatches = errors.ErrUnsupported

func (s *Server) serveBatches(context.Context, *udpSocket, *worker) error { return errNoBatches }
