package udp

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/seed-012105e5/gonet/internal/port"
)

// RFC1122-4.1.3.5-2: the application sets the local address, or leaves it open.
func TestListen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		for _, test := range []struct {
			local netip.AddrPort
			want  string
			err   error
		}{
			{addr("10.0.0.2:53"), "10.0.0.2:53", nil},
			{addr("[::ffff:10.0.0.2]:54"), "10.0.0.2:54", nil},
			{addr("127.0.0.1:53"), "127.0.0.1:53", nil},
			{addr("10.0.0.255:53"), "10.0.0.255:53", nil},
			{addr("255.255.255.255:53"), "255.255.255.255:53", nil},
			{addr("239.1.2.3:53"), "239.1.2.3:53", nil},
			{addr("0.0.0.0:55"), "0.0.0.0:55", nil},
			{addr("[::]:56"), "0.0.0.0:56", nil},
			{netip.AddrPortFrom(netip.Addr{}, 57), "0.0.0.0:57", nil},
			{addr("10.0.0.2:53"), "", syscall.EADDRINUSE},
			{addr("0.0.0.0:53"), "", syscall.EADDRINUSE},
			{addr("10.0.0.9:53"), "", syscall.EADDRNOTAVAIL},
			{addr("192.0.2.7:53"), "", syscall.EADDRNOTAVAIL},
			{addr("[2001:db8::1]:53"), "", syscall.EAFNOSUPPORT},
		} {
			c, err := r.Listen(test.local)
			var op *net.OpError
			switch {
			case test.err == nil && (err != nil || c.LocalAddr().String() != test.want || c.RemoteAddr() != nil):
				t.Errorf("%v: %v", test.local, err)
			case test.err != nil && (!errors.Is(err, test.err) || !errors.As(err, &op) || op.Op != "listen" || op.Net != "udp"):
				t.Errorf("%v: %v, want %v", test.local, err, test.err)
			}
		}
		a, err := r.Listen(netip.AddrPort{})
		if err != nil || a.LocalAddr().(*net.UDPAddr).Port < port.First {
			t.Errorf("ephemeral: %v, %v", a.LocalAddr(), err)
		}
	})
}

// RFC1122-4.1.3.5-3, RFC1122-4.1.3.6-2: a connected socket gets one of the host's addresses, the one that the
// route starts at.
func TestDial(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		for _, test := range []struct {
			local, remote string
			from, to      string
			err           error
		}{
			{"0.0.0.0:7", "10.0.0.9:53", "10.0.0.2:7", "10.0.0.9:53", nil},
			{"0.0.0.0:7", "192.0.2.7:53", "10.0.0.2:7", "192.0.2.7:53", nil},
			{"0.0.0.0:7", "172.16.3.4:53", "172.16.0.2:7", "172.16.3.4:53", nil},
			{"172.16.0.2:7", "10.0.0.9:53", "172.16.0.2:7", "10.0.0.9:53", nil},
			{"0.0.0.0:7", "127.0.0.1:53", "127.0.0.1:7", "127.0.0.1:53", nil},
			{"0.0.0.0:8", "0.0.0.0:53", "127.0.0.1:8", "127.0.0.1:53", nil},
			{"0.0.0.0:7", "[::ffff:10.0.0.8]:53", "10.0.0.2:7", "10.0.0.8:53", nil},
			{"0.0.0.0:7", "255.255.255.255:53", "10.0.0.2:7", "255.255.255.255:53", nil},
			{"10.0.0.2:7", "10.0.0.9:53", "", "", syscall.EADDRINUSE},
			{"10.0.0.3:7", "10.0.0.9:53", "", "", syscall.EADDRNOTAVAIL},
			{"239.1.2.3:7", "10.0.0.9:53", "", "", syscall.EADDRNOTAVAIL},
			{"127.0.0.1:7", "10.0.0.9:53", "", "", syscall.EINVAL},
			{"0.0.0.0:7", "10.0.0.9:0", "", "", syscall.EINVAL},
			{"0.0.0.0:7", "[2001:db8::1]:53", "", "", syscall.EAFNOSUPPORT},
			{"[2001:db8::1]:7", "10.0.0.9:53", "", "", syscall.EAFNOSUPPORT},
		} {
			c, err := r.Dial(addr(test.local), addr(test.remote))
			var op *net.OpError
			switch {
			case test.err == nil && (err != nil || c.LocalAddr().String() != test.from || c.RemoteAddr().String() != test.to):
				t.Errorf("%s to %s: %v", test.local, test.remote, err)
			case test.err != nil && (!errors.Is(err, test.err) || !errors.As(err, &op) || op.Op != "dial"):
				t.Errorf("%s to %s: %v, want %v", test.local, test.remote, err, test.err)
			}
		}
		if c, err := r.Dial(netip.AddrPort{}, addr("10.0.0.9:53")); err != nil || c.LocalAddr().(*net.UDPAddr).Port < port.First {
			t.Errorf("ephemeral: %v", err)
		}
		if _, err := r.Dial(netip.AddrPort{}, netip.AddrPort{}); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("to nobody: %v", err)
		}
	})
}

func TestShutdown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		held := r.answerJoins(t)
		a, b := r.listen(t, "0.0.0.0:53"), r.listen(t, "0.0.0.0:54")
		if err := a.JoinGroup(group, 0); err != nil {
			t.Fatal(err)
		}
		b.Close()
		waits := make(chan error, 1)
		go func() {
			_, err := a.Read(make([]byte, 1))
			waits <- err
		}()
		synctest.Wait()
		r.Shutdown()
		if err := <-waits; !errors.Is(err, net.ErrClosed) {
			t.Errorf("a read that waited: %v", err)
		}
		if _, err := r.Listen(addr("0.0.0.0:55")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("listen after shutdown: %v", err)
		}
		if n := held[membership{group, 0}]; n != 0 {
			t.Errorf("the group is held %d times", n)
		}
		r.Shutdown() // does no harm
	})
}

// When Demux has ended nobody waits for it.
func TestEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		c := r.listen(t, "0.0.0.0:53")
		r.finish()
		r.Shutdown()
		if _, err := r.Listen(addr("0.0.0.0:54")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("listen: %v", err)
		}
		if err := c.JoinGroup(group, 0); !errors.Is(err, net.ErrClosed) {
			t.Errorf("join: %v", err)
		}
		if _, err := c.WriteToAddrPort(nil, addr("10.0.0.9:1")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write: %v", err)
		}
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
}
