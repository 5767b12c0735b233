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

// The addresses of the stack and of the peer.
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
	tolerance   time.Duration
	mtu         int
	bindPort    uint16
	connectPort uint16
	wraps       int  // the connection whose numbers begin shortly before the wrap on our side; 0 for none
	cut         bool // trains are cut before they are looked at
	tcp         tcp.Config
}

// configure applies the settings of s.
func (s *Script) configure(tolerance time.Duration) (config, error) {
	cfg := config{tolerance: tolerance, mtu: 1500, bindPort: 8080, connectPort: 8080, wraps: 1}
	for _, set := range s.settings {
		if err := cfg.set(set.name, set.value); err != nil {
			return cfg, &Error{File: s.Name, Line: set.line, Message: fmt.Sprintf("--%s=%s: %v", set.name, set.value, err)}
		}
	}
	return cfg, nil
}

func (c *config) set(name, value string) (err error) {
	if field, ok := strings.CutPrefix(name, "tcp."); ok {
		return setField(&c.tcp, field, value)
	}
	n, err := strconv.ParseUint(value, 10, 31)
	switch name {
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
