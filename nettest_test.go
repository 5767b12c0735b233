package gonet

import (
	"net"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/seed-012105e5/gonet/link"
)

// TestConn runs the tests that golang.org/x/net has for any net.Conn. They
// run in real time, as they have deadlines and no bubble.
func TestConn(t *testing.T) {
	impair := link.Impairment{
		Delay: 200 * time.Microsecond, Jitter: 100 * time.Microsecond,
		Loss: 0.002, Reorder: 0.02, Duplicate: 0.01, Corrupt: 0.002, Seed: 1,
	}
	for name, middleware := range map[string][]link.Middleware{
		"Pipe":     nil,
		"Impaired": {impair.Middleware()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				p := newPair(t, middleware...)
				c1, c2 = p.connect(t)
				return c1, c2, p.close, nil
			})
		})
	}
	t.Run("Loopback", func(t *testing.T) {
		t.Parallel()
		nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
			host := newHost(t, link.Loopback(0), "10.0.0.1/24", 1)
			c1, c2 = connect(t, host, host, "127.0.0.1:0")
			return c1, c2, func() { host.Close() }, nil
		})
	})
}
