package probe

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/meridian-gtm/meridian/health"
)

// reason is the word that counters have for what a probe showed. There are few, so that they can be labels.
type reason string

const (
	answered  reason = "ok"
	refused   reason = "refused"
	timedOut  reason = "timeout"
	reset     reason = "reset"
	insecure  reason = "tls"
	badStatus reason = "status"
	badBody   reason = "body"
	badReply  reason = "protocol"
	expired   reason = "certificate-expired"
	expiring  reason = "certificate-expiring"
	noRoute   reason = "no-route"
	local     reason = "local"
	cancelled reason = "cancelled"
	unknown   reason = "other"
)

// finding is what a probe showed.
type finding struct {
	outcome health.Outcome
	reason  reason
	detail  string // "connect: refused"
}

// stage returns what was being done when it failed.
func (f finding) stage() string {
	stage, _, _ := strings.Cut(f.detail, ":")
	return stage
}

// localErrors mean that this machine is out of something, or does not let itself speak: nothing was learnt of the
// target.
var localErrors = []error{
	syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL, syscall.EADDRINUSE,
	syscall.ENETDOWN, syscall.EAFNOSUPPORT, syscall.EPROTONOSUPPORT, syscall.EACCES, syscall.EPERM,
}

// failure says what an error of a stage of a probe means.
func failure(stage string, err error) finding {
	hard := func(r reason, text string) finding { return finding{health.HardFail, r, stage + ": " + text} }
	for _, e := range localErrors {
		if errors.Is(err, e) {
			return finding{health.LocalFault, local, stage + ": " + e.Error()}
		}
	}
	switch {
	case errors.Is(err, syscall.ENETUNREACH):
		// One probe alone cannot know whether this machine has lost its routes or the target has. A Prober can.
		return finding{health.LocalFault, noRoute, stage + ": network unreachable"}
	case errors.Is(err, syscall.EHOSTUNREACH):
		return hard(noRoute, "no route to host")
	case errors.Is(err, syscall.ECONNREFUSED):
		return hard(refused, "refused")
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return hard(reset, "connection reset")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return hard(reset, "connection closed")
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return hard(timedOut, "no answer")
	}
	return hard(unknown, err.Error())
}

// clip keeps a detail short and on one line: parts of it may have come from the target.
func clip(s string) string {
	const most = 120
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
	if len(s) > most {
		cut := most
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "..."
	}
	return s
}
