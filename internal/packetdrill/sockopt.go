package packetdrill

import (
	"cmp"
	"fmt"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/tcp"
)

// applyOptions sets on a new connection what was set on its socket before.
func (s *socket) applyOptions() error {
	for _, set := range s.options {
		if err := set(s.conn); err != nil {
			return err
		}
	}
	return nil
}

// callSetOption sets an option, now or as soon as there is a connection. An
// accepted connection has the options of its listener.
func callSetOption(_ *run, s *socket, c *call) (work, deadline, error) {
	set, err := s.option(c)
	if err != nil || set == nil {
		return atOnce(0, nil), nil, err
	}
	if s.conn == nil {
		s.options = append(s.options, set)
		return atOnce(0, nil), nil, nil
	}
	return func() outcome { return outcome{err: set(s.conn)} }, nil, nil
}

// option is what sets an option of a connection; nil for one that means
// nothing here.
func (s *socket) option(c *call) (func(*tcp.Conn) error, error) {
	v := &c.args[3]
	n := 0
	if len(v.list) == 1 && v.list[0].isNum {
		n = int(v.list[0].number)
	}
	name := c.args[2].String()
	switch name {
	case "SO_REUSEADDR", "SO_REUSEPORT":
		return nil, nil
	case "TCP_FASTOPEN":
		if s.fastOpen = n; s.listener != nil {
			return nil, s.listener.SetFastOpen(n)
		}
		return nil, nil
	case "SO_LINGER":
		seconds := -1
		if v.fields["onoff"].number != 0 || v.fields["l_onoff"].number != 0 {
			seconds = int(v.fields["linger"].number + v.fields["l_linger"].number)
		}
		return func(c *tcp.Conn) error { return c.SetLinger(seconds) }, nil
	case "SO_KEEPALIVE":
		s.keep.Enable = n != 0
		return s.setKeepAlive(), nil
	case "TCP_KEEPIDLE":
		s.keep.Idle = time.Duration(n) * time.Second
		return s.setKeepAlive(), nil
	case "TCP_KEEPINTVL":
		s.keep.Interval = time.Duration(n) * time.Second
		return s.setKeepAlive(), nil
	case "TCP_KEEPCNT":
		s.keep.Count = n
		return s.setKeepAlive(), nil
	case "TCP_NODELAY":
		return func(c *tcp.Conn) error { return c.SetNoDelay(n != 0) }, nil
	case "TCP_USER_TIMEOUT":
		return func(c *tcp.Conn) error { return c.SetUserTimeout(time.Duration(n) * time.Millisecond) }, nil
	case "SO_RCVBUF":
		return func(c *tcp.Conn) error { return c.SetReadBuffer(n) }, nil
	case "SO_SNDBUF":
		return func(c *tcp.Conn) error { return c.SetWriteBuffer(n) }, nil
	case "IP_TOS":
		return func(c *tcp.Conn) error { return c.SetTOS(uint8(n)) }, nil
	case "IP_TTL":
		return func(c *tcp.Conn) error { return c.SetTTL(uint8(n)) }, nil
	case "TCP_CONGESTION":
		return func(c *tcp.Conn) error { return c.SetCongestionControl(v.text) }, nil
	case "TCP_RECOVERY": // by name here
		return func(c *tcp.Conn) error { return c.SetLossRecovery(v.text) }, nil
	}
	return nil, fmt.Errorf("no socket option %q", name)
}

func (s *socket) setKeepAlive() func(*tcp.Conn) error {
	keep := s.keep
	for _, d := range []*time.Duration{&keep.Idle, &keep.Interval} {
		*d = cmp.Or(*d, -1) // what the script has not set stays
	}
	keep.Count = cmp.Or(keep.Count, -1)
	return func(c *tcp.Conn) error { return c.SetKeepAliveConfig(keep) }
}

// callGetOption compares the value of an option with that in brackets.
func callGetOption(_ *run, s *socket, c *call) (work, deadline, error) {
	if len(c.args[3].list) != 1 {
		return nil, nil, fmt.Errorf("the value that is expected stands in brackets")
	}
	var got value
	switch name := c.args[2].String(); name {
	case "SO_ERROR":
		got = s.pendingError()
	case "TCP_MAXSEG":
		if s.conn == nil {
			return atOnce(0, syscall.ENOTCONN), nil, nil
		}
		got = value{number: int64(s.conn.Info().SendMSS), isNum: true}
	default:
		return nil, nil, fmt.Errorf("no socket option %q can be asked for", name)
	}
	want := &c.args[3].list[0]
	if got.String() != want.String() || got.number != want.number {
		return nil, nil, fmt.Errorf("the option is %v%d", got, got.number)
	}
	return atOnce(0, nil), nil, nil
}

// pendingError is the error of a connect: a name, or 0.
func (s *socket) pendingError() value {
	if s.dial != nil {
		select {
		case <-s.dial.done:
			if s.dial.err != nil {
				return value{words: []string{errnoName(s.dial.err)}}
			}
		default:
		}
	}
	return value{isNum: true}
}

// callIoctl asks how much is queued.
func callIoctl(_ *run, s *socket, c *call) (work, deadline, error) {
	if s.conn == nil {
		return atOnce(0, syscall.ENOTCONN), nil, nil
	}
	info := s.conn.Info()
	got := map[string]int{
		"SIOCINQ": info.ReceiveQueue, "SIOCOUTQ": info.SendQueue, "SIOCOUTQNSD": info.SendQueue - info.Unacked,
	}
	n, ok := got[c.args[1].String()]
	if !ok || len(c.args[2].list) != 1 {
		return nil, nil, fmt.Errorf("ioctl knows SIOCINQ, SIOCOUTQ and SIOCOUTQNSD, with a number in brackets")
	}
	if int64(n) != c.args[2].list[0].number {
		return nil, nil, fmt.Errorf("%d bytes are queued", n)
	}
	return atOnce(0, nil), nil, nil
}
