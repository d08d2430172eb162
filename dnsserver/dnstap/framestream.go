package dnstap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// contentType names what the frames hold.
const contentType = "protobuf:dnstap.Dnstap"

// Control frames of Frame Streams. They follow a length of 0, which no data frame has.
type control uint32

const (
	accept control = 1
	start  control = 2
	stop   control = 3
	ready  control = 4
	finish control = 5
)

func (c control) String() string {
	if c >= accept && c <= finish {
		return [...]string{"ACCEPT", "START", "STOP", "READY", "FINISH"}[c-1]
	}
	return fmt.Sprintf("control frame %d", uint32(c))
}

const (
	fieldContentType = 1
	maxControl       = 512 // octets of a control frame, which the format bounds so
	maxContentType   = 256
)

// appendFrameHeader begins a data frame of size octets.
func appendFrameHeader(b []byte, size int) []byte {
	return binary.BigEndian.AppendUint32(b, uint32(size))
}

// appendControl appends a control frame that names the content, or none where that says nothing: STOP and FINISH.
func appendControl(b []byte, c control) []byte {
	b = binary.BigEndian.AppendUint32(b, 0)
	if c == stop || c == finish {
		b = binary.BigEndian.AppendUint32(b, 4)
		return binary.BigEndian.AppendUint32(b, uint32(c))
	}
	b = binary.BigEndian.AppendUint32(b, uint32(12+len(contentType)))
	b = binary.BigEndian.AppendUint32(b, uint32(c))
	b = binary.BigEndian.AppendUint32(b, fieldContentType)
	b = binary.BigEndian.AppendUint32(b, uint32(len(contentType)))
	return append(b, contentType...)
}

// readControl reads a control frame and the content types that it names.
func readControl(r io.Reader) (c control, contents []string, err error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	if binary.BigEndian.Uint32(head[:]) != 0 {
		return 0, nil, errors.New("a data frame: want a control frame")
	}
	size := binary.BigEndian.Uint32(head[4:])
	if size < 4 || size > maxControl {
		return 0, nil, fmt.Errorf("control frame of %d octets: want 4..%d", size, maxControl)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return 0, nil, err
	}
	c, b = control(binary.BigEndian.Uint32(b)), b[4:]
	for len(b) > 0 {
		if len(b) < 8 {
			return 0, nil, fmt.Errorf("%v: %d octets for a field: want 8 or more", c, len(b))
		}
		field, n := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
		if b = b[8:]; n > maxContentType || int(n) > len(b) {
			return 0, nil, fmt.Errorf("%v: field of %d octets: want at most %d", c, n, min(maxContentType, len(b)))
		}
		if field == fieldContentType {
			contents = append(contents, string(b[:n]))
		}
		b = b[n:]
	}
	return c, contents, nil
}

// expect reads a control frame of one kind. One that names contents must name ours.
func expect(r io.Reader, want control) error {
	c, contents, err := readControl(r)
	switch {
	case err != nil:
		return fmt.Errorf("%v: %w", want, err)
	case c != want:
		return fmt.Errorf("%v: want %v", c, want)
	case len(contents) > 0 && !slices.Contains(contents, contentType):
		return fmt.Errorf("%v for %q: want %q", c, contents, contentType)
	}
	return nil
}
