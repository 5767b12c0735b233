package tcp

import (
	"net"
	"time"

	"github.com/seed-012105e5/gonet/tcp/machine"
)

// SetNoDelay says whether segments go out as soon as there is something to
// send (true, the default as in package net), or small ones wait while
// something is in flight: Nagle's algorithm (MUST-17, RFC 896).
func (c *Conn) SetNoDelay(noDelay bool) error {
	return c.call("set", func(_ time.Time, t *machine.TCB) { t.OwnOptions().NoDelay = noDelay })
}

// SetKeepAlive switches keep-alive probes on or off (MUST-24). They are off at
// first (MUST-25), unless [ConnOptions] say otherwise, as package gonet's do.
func (c *Conn) SetKeepAlive(on bool) error {
	return c.call("set", func(now time.Time, t *machine.TCB) { t.SetKeepAlive(now, on) })
}

// SetKeepAlivePeriod sets the idle time before the first probe.
func (c *Conn) SetKeepAlivePeriod(d time.Duration) error {
	return c.call("set", func(now time.Time, t *machine.TCB) {
		t.OwnOptions().KeepAliveIdle = max(d, time.Second)
		t.SetKeepAlive(now, t.Options().KeepAlive)
	})
}

// SetKeepAliveConfig sets all of keep-alive (MUST-27). The first probe goes out
// when nothing has come from the peer for the time Idle, counted from this call
// at the earliest, and the others at each Interval after it; an Interval after
// the last of Count the connection is given up. As in package net, zeros
// stand for 15 seconds, 15 seconds and 9 probes, and negative fields leave their
// value as it is: of a connection that was never told, 2 hours (MUST-28), 75
// seconds and 9 probes.
func (c *Conn) SetKeepAliveConfig(k net.KeepAliveConfig) error {
	return c.call("set", func(now time.Time, t *machine.TCB) {
		setKeepAlive(t.OwnOptions(), k)
		t.SetKeepAlive(now, k.Enable)
	})
}

// SetLinger says what Close does with what is not yet delivered. With sec < 0,
// the default, it goes on in the background. With 0 it is thrown away, and the
// peer gets a reset. With more, Close waits for so many seconds, and then
// throws the rest away.
func (c *Conn) SetLinger(sec int) error {
	return c.call("set", func(_ time.Time, t *machine.TCB) {
		t.OwnOptions().Linger = max(machine.NoLinger, time.Duration(sec)*time.Second)
		c.lingers.Store(sec > 0)
	})
}

// SetUserTimeout ends the connection when something that was written, or the
// end that Close and CloseWrite send, is not acknowledged for so long since it
// was written, for whatever reason: be it that the peer does not answer (R2 of
// RFC 9293 section 3.8.3, MUST-21), that it does not read and its window stays
// closed, or that much was written before. 0 sets what Config.UserTimeout has,
// the default, which does not count while the peer answers.
func (c *Conn) SetUserTimeout(d time.Duration) error {
	return c.call("set", func(_ time.Time, t *machine.TCB) {
		t.OwnOptions().UserTimeout = max(0, d)
	})
}

// SetTOS sets the type of service of what is sent: the six bits of DSCP
// (MUST-48). The two of ECN are TCP's own; see [Config].
func (c *Conn) SetTOS(tos uint8) error {
	return c.call("set", func(_ time.Time, t *machine.TCB) { t.OwnOptions().TOS = tos })
}

// SetTTL sets the time to live of what is sent; 0 is the default (MUST-49).
func (c *Conn) SetTTL(ttl uint8) error {
	return c.call("set", func(_ time.Time, t *machine.TCB) { t.OwnOptions().TTL = ttl })
}

// SetReadBuffer bounds what waits to be read, in bytes, and ends its tuning.
// The bound can grow only: the peer was promised what it is.
func (c *Conn) SetReadBuffer(bytes int) error {
	return c.callSet(func(_ time.Time, t *machine.TCB) { t.SetReadBuffer(bytes) })
}

// SetWriteBuffer bounds what waits to be acknowledged, in bytes, and ends its
// tuning.
func (c *Conn) SetWriteBuffer(bytes int) error {
	return c.callSet(func(_ time.Time, t *machine.TCB) { t.SetWriteBuffer(bytes) })
}

// SetCongestionControl changes the congestion control of the connection: to
// one of Config.Controllers, or of [congestion.ByName]. It begins with the
// window and the threshold of the one before. An unknown name is an error.
func (c *Conn) SetCongestionControl(name string) error {
	return c.set(func(now time.Time, t *machine.TCB) error { return t.ChangeCongestionControl(now, name) })
}

// SetLossRecovery changes how the connection finds losses: "rack" (RFC 8985),
// "sack" (RFC 6675) or "newreno" (RFC 6582). The first two need a peer that
// sends SACK, and are "newreno" where it does not. An unknown name is an
// error.
func (c *Conn) SetLossRecovery(name string) error {
	return c.set(func(_ time.Time, t *machine.TCB) error { return t.SetLossRecovery(name) })
}

// set runs f with the state of the connection, and returns its error.
func (c *Conn) set(f func(now time.Time, t *machine.TCB) error) error {
	var err error
	if e := c.call("set", func(now time.Time, t *machine.TCB) { err = f(now, t) }); e != nil {
		return e
	}
	return c.opError("set", err)
}
