package packetdrill

import (
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/tcp"
)

// The addresses of the stack and of the peer, unless a script has others.
var (
	ourAddr  = netip.MustParseAddr("10.0.0.2")
	peerAddr = netip.MustParseAddr("10.0.0.1")
)

// maxPeers is how many connections of the peer's side a script may have.
const maxPeers = 1000

// peerPort is the port of peer 0, which is none.
const peerPort = 40000

// A config is what the settings of a script make of a run.
type config struct {
	linux       bool
	tolerance   time.Duration
	percent     float64       // of the time since the event before, where that is more than tolerance
	tick        time.Duration // of our timestamps: when it is not 0, their values are compared
	mtu         int
	local       netip.Addr // of the stack
	remote      netip.Addr
	bindPort    uint16
	connectPort uint16
	wraps       int  // the connection whose numbers begin shortly before the wrap on our side; 0 for none
	train       int  // text in each segment of what arrives joined
	cut         bool // trains are cut before they are looked at
	strict      bool // with linux: a packet of the script is one of the stack
	fastOpen    int  // of listeners that do not say
	noClient    bool // no Fast Open where the stack connects,
	noServer    bool // and where it listens
	tcp         tcp.Config
}

// configure applies the settings of s, and the commands before its events.
func (s *Script) configure(o *Options) (config, error) {
	cfg := config{
		linux: o.Linux, tolerance: o.Tolerance, mtu: 1500,
		local: ourAddr, remote: peerAddr, bindPort: 8080, connectPort: 8080, wraps: 1,
	}
	if o.Linux {
		cfg.cut = true
		cfg.tolerance, cfg.percent = max(linuxTolerance, o.Tolerance), linuxPercent
	}
	for _, text := range o.Settings {
		name, value, _ := strings.Cut(text, "=")
		if err := cfg.set(name, value); err != nil {
			return cfg, &Error{File: s.Name, Line: 1, Message: fmt.Sprintf("setting %s: %v", text, err), Refused: true}
		}
	}
	for _, set := range s.settings {
		if err := cfg.set(set.name, set.value); err != nil {
			return cfg, &Error{File: s.Name, Line: set.line, Message: fmt.Sprintf("--%s=%s: %v", set.name, set.value, err), Refused: true}
		}
	}
	for _, c := range s.initial() {
		if err := c.apply(&cfg); err != nil {
			return cfg, &Error{File: s.Name, Line: c.line, Message: err.Error(), Refused: true}
		}
	}
	return cfg, cfg.check(s)
}

// initial are the commands that set the stack up: those without a time, and
// those in front of all other events.
func (s *Script) initial() []*commands {
	list := s.commands
	for i := range s.events {
		c, ok := s.events[i].do.(*commands)
		if !ok {
			break
		}
		list = append(list[:len(list):len(list)], c)
	}
	return list
}

// maxSegment takes TCP_MAXSEG from the calls of the script: here it belongs to
// the stack, and must be the same for all sockets.
func (c *config) maxSegment(s *Script) error {
	sockets, set, before := 0, 0, 0
	for i := range s.events {
		call, ok := s.events[i].do.(*call)
		if ok && call.name == "socket" {
			sockets++
		}
		if !ok || call.name != "setsockopt" || !call.args[2].is("TCP_MAXSEG") {
			continue
		}
		n := int(call.args[3].one().number)
		set++
		if c.tcp.MSS = n; n <= 0 || before != 0 && before != n {
			return &Error{File: s.Name, Line: s.events[i].line, Message: "TCP_MAXSEG is the same for all sockets here, and more than 0", Refused: true}
		}
		before = n
	}
	if set > 0 && set < sockets {
		return &Error{File: s.Name, Line: 1, Message: "TCP_MAXSEG must be set for all sockets", Refused: true}
	}
	return nil
}

// check looks at what the settings have made together.
func (c *config) check(s *Script) error {
	if err := c.maxSegment(s); err != nil {
		return err
	}
	if c.local == c.remote {
		return &Error{File: s.Name, Line: 1, Message: fmt.Sprintf("both ends have the address %v", c.local), Refused: true}
	}
	return nil
}

// offeredMSS is the MSS on SYNs of the stack.
func (c *config) offeredMSS() int {
	mss := c.mtu - ipLen - tcpLen
	if c.tcp.MSS > 0 {
		mss = min(mss, c.tcp.MSS)
	}
	return mss
}

// gateway is the router to a peer that is on another network; the zero Addr
// when there is none.
func (c *config) gateway() netip.Addr {
	if netip.PrefixFrom(c.local, 24).Masked().Contains(c.remote) {
		return netip.Addr{}
	}
	a := c.local.As4()
	if a[3] = 254; netip.AddrFrom4(a) == c.local {
		a[3] = 253
	}
	return netip.AddrFrom4(a)
}

// What packetdrill has as tolerance where a script says nothing.
const (
	linuxTolerance = 4 * time.Millisecond
	linuxPercent   = 12.5
)

// setAddress sets an address of the wire. A prefix length behind it is for a
// real host.
func setAddress(at *netip.Addr, value string) error {
	value, _, _ = strings.Cut(value, "/")
	a, err := netip.ParseAddr(value)
	if err == nil && (!a.Is4() || a.IsUnspecified() || a.IsMulticast()) {
		err = fmt.Errorf("there is IPv4 only, and the address must be a host's")
	}
	if err == nil {
		*at = a
	}
	return err
}

func (c *config) set(name, value string) (err error) {
	if field, ok := strings.CutPrefix(name, "tcp."); ok {
		return setField(&c.tcp, field, value)
	}
	n, err := strconv.ParseUint(value, 10, 31)
	switch name {
	case "define": // done when it was read
		err = nil
	case "local_ip":
		err = setAddress(&c.local, value)
	case "remote_ip":
		err = setAddress(&c.remote, value)
	case "netmask_ip", "gateway_ip", "speed", "send_omit_free", "is_anyip", "tcp_ts_ecr_scaled":
		if err = nil; !c.linux { // they are about the host that packetdrill runs on, or always so here
			err = fmt.Errorf("no such option here")
		}
	case "tolerance_percent":
		c.percent, err = strconv.ParseFloat(value, 64)
	case "tcp_ts_tick_usecs":
		c.tick = time.Duration(n) * time.Microsecond
	case "strict_segments":
		c.strict, err = true, nil
	case "mss":
		if c.train = int(n); err == nil && (n < 1 || n > 65535) {
			err = fmt.Errorf("an MSS is from 1 to 65535")
		}
	case "tolerance_usecs":
		c.tolerance = time.Duration(n) * time.Microsecond
	case "mtu":
		if c.mtu = int(n); err == nil && (n < 68 || n > 65535) {
			err = fmt.Errorf("an MTU is from 68 to 65535")
		}
	case "bind_port":
		c.bindPort = uint16(n)
	case "connect_port":
		c.connectPort = uint16(n)
	case "tso":
		c.cut = n == 0
	case "ip_version":
		if err = nil; value != "ipv4" {
			err = fmt.Errorf("there is IPv4 only")
		}
	case "isn":
		if c.wraps = int(n); value == "any" {
			c.wraps, err = 0, nil
		}
	default:
		return fmt.Errorf("no such option here")
	}
	return err
}

// setField sets a field of a Config by its name.
func setField(cfg any, name, value string) error {
	f := reflect.ValueOf(cfg).Elem().FieldByName(name)
	if !f.IsValid() {
		return fmt.Errorf("tcp.Config has no such field")
	}
	if f.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(value)
		f.SetInt(int64(d))
		return err
	}
	switch f.Kind() {
	case reflect.String:
		f.SetString(value)
		return nil
	case reflect.Bool:
		v, err := strconv.ParseBool(value)
		f.SetBool(v)
		return err
	}
	if !f.CanInt() && !f.CanUint() {
		return fmt.Errorf("a field of type %v cannot be set", f.Type())
	}
	v, err := strconv.ParseUint(value, 10, min(31, f.Type().Bits()))
	if f.CanInt() {
		f.SetInt(int64(v))
	} else {
		f.SetUint(v)
	}
	return err
}
