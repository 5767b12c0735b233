package gonet

import (
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/link"
)

// TestConfigKeepAlive: the fields of Config reach the stack.
func TestConfigKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			cfg  Config
			want net.KeepAliveConfig
		}{
			{Config{}, net.KeepAliveConfig{Enable: true}},
			{Config{KeepAlive: time.Minute}, net.KeepAliveConfig{Enable: true, Idle: time.Minute}},
			{Config{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Count: 3}, KeepAlive: -1}, net.KeepAliveConfig{Enable: true, Count: 3}},
		} {
			c.cfg.Link, c.cfg.Addr = link.Loopback(0), netip.MustParsePrefix("10.0.0.1/24")
			s, err := New(c.cfg)
			if err != nil {
				t.Fatal(err)
			}
			if s.keepAlive != c.want {
				t.Errorf("%+v, want %+v", s.keepAlive, c.want)
			}
			s.Close()
		}
	})
}
