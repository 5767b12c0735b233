package tcp

import (
	"encoding/hex"
	"time"

	"github.com/seed-012105e5/gonet/ip"
)

// TCP Fast Open (RFC 7413): the SYN carries text, which the server hands to
// its user at once when the SYN also carries a cookie that the server has
// given to this client before. The two sides are in fastopenserver.go and
// fastopenclient.go.

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

// A fastOpen is what a connection knows of its Fast Open while the handshake
// lasts. When that is over, the tables get it.
type fastOpen struct {
	passive bool // we are the server, and have accepted in SYN-RECEIVED

	// Of a client:
	offer    cookie // for our SYN; empty to ask for one
	mss      int    // of the server, as it was the last time; bounds the text of the SYN
	granted  cookie // by the SYN-ACK
	text     int    // how much went in the SYN
	taken    bool   // the server has taken some of it
	tooBig   bool   // the SYN with its text does not pass, as a router has said
	timedOut bool   // the SYN had to be sent again, without the option, for another reason
}

// fastOpenOver returns what is known of the Fast Open of t once the handshake is
// over, and nil before, and afterwards.
func (t *tcb) fastOpenOver() *fastOpen {
	if t.fastOpen == nil || !t.state.synchronized() {
		return nil
	}
	o := t.fastOpen
	t.fastOpen = nil
	return o
}

// fastOpenOver takes what a connection of f tells of its Fast Open; reset says that
// the peer has ended it so.
func (d *door) fastOpenOver(now time.Time, f ip.Flow, o *fastOpen, reset bool) {
	if o.passive {
		d.fastOpens.end(now, f, reset)
	} else {
		d.servers.learn(now, f, o)
	}
}

// acceptedEarly says whether this is a server's connection whose handshake is
// not complete, and whose user reads and writes all the same (RFC 7413
// section 4.2.2).
func (t *tcb) acceptedEarly() bool {
	return t.state == SynReceived && t.fastOpen != nil && t.fastOpen.passive
}
