package tcp

import (
	"net"
	"time"
)

// ConnOptions are what a connection begins with: the options of sockets, by
// value. They hold from the SYN on, or, of a listener, for all that it accepts.
// The zero value of each field leaves what [Config] says.
type ConnOptions struct {
	// KeepAlive is as for [Conn.SetKeepAliveConfig]. Without Enable there is none.
	KeepAlive net.KeepAliveConfig

	// Nagle has small segments wait while something is in flight: the opposite
	// of [Conn.SetNoDelay].
	Nagle bool

	// UserTimeout is as for [Conn.SetUserTimeout].
	UserTimeout time.Duration

	// TOS and TTL are as for [Conn.SetTOS] and [Conn.SetTTL].
	TOS, TTL uint8

	// ReadBuffer and WriteBuffer are as for [Conn.SetReadBuffer] and
	// [Conn.SetWriteBuffer], in bytes.
	ReadBuffer, WriteBuffer int

	// CongestionControl and LossRecovery are as for [Conn.SetCongestionControl]
	// and [Conn.SetLossRecovery]. An unknown name fails the Dial or Listen.
	CongestionControl, LossRecovery string
}

// socketOptions are o over those of c, which has its defaults.
func (o *ConnOptions) socketOptions(c *Config) (*socketOptions, error) {
	if *o == (ConnOptions{}) {
		return &c.options, nil
	}
	s := c.options
	if o.KeepAlive.Enable {
		s.setKeepAlive(o.KeepAlive)
	}
	s.noDelay = !o.Nagle
	if o.UserTimeout > 0 {
		s.userTimeout = o.UserTimeout
	}
	s.tos, s.ttl = o.TOS, o.TTL
	s.readBuffer, s.writeBuffer = o.ReadBuffer, o.WriteBuffer
	if name := o.CongestionControl; name != "" {
		if _, err := c.controller(name); err != nil {
			return nil, err
		}
		s.congestion = name
	}
	if name := o.LossRecovery; name != "" {
		if _, err := newDetector(name, true); err != nil {
			return nil, err
		}
		s.recovery = name
	}
	return &s, nil
}

// adopt has t, which has only begun, take the options o.
func (t *tcb) adopt(o *socketOptions) {
	t.opts = o
	if o.readBuffer > 0 {
		t.recvq.limit, t.recvFixed = max(t.recvq.limit, o.readBuffer), true
	}
	if o.writeBuffer > 0 {
		t.sendq.limit, t.sendFixed = o.writeBuffer, true
	}
}

// What package net has in the place of zeros in a net.KeepAliveConfig.
const (
	keepAliveTime  = 15 * time.Second
	keepAliveCount = 9
)

// setKeepAlive takes k, whose zeros are package net's, and whose negative fields
// leave what there is.
func (o *socketOptions) setKeepAlive(k net.KeepAliveConfig) {
	o.keepAlive = k.Enable
	set(&o.keepAliveIdle, k.Idle, keepAliveTime)
	set(&o.keepAliveInterval, k.Interval, keepAliveTime)
	set(&o.keepAliveCount, k.Count, keepAliveCount)
}

func set[T int | time.Duration](v *T, to, zero T) {
	switch {
	case to == 0:
		*v = zero
	case to > 0:
		*v = to
	}
}
