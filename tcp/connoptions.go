package tcp

import (
	"net"
	"time"

	"github.com/seed-012105e5/gonet/tcp/machine"
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

// over are o over the options base.
func (o *ConnOptions) over(base *machine.SocketOptions) *machine.SocketOptions {
	if *o == (ConnOptions{}) {
		return base
	}
	s := *base
	if o.KeepAlive.Enable {
		setKeepAlive(&s, o.KeepAlive)
	}
	s.NoDelay = !o.Nagle
	if o.UserTimeout > 0 {
		s.UserTimeout = o.UserTimeout
	}
	s.TOS, s.TTL = o.TOS, o.TTL
	s.ReadBuffer, s.WriteBuffer = o.ReadBuffer, o.WriteBuffer
	if o.CongestionControl != "" {
		s.Congestion = o.CongestionControl
	}
	if o.LossRecovery != "" {
		s.Recovery = o.LossRecovery
	}
	return &s
}

// What package net has in the place of zeros in a net.KeepAliveConfig.
const (
	keepAliveTime  = 15 * time.Second
	keepAliveCount = 9
)

// setKeepAlive takes k, whose zeros are package net's, and whose negative fields
// leave what there is.
func setKeepAlive(o *machine.SocketOptions, k net.KeepAliveConfig) {
	o.KeepAlive = k.Enable
	set(&o.KeepAliveIdle, k.Idle, keepAliveTime)
	set(&o.KeepAliveInterval, k.Interval, keepAliveTime)
	set(&o.KeepAliveCount, k.Count, keepAliveCount)
}

func set[T int | time.Duration](v *T, to, zero T) {
	switch {
	case to == 0:
		*v = zero
	case to > 0:
		*v = to
	}
}
