package machine

import (
	"time"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// TCP Fast Open (RFC 7413): the SYN carries text, which the server hands to
// its user at once when the SYN also carries a cookie that the server has
// given to this client before. The two sides are in open_fastopen_server.go and
// open_fastopen_client.go.

// A FastOpen is what a connection knows of its Fast Open while the handshake
// lasts. When that is over, the tables get it.
type FastOpen struct {
	passive bool // we are the server, and have accepted in SYN-RECEIVED

	// Of a client:
	offer    segment.Cookie // for our SYN; empty to ask for one
	mss      int            // of the server, as it was the last time; bounds the text of the SYN
	granted  segment.Cookie // by the SYN-ACK
	text     int            // how much went in the SYN
	taken    bool           // the server has taken some of it
	tooBig   bool           // the SYN with its text does not pass, as a router has said
	timedOut bool           // the SYN had to be sent again, without the option, for another reason
}

// FastOpenOver returns what is known of the Fast Open of t once the handshake is
// over, and nil before, and afterwards.
func (t *TCB) FastOpenOver() *FastOpen {
	if t.fastOpen == nil || !t.state.synchronized() {
		return nil
	}
	o := t.fastOpen
	t.fastOpen = nil
	return o
}

// FastOpenOver takes what a connection of f tells of its Fast Open; reset says that
// the peer has ended it so.
func (d *Tables) FastOpenOver(now time.Time, f ip.Flow, o *FastOpen, reset bool) {
	if o.passive {
		d.fastOpens.end(now, f, reset)
	} else {
		d.servers.learn(now, f, o)
	}
}

// acceptedEarly says whether this is a server's connection whose handshake is
// not complete, and whose user reads and writes all the same (RFC 7413
// section 4.2.2).
func (t *TCB) acceptedEarly() bool {
	return t.state == SynReceived && t.fastOpen != nil && t.fastOpen.passive
}
