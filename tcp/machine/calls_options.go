package machine

import "time"

// SocketOptions is what the user may change on a connection.
type SocketOptions struct {
	NoDelay           bool
	KeepAlive         bool
	KeepAliveIdle     time.Duration
	KeepAliveInterval time.Duration
	KeepAliveCount    int
	UserTimeout       time.Duration // 0 while the user has set none
	Linger            time.Duration // how long Close waits; 0 for a reset, noLinger for no wait
	TOS, TTL          uint8

	ReadBuffer, WriteBuffer int    // bytes; 0 leaves them to Config. Only for what begins
	Congestion              string // the name of congestion control,
	Recovery                string // and of loss recovery
}

// NoLinger means that Close returns at once and delivery goes on.
const NoLinger = time.Duration(-1)

// initialOptions are those that connections begin with.
func (c *Config) initialOptions() SocketOptions {
	return SocketOptions{
		Congestion:        c.Congestion,
		Recovery:          c.Recovery,
		NoDelay:           true, // as package net has it
		KeepAliveIdle:     2 * time.Hour,
		KeepAliveInterval: 75 * time.Second,
		KeepAliveCount:    9,
		Linger:            NoLinger,
	}
}

// checkOptions says whether the names in o are known.
func (c *Config) checkOptions(o *SocketOptions) error {
	if _, err := c.controller(o.Congestion); err != nil {
		return err
	}
	_, err := newDetector(o.Recovery, true, new(rack))
	return err
}

// Options are the options of t, which may change until the next call of ownOptions.
func (t *TCB) Options() *SocketOptions { return t.opts }

// OwnOptions are the options of t, to be changed.
func (t *TCB) OwnOptions() *SocketOptions {
	own := *t.opts
	t.opts = &own
	return t.opts
}

// adopt has t, which has only begun, take the options o.
func (t *TCB) adopt(o *SocketOptions) {
	t.opts = o
	if o.ReadBuffer > 0 {
		t.SetReadBuffer(o.ReadBuffer)
	}
	if o.WriteBuffer > 0 {
		t.sendq.limit, t.sendFixed = o.WriteBuffer, true
	}
}

// SetReadBuffer bounds what waits to be read, in bytes, and ends its tuning. The
// bound can grow only: the peer was promised what it is.
func (t *TCB) SetReadBuffer(bytes int) { t.recvq.limit, t.recvFixed = max(t.recvq.limit, bytes), true }

// SetWriteBuffer bounds what waits to be acknowledged, in bytes, and ends its
// tuning.
func (t *TCB) SetWriteBuffer(bytes int) { t.sendq.limit, t.sendFixed = max(bytes, 4*t.snd.mss), true }

// SetKeepAlive switches keep-alive probes on or off. The time counts from now.
func (t *TCB) SetKeepAlive(now time.Time, on bool) {
	t.OwnOptions().KeepAlive = on
	t.keepAliveAt, t.keepAlives = time.Time{}, 0
	if on {
		t.keepAliveAt = now.Add(t.opts.KeepAliveIdle)
	}
}
