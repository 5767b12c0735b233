package tcp

import (
	"errors"
	"net"
	"testing"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/tcp/congestion"
)

// TestChangeControl: MAY-18: congestion control and loss recovery are
// changed by name while the connection lives; a name that nothing has changes
// nothing.
func TestChangeControl(t *testing.T) {
	withPeer(t, Config{Controllers: tcptest.ControllersOfTests()}, func(p *peer) {
		c := p.connected()
		for _, name := range append(congestion.Names(), "halving", "cubic") {
			if err := c.SetCongestionControl(name); err != nil || c.Info().CongestionControl != name {
				t.Errorf("%s: %v, and has %s", name, err, c.Info().CongestionControl)
			}
		}
		for _, name := range []string{"sack", "newreno", "rack"} {
			if err := c.SetLossRecovery(name); err != nil || c.Info().LossRecovery != "newreno" { // the peer has no SACK
				t.Errorf("%s: %v, and has %s", name, err, c.Info().LossRecovery)
			}
		}
		for _, err := range []error{c.SetCongestionControl("nothing"), c.SetLossRecovery("nothing")} {
			if e := (*net.OpError)(nil); !errors.As(err, &e) {
				t.Errorf("what nothing has: %v", err)
			}
		}
		if i := c.Info(); i.CongestionControl != "cubic" || i.LossRecovery != "newreno" {
			t.Errorf("has %s and %s now", i.CongestionControl, i.LossRecovery)
		}
		c.Close()
		p.want("its FIN", "F. 1:1(0) ack 1")
		if err := c.SetCongestionControl("reno"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}
