//go:build !linux

package compose

import (
	"context"
	"errors"
	"net"
	"time"
)

// Delay is for the inside of a container.
func Delay(context.Context, net.Listener, time.Duration) error {
	return errors.New("connections are delayed inside Linux containers only")
}
