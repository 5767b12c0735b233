package stack

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/udp"
)

// wantDatagram reads what must come, or, when want is "", nothing.
func wantDatagram(t *testing.T, c *udp.Conn, want, from string) {
	t.Helper()
	p := make([]byte, 100)
	c.SetReadDeadline(time.Now().Add(time.Second))
	n, src, err := c.ReadFromUDPAddrPort(p)
	switch {
	case want == "" && !errors.Is(err, os.ErrDeadlineExceeded):
		t.Errorf("read %q from %v, %v; want nothing", p[:n], src, err)
	case want != "" && (err != nil || string(p[:n]) != want || src.String() != from):
		t.Errorf("read %q from %v, %v; want %q from %s", p[:n], src, err, want, from)
	}
}

// DialUDP begins where it is told to.
func TestDialUDPLocal(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		server := listenUDP(t, p.b, ":53")
		to := &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 53}
		for _, test := range []struct {
			network       string
			local, remote *net.UDPAddr
			want          string // where it begins; "" for any port of 10.0.0.1
			err           string
		}{
			{"udp", &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 7}, to, "10.0.0.1:7", ""},
			{"udp", &net.UDPAddr{Port: 8}, to, "10.0.0.1:8", ""},
			{"udp", &net.UDPAddr{IP: net.IPv6unspecified, Port: 9}, to, "10.0.0.1:9", ""},
			{"udp4", nil, to, "", ""},
			{"udp", nil, nil, "", "dial udp: missing address"},
			{"udp", &net.UDPAddr{IP: net.IPv4(10, 0, 0, 9)}, to, "", "dial udp 10.0.0.9:0->10.0.0.2:53: connect: cannot assign requested address"},
			{"udp6", nil, to, "", "dial udp6 10.0.0.2:53: unknown network udp6"},
			{"udp", nil, &net.UDPAddr{IP: net.ParseIP("2001:db8::1"), Port: 1}, "", "dial udp [2001:db8::1]:1: address 2001:db8::1: non-IPv4 address"},
		} {
			c, err := p.a.DialUDP(test.network, test.local, test.remote)
			if test.err != "" {
				if err == nil || err.Error() != test.err {
					t.Errorf("%v to %v: %v, want %s", test.local, test.remote, err, test.err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := c.LocalAddr().String(); test.want != "" && got != test.want {
				t.Errorf("%v: begins at %s, want %s", test.local, got, test.want)
			}
			c.Write([]byte("hello"))
			wantDatagram(t, server, "hello", c.LocalAddr().String())
			c.Close()
		}
	})
}

// ListenMulticastUDP hears its group and no other, and not itself; several may.
func TestListenMulticastUDP(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		group := &net.UDPAddr{IP: net.IPv4(239, 1, 2, 3), Port: 5353}
		var all []*udp.Conn
		for _, s := range []*gonet.Stack{p.a, p.b, p.b} {
			c, err := s.ListenMulticastUDP("udp", -1, group)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, c)
		}
		time.Sleep(time.Second) // for the cards to hear of the group
		if _, err := all[1].WriteToUDP([]byte("hello"), group); err != nil {
			t.Fatal(err)
		}
		wantDatagram(t, all[0], "hello", "10.0.0.2:5353")
		wantDatagram(t, all[1], "", "")
		wantDatagram(t, all[2], "", "")
		other := listenUDP(t, p.b, ":0")
		other.WriteToUDP([]byte("from another socket"), group)
		from := netip.AddrPortFrom(netip.MustParseAddr("10.0.0.2"), other.LocalAddr().(*net.UDPAddr).AddrPort().Port()).String()
		for _, c := range all {
			wantDatagram(t, c, "from another socket", from)
		}
		other.WriteToUDP([]byte("to another group"), &net.UDPAddr{IP: net.IPv4(239, 9, 9, 9), Port: 5353})
		for _, c := range all {
			wantDatagram(t, c, "", "")
		}
		for name, test := range map[string]struct {
			link  int
			group *net.UDPAddr
		}{"no group": {-1, nil}, "a host": {-1, &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}}, "no such interface": {7, group}} {
			if c, err := p.a.ListenMulticastUDP("udp", test.link, test.group); err == nil {
				t.Errorf("%s: listens on %v", name, c.LocalAddr())
			}
		}
	})
}

// What Config says of UDP is so.
func TestUDPConfig(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		la, lb := link.Pipe(link.PipeConfig{})
		s, err := gonet.New(gonet.Config{
			Link: la, Addr: netip.MustParsePrefix("10.0.0.1/24"), Rand: repeat(1),
			UDP: udp.Config{ReadBuffer: 10_000, MaxSockets: 2},
		})
		if err != nil {
			t.Fatal(err)
		}
		p := pair{s, newHost(t, lb, "10.0.0.2/24", 2)}
		defer p.close()
		server, client := listenUDP(t, p.a, ":53"), dialUDP(t, p.b, "10.0.0.1:53")
		listenUDP(t, p.a, ":54")
		if _, err := p.a.ListenUDP("udp", nil); !errors.Is(err, syscall.ENOBUFS) {
			t.Errorf("a third socket: %v", err)
		}
		client.Write([]byte("first")) // or ARP would drop some of those that wait for it
		server.Read(make([]byte, 10))
		for range 100 {
			client.Write(make([]byte, 1000))
			synctest.Wait() // for ARP, whose queue is short
		}
		synctest.Wait()
		if got := p.a.Stats()["udp.RxDelivered"] - 1; got != 20_000/2048 || server.Dropped() == 0 {
			t.Errorf("it holds %d datagrams, and has dropped %d", got, server.Dropped())
		}
	})
}
