package tcp

import "encoding/hex"

// A cookie is the value of the Fast Open option (RFC 7413 section 4.1.1): an
// even number of bytes from 4 to 16, or none in a client's request for one.
type cookie struct {
	present bool // the option is there
	len     uint8
	value   [maxCookie]byte
}

const (
	minCookie = 4
	maxCookie = 16
)

// has says whether there is a cookie, not only a request.
func (c *cookie) has() bool { return c.present && c.len > 0 }

// bytes is the cookie as it goes on the wire.
func (c *cookie) bytes() []byte { return c.value[:c.len] }

// parse takes the value of the option. One of a length that is not allowed is
// ignored.
func (c *cookie) parse(value []byte) {
	if n := len(value); n != 0 && (n < minCookie || n > maxCookie || n%2 != 0) {
		return
	}
	*c = cookie{present: true, len: uint8(len(value))}
	copy(c.value[:], value)
}

// append writes the option to p, if it is there, aligned.
func (c *cookie) append(p []byte) []byte {
	if !c.present {
		return p
	}
	for i := c.len + 2; i%4 != 0; i++ {
		p = append(p, optNop)
	}
	p = append(p, optFastOpen, 2+c.len)
	return append(p, c.bytes()...)
}

// String is the option in the notation of packetdrill: "FO 1234abcd", "FO".
func (c *cookie) String() string {
	if !c.has() {
		return "FO"
	}
	return "FO " + hex.EncodeToString(c.bytes())
}
