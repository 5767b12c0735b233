package tcp

import "time"

// socketOptions is what the user may change on a connection.
type socketOptions struct {
	noDelay           bool
	keepAlive         bool
	keepAliveIdle     time.Duration
	keepAliveInterval time.Duration
	keepAliveCount    int
	userTimeout       time.Duration // 0 while the user has set none
	linger            time.Duration // how long Close waits; 0 for a reset, noLinger for no wait
	tos, ttl          uint8

	readBuffer, writeBuffer int    // bytes; 0 leaves them to Config. Only for what begins
	congestion              string // the name of congestion control,
	recovery                string // and of loss recovery
}

// noLinger means that Close returns at once and delivery goes on.
const noLinger = time.Duration(-1)

// initialOptions are those that connections begin with.
func (c *Config) initialOptions() socketOptions {
	return socketOptions{
		congestion:        c.Congestion,
		recovery:          c.Recovery,
		noDelay:           true, // as package net has it
		keepAliveIdle:     2 * time.Hour,
		keepAliveInterval: 75 * time.Second,
		keepAliveCount:    9,
		linger:            noLinger,
	}
}

// checkOptions says whether the names in o are known.
func (c *Config) checkOptions(o *socketOptions) error {
	if _, err := c.controller(o.congestion); err != nil {
		return err
	}
	_, err := newDetector(o.recovery, true, new(rack))
	return err
}

// options are the options of t, which may change until the next call of ownOptions.
func (t *tcb) options() *socketOptions { return t.opts }

// ownOptions are the options of t, to be changed.
func (t *tcb) ownOptions() *socketOptions {
	own := *t.opts
	t.opts = &own
	return t.opts
}

// adopt has t, which has only begun, take the options o.
func (t *tcb) adopt(o *socketOptions) {
	t.opts = o
	if o.readBuffer > 0 {
		t.setReadBuffer(o.readBuffer)
	}
	if o.writeBuffer > 0 {
		t.sendq.limit, t.sendFixed = o.writeBuffer, true
	}
}

// setReadBuffer bounds what waits to be read, in bytes, and ends its tuning. The
// bound can grow only: the peer was promised what it is.
func (t *tcb) setReadBuffer(bytes int) { t.recvq.limit, t.recvFixed = max(t.recvq.limit, bytes), true }

// setWriteBuffer bounds what waits to be acknowledged, in bytes, and ends its
// tuning.
func (t *tcb) setWriteBuffer(bytes int) { t.sendq.limit, t.sendFixed = max(bytes, 4*t.snd.mss), true }

// setKeepAlive switches keep-alive probes on or off. The time counts from now.
func (t *tcb) setKeepAlive(now time.Time, on bool) {
	t.ownOptions().keepAlive = on
	t.keepAliveAt, t.keepAlives = time.Time{}, 0
	if on {
		t.keepAliveAt = now.Add(t.opts.keepAliveIdle)
	}
}
