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
func callSetOption(r *run, s *socket, c *call) (work, deadline, error) {
	name, v := c.args[2].String(), c.args[3].one()
	if name == "TCP_FASTOPEN" && r.cfg.noServer {
		return atOnce(0, nil), nil, nil
	}
	set, err := s.option(name, v)
	if err != nil || set == nil {
		if err == nil {
			s.values[name] = *v
		}
		return atOnce(0, nil), nil, err
	}
	s.values[name] = *v
	if s.conn == nil {
		s.options = append(s.options, set)
		return atOnce(0, nil), nil, nil
	}
	return func() outcome { return outcome{err: set(s.conn)} }, nil, nil
}

// A setter sets an option of a connection.
type setter func(*tcp.Conn) error

// settable are the options of a connection that are a number.
var settable = map[string]func(s *socket, n int) setter{
	"SO_KEEPALIVE": func(s *socket, n int) setter {
		s.keep.Enable = n != 0
		return s.setKeepAlive()
	},
	"TCP_KEEPIDLE": func(s *socket, n int) setter {
		s.keep.Idle = time.Duration(n) * time.Second
		return s.setKeepAlive()
	},
	"TCP_KEEPINTVL": func(s *socket, n int) setter {
		s.keep.Interval = time.Duration(n) * time.Second
		return s.setKeepAlive()
	},
	"TCP_KEEPCNT": func(s *socket, n int) setter {
		s.keep.Count = n
		return s.setKeepAlive()
	},
	"TCP_NODELAY": func(s *socket, n int) setter {
		s.flushHeld()
		return func(c *tcp.Conn) error { return c.SetNoDelay(n != 0) }
	},
	"TCP_USER_TIMEOUT": func(_ *socket, n int) setter {
		return func(c *tcp.Conn) error { return c.SetUserTimeout(time.Duration(n) * time.Millisecond) }
	},
	"SO_RCVBUF": func(_ *socket, n int) setter {
		return func(c *tcp.Conn) error { return c.SetReadBuffer(n) }
	},
	"SO_SNDBUF": func(_ *socket, n int) setter {
		return func(c *tcp.Conn) error { return c.SetWriteBuffer(n) }
	},
	"IP_TOS": func(_ *socket, n int) setter {
		return func(c *tcp.Conn) error { return c.SetTOS(uint8(n)) }
	},
	"IP_TTL": func(_ *socket, n int) setter {
		return func(c *tcp.Conn) error { return c.SetTTL(uint8(n)) }
	},
	"TCP_SYNCNT": func(s *socket, n int) setter {
		s.giveUpAfter = synTimeout(n)
		return nil
	},
	"TCP_FASTOPEN_CONNECT": func(s *socket, n int) setter {
		s.fastConnect = n != 0
		return nil
	},
	"TCP_INQ": func(*socket, int) setter { return nil }, // recvmsg looks at it
}

// ignored are options that mean nothing here, or what is the case in any case.
var ignored = map[string]bool{"SO_REUSEADDR": true, "SO_REUSEPORT": true, "IP_FREEBIND": true}

// refusedOptions are those of public scripts that a socket of ours has not.
var refusedOptions = map[string]string{
	"SO_MARK":          "nothing routes by marks",
	"SO_TIMESTAMPING":  "there is no queue of errors and timestamps",
	"SO_ZEROCOPY":      "there is no queue of errors and timestamps",
	"TCP_FASTOPEN_KEY": "the keys of cookies are the stack's own",
}

// option is what sets an option of a connection; nil for one that is kept by
// the socket.
func (s *socket) option(name string, v *value) (setter, error) {
	if why := refusedOptions[name]; why != "" {
		return nil, fmt.Errorf("socket option %s: %s", name, why)
	}
	if set := settable[name]; set != nil {
		if !v.isNum || int64(int32(v.number)) != v.number {
			return nil, fmt.Errorf("the value of %s is a number: [1]", name)
		}
		return set(s, int(v.number)), nil
	}
	switch {
	case ignored[name]:
		return nil, nil
	case name == "TCP_FASTOPEN":
		if s.fastOpen = int(v.number); s.listener != nil {
			return nil, s.listener.SetFastOpen(s.fastOpen)
		}
		return nil, nil
	case name == "SO_LINGER":
		seconds := -1
		if v.field("onoff").number != 0 || v.field("l_onoff").number != 0 {
			seconds = int(v.field("linger").number + v.field("l_linger").number)
		}
		return func(c *tcp.Conn) error { return c.SetLinger(seconds) }, nil
	case name == "TCP_NOTSENT_LOWAT" && (v.number == 1<<32-1 || v.number == -1): // no bound
		return nil, nil
	case name == "TCP_MAXSEG" && s.conn == nil: // the stack was made with it
		return nil, nil
	case name == "TCP_CORK":
		s.cork(v.number != 0)
		return nil, nil
	case name == "IP_MTU_DISCOVER" && (v.is("IP_PMTUDISC_WANT") || v.is("IP_PMTUDISC_DO")): // as it is
		return nil, nil
	case name == "TCP_CONGESTION":
		return func(c *tcp.Conn) error { return c.SetCongestionControl(v.text) }, nil
	case name == "TCP_RECOVERY": // by name here
		return func(c *tcp.Conn) error { return c.SetLossRecovery(v.text) }, nil
	}
	return nil, fmt.Errorf("no socket option %s of %v", name, *v)
}

func (s *socket) setKeepAlive() setter {
	keep := s.keep
	for _, d := range []*time.Duration{&keep.Idle, &keep.Interval} {
		*d = cmp.Or(*d, -1) // what the script has not set stays
	}
	keep.Count = cmp.Or(keep.Count, -1)
	return func(c *tcp.Conn) error { return c.SetKeepAliveConfig(keep) }
}

// callGetOption compares the value of an option with that in brackets.
func callGetOption(r *run, s *socket, c *call) (work, deadline, error) {
	if !c.args[3].isList || len(c.args[3].list) != 1 {
		return nil, nil, fmt.Errorf("the value that is expected stands in brackets")
	}
	name := c.args[2].String()
	got, known := s.values[name]
	switch {
	case name == "SO_ERROR":
		got, known = s.pendingError(), true
	case name == "TCP_MAXSEG" && s.conn != nil:
		got, known = value{number: int64(s.conn.Info().SendMSS), isNum: true}, true
	case name == "IP_MTU" && s.conn != nil:
		got, known = value{number: int64(s.conn.Info().PathMTU), isNum: true}, true
	}
	if r.cfg.linux && (name == "SO_SNDBUF" || name == "SO_RCVBUF") {
		got.number *= 2 // Linux counts its own memory too
	}
	if !known {
		return nil, nil, fmt.Errorf("socket option %s cannot be asked for, unless it was set", name)
	}
	if want := c.args[3].list[0]; got.String() != want.String() {
		return atOnce(0, fmt.Errorf("the option as %v", got)), nil, nil
	}
	return atOnce(0, nil), nil, nil
}

// pendingError is the error of a connect: a name, or 0.
func (s *socket) pendingError() value {
	if s.dial != nil && !s.dialling() && s.dial.err != nil {
		return value{words: []string{errnoName(s.dial.err)}}
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
		return atOnce(0, fmt.Errorf("%d bytes queued", n)), nil, nil
	}
	return atOnce(0, nil), nil, nil
}
