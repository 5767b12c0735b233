package icmp_test

import (
	"errors"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/icmp"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/udp"
)

// A host is IP, ICMP and UDP over a link on which nobody answers: what goes
// out comes back as undeliverable.
type host struct {
	ping *icmp.Pinger
	udp  *udp.Sockets
}

func newHost(t *testing.T) *host {
	live := packet.Live()
	table, err := ipv4.NewTable([]ipv4.Interface{{Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}}},
		[]ipv4.Route{{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("10.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	buffers := func() chan *packet.Buffer { return make(chan *packet.Buffer, 64) }
	ip, tx, hop, dead, toICMP, toUDP := buffers(), buffers(), buffers(), buffers(), buffers(), buffers()
	problems, reports, unread := make(chan ipv4.Problem, 16), make(chan ipv4.Report, 16), make(chan ipv4.Report, 16)
	joins, advice, groups := make(chan ipv4.Membership), make(chan ipv4.Advice, 16), make(chan []ethernet.Addr, 1)
	pings, calls, quit := make(chan icmp.Ping), make(chan udp.Call), make(chan struct{})
	icmpEnded, udpEnded, hopEnded := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var ipStats ipv4.Stats
	var icmpStats icmp.Stats
	var udpStats udp.Stats
	cfg := udp.Config{Table: table}

	go ipv4.Rx(ip, joins, ipv4.Up{ICMP: toICMP, UDP: toUDP}, []chan<- []ethernet.Addr{groups}, ipv4.Edges{Loop: tx}, problems, ipv4.RxConfig{Table: table}, &ipStats)
	go ipv4.Tx(tx, nil, nil, advice, quit, hop, ip, nil, problems, ipv4.TxConfig{Table: table}, &ipStats)
	go func() {
		defer close(icmpEnded)
		icmp.Run(toICMP, dead, problems, pings, ipv4.Edges{Loop: tx}, reports, unread, []chan<- ipv4.Advice{advice}, icmp.Config{Table: table}, &icmpStats)
	}()
	go func() {
		defer close(udpEnded)
		udp.Demux(toUDP, reports, calls, problems, cfg, &udpStats)
	}()
	go func() {
		defer close(hopEnded)
		for b := range hop {
			if ipv4.Header(b.Bytes()).Protocol() == ipv4.ProtocolIGMP {
				b.Release()
				continue
			}
			dead <- b
		}
	}()
	go func() {
		for range groups {
		}
	}()
	h := &host{icmp.NewPinger(pings, icmpEnded), udp.NewSockets(calls, ipv4.Edges{Loop: tx}, joins, udpEnded, cfg, &udpStats)}
	t.Cleanup(func() {
		h.udp.Shutdown()
		synctest.Wait()
		close(quit)
		<-hopEnded
		synctest.Wait()
		close(ip)
		<-icmpEnded
		<-udpEnded
		if n := packet.Live() - live; n != 0 {
			t.Errorf("%d buffers not released", n)
		}
	})
	return h
}

// Own addresses answer through IP's loopback; large echoes as well; and an
// address on the link that does not answer is unreachable, by ping and by UDP.
func TestHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		for _, dst := range []string{"127.0.0.1", "10.0.0.2"} {
			for _, size := range []int{0, 56, icmp.MaxPingSize} {
				got, err := h.ping.Ping(t.Context(), netip.MustParseAddr(dst), icmp.PingOptions{Size: size})
				if err != nil || got.From.String() != dst || got.Size != size || got.RTT != 0 || got.TTL != ipv4.DefaultTTL {
					t.Errorf("ping %s: %+v, %v", dst, got, err)
				}
			}
		}
		for _, dst := range []string{"10.0.0.9", "192.0.2.7"} {
			if _, err := h.ping.Ping(t.Context(), netip.MustParseAddr(dst), icmp.PingOptions{}); !errors.Is(err, syscall.EHOSTUNREACH) {
				t.Errorf("ping %s: %v", dst, err)
			}
		}
		if _, err := h.ping.Ping(t.Context(), netip.MustParseAddr("192.0.2.7"), icmp.PingOptions{Size: 2000, DF: true}); !errors.Is(err, syscall.EMSGSIZE) {
			t.Errorf("too long: %v", err)
		}

		for dst, want := range map[string]error{"10.0.0.9:53": os.ErrDeadlineExceeded, "10.0.0.2:53": syscall.ECONNREFUSED, "127.0.0.1:53": syscall.ECONNREFUSED} {
			c, err := h.udp.Dial(netip.AddrPort{}, netip.MustParseAddrPort(dst))
			if err != nil {
				t.Fatal(err)
			}
			c.Write([]byte("hello"))
			c.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, want) {
				t.Errorf("udp %s: %v, want %v", dst, err, want)
			}
			if len(c.Reports()) != 1 {
				t.Errorf("udp %s: %d reports", dst, len(c.Reports()))
			}
		}

		server, err := h.udp.Listen(netip.MustParseAddrPort("0.0.0.0:53"))
		if err != nil {
			t.Fatal(err)
		}
		group := netip.MustParseAddr("239.1.2.3")
		if err := server.JoinGroup(group, -1); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 70000)
		for _, dst := range []string{"127.0.0.1:53", "10.0.0.2:53", "239.1.2.3:53", "10.0.0.255:53"} {
			for _, size := range []int{0, 1000, udp.MaxSize} {
				if _, err := server.WriteToAddrPort(p[:size], netip.MustParseAddrPort(dst)); err != nil {
					t.Fatal(err)
				}
				server.SetReadDeadline(time.Now().Add(time.Second))
				if n, _, err := server.ReadFromAddrPort(p); n != size || err != nil {
					t.Errorf("udp %s: %d bytes of %d, %v", dst, n, size, err)
				}
			}
		}
	})
}
