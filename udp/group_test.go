package udp

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
)

// Groups are joined and left by way of IP, once each, and left at Close.
func TestGroups(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		held := r.answerJoins(t)
		a, b := r.listen(t, "0.0.0.0:53"), r.listen(t, "239.1.2.3:53")
		other := netip.MustParseAddr("239.9.9.9")
		for _, test := range []struct {
			name string
			do   func() error
			want error
		}{
			{"join", func() error { return a.JoinGroup(group, 0) }, nil},
			{"again", func() error { return a.JoinGroup(group, 0) }, syscall.EADDRINUSE},
			{"on another link", func() error { return a.JoinGroup(group, 1) }, nil},
			{"by another socket", func() error { return b.JoinGroup(group, 0) }, nil},
			{"another group, mapped", func() error { return b.JoinGroup(netip.MustParseAddr("::ffff:239.9.9.9"), -1) }, nil},
			{"not a group", func() error { return a.JoinGroup(peer, 0) }, syscall.EINVAL},
			{"IPv6", func() error { return a.JoinGroup(netip.MustParseAddr("ff02::1"), 0) }, syscall.EINVAL},
			{"leave", func() error { return a.LeaveGroup(group, 1) }, nil},
			{"leave again", func() error { return a.LeaveGroup(group, 1) }, syscall.EADDRNOTAVAIL},
			{"leave another's", func() error { return a.LeaveGroup(other, -1) }, syscall.EADDRNOTAVAIL},
		} {
			if err := test.do(); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("%s: %v, want %v", test.name, err, test.want)
			}
		}
		count := func(g, g1, o int) {
			t.Helper()
			if held[membership{group, 0}] != g || held[membership{group, 1}] != g1 || held[membership{other, -1}] != o {
				t.Errorf("held: %v, want %d, %d, %d", held, g, g1, o)
			}
		}
		count(2, 0, 1)
		b.Close()
		count(1, 0, 0)
		a.Close()
		count(0, 0, 0)
		if err := a.JoinGroup(group, 0); !errors.Is(err, net.ErrClosed) {
			t.Errorf("join after close: %v", err)
		}
	})
}

// What IP says against it is the error, and the number of groups is bounded.
func TestGroupsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		c := r.listen(t, "0.0.0.0:53")
		go func() { (<-r.joins).Done <- syscall.ENODEV }()
		if err := c.JoinGroup(group, 7); !errors.Is(err, syscall.ENODEV) {
			t.Errorf("%v", err)
		}
		r.answerJoins(t)
		for i := range maxGroups {
			if err := c.JoinGroup(netip.AddrFrom4([4]byte{239, 0, 0, byte(i)}), 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.JoinGroup(group, 0); !errors.Is(err, syscall.ENOBUFS) {
			t.Errorf("one too many: %v", err)
		}
		c.Close()
	})
}

// What a socket sends to a group comes back to its own host, unless it does not
// want that; other datagrams come back always.
func TestMulticastLoop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		c := r.listen(t, "0.0.0.0:53")
		for _, test := range []struct {
			loop bool
			to   string
			want bool // IP is told not to
		}{{true, "239.1.2.3:53", false}, {false, "239.1.2.3:53", true}, {false, "255.255.255.255:53", false}, {false, "10.0.0.9:53", false}} {
			c.SetMulticastLoop(test.loop)
			if _, err := c.WriteToAddrPort([]byte("hello"), addr(test.to)); err != nil {
				t.Fatal(err)
			}
			b := <-r.tx
			if b.NoLoop != test.want {
				t.Errorf("loop %v, to %s: NoLoop is %v", test.loop, test.to, b.NoLoop)
			}
			b.Release()
		}
	})
}
