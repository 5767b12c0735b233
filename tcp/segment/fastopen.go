package segment

import "encoding/hex"

// A Cookie is the value of the Fast Open option (RFC 7413 section 4.1.1): an
// even number of bytes from 4 to 16, or none in a client's request for one.
type Cookie struct {
	Present bool // the option is there
	Len     uint8
	Value   [MaxCookie]byte
}

const (
	minCookie = 4
	MaxCookie = 16
)

// Has says whether there is a cookie, not only a request.
func (c *Cookie) Has() bool { return c.Present && c.Len > 0 }

// bytes is the cookie as it goes on the wire.
func (c *Cookie) bytes() []byte { return c.Value[:c.Len] }

// Parse takes the value of the option. One of a length that is not allowed is
// ignored.
func (c *Cookie) Parse(value []byte) {
	if n := len(value); n != 0 && (n < minCookie || n > MaxCookie || n%2 != 0) {
		return
	}
	*c = Cookie{Present: true, Len: uint8(len(value))}
	copy(c.Value[:], value)
}

// append writes the option to p, if it is there, aligned.
func (c *Cookie) append(p []byte) []byte {
	if !c.Present {
		return p
	}
	for i := c.Len + 2; i%4 != 0; i++ {
		p = append(p, optNop)
	}
	p = append(p, optFastOpen, 2+c.Len)
	return append(p, c.bytes()...)
}

// String is the option in the notation of packetdrill: "FO 1234abcd", "FO".
func (c *Cookie) String() string {
	if !c.Has() {
		return "FO"
	}
	return "FO " + hex.EncodeToString(c.bytes())
}
