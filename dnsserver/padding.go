package dnsserver

import (
	"encoding/binary"

	"github.com/miekg/dns"

	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

// paddingBlock is what the length of a padded answer is a multiple of, in octets (RFC 8467 section 4.1).
const paddingBlock = 468

// paddingSize is the padding option without its octets: code and length (RFC 7830 section 3).
const paddingSize = 4

// appendPadding makes an answer as long as most others, so that its length tells nothing about what was asked. It belongs
// into the OPT record, behind all other options; without one at the very end the answer stays as it is.
func appendPadding(answer []byte) []byte {
	size := len(answer) + paddingSize
	padded := min((size+paddingBlock-1)/paddingBlock*paddingBlock, wire.MaxSize)
	answer, ok := extendOPT(answer, padded-len(answer))
	if !ok {
		return answer
	}
	answer = binary.BigEndian.AppendUint16(answer, dns.EDNS0PADDING)
	answer = binary.BigEndian.AppendUint16(answer, uint16(padded-size))
	end := len(answer)
	answer = answer[:padded]
	clear(answer[end:])
	return answer
}
