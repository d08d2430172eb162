// Package wire turns query bytes into answer bytes.
//
// [Responder.Respond] is the whole server without its sockets: it reads a query in place, finds the zone, the record
// set or the steered service in a [Snapshot], and writes the answer into the caller's buffer. What it sends depends
// on its arguments alone: it takes no lock, reads no clock, draws no random number and does not log. Everything that
// an operator may want to count is in the [Meta] it returns.
//
// There are two ways to an answer, with one meaning. The compiled one finds a record set that was packed when its
// zone was loaded, for a message such as this, and copies it; of a steered name it writes the addresses. It allocates
// nothing. What it does not cover, a fraction of a percent in practice, takes the slow one through records: DNAME,
// class CHAOS, meta types, DS at an origin, chains that end in a delegation or loop, other types than addresses and
// text behind a chain, additional records that have to be left out. [Meta] says which way an answer came.
//
// Protocol choices where the standards leave one:
//
//   - Silence only for what cannot be answered safely: fewer than 12 octets, or QR set. Everything else with a
//     readable header is answered, with FORMERR when it does not parse.
//   - AD and CD are clear in every answer (RFC 4035 section 3.1.6), RA is clear, RD is copied.
//   - An answer that does not fit is cut to header, question and OPT with TC set, rather than to a part of its record
//     sets (RFC 2181 section 9): whoever sees TC asks again over TCP. Additional records are dropped first, whole
//     sets at a time, and without TC, save for the glue of a referral, which must not be lost silently (RFC 9471).
//   - ANY gets one HINFO (RFC 8482 section 4.2) over UDP and TCP alike, or the CNAME when there is one.
//   - AXFR and IXFR are REFUSED, MAILA, MAILB and unknown meta types NOTIMP, types that are no question FORMERR.
//   - Client subnets (RFC 7871): the first option counts. A malformed one gets FORMERR. Static, negative and error
//     answers carry scope 0.
//   - Cookies (RFC 7873, RFC 9018): every answer to a query with a well-formed one has a valid server cookie, errors
//     included. A malformed one gets FORMERR. A query with a cookie needs no question.
package wire
