package icmp_test

import (
	"errors"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/icmp"
	"github.com/seed-012105e5/gonet/ip"
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
	table, err := ip.NewTable([]ip.Interface{{Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}}},
		[]ip.Route{{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("10.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	network, tx, toICMP, toUDP, hop := edge.NewInbox(64), edge.NewInbox(64), edge.NewInbox(64), edge.NewInbox(64), make(chan *packet.Buffer, 64)
	dead, errorRequests, pings := edge.New[*packet.Buffer](64, toICMP), edge.New[ip.ErrorRequest](16, toICMP), edge.New[icmp.Ping](16, toICMP)
	reports, calls := edge.New[ip.ICMPError](16, toUDP), edge.New[udp.Call](16, toUDP)
	joins, advice := edge.New[ip.Membership](16, network), edge.New[ip.Advice](16, tx)
	icmpEnded, udpEnded, hopEnded := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var ipStats ipv4.Stats
	var icmpStats icmp.Stats
	var udpStats udp.Stats
	cfg := udp.Config{Table: ip.Publish(table)}
	edges := ip.Edges{Loop: tx.Out()}

	go func() {
		ipv4.Rx(network, joins.In(), ipv4.Up{ICMP: toICMP.Out(), UDP: toUDP.Out()}, []*ethernet.Filter{nil}, edges, errorRequests.Out(), ipv4.RxConfig{Table: ip.Publish(table)}, &ipStats)
		toICMP.Close()
	}()
	none := edge.In[*packet.Buffer]{}
	go ipv4.Tx(tx, none, none, advice.In(), edge.To(hop).Out(), network.Out(), nil, errorRequests.Out(), ipv4.TxConfig{Table: ip.Publish(table)}, &ipStats)
	go func() {
		defer close(icmpEnded)
		icmp.Run(toICMP, dead.In(), errorRequests.In(), pings.In(), edges, reports.Out(), edge.New[ip.ICMPError](16, nil).Out(), []edge.Out[ip.Advice]{advice.Out()}, icmp.Config{Table: ip.Publish(table)}, &icmpStats)
		toUDP.Close()
	}()
	go func() {
		defer close(udpEnded)
		udp.Demux(toUDP, reports.In(), calls.In(), errorRequests.Out(), cfg, &udpStats)
	}()
	go func() {
		defer close(hopEnded)
		for b := range hop {
			if ipv4.Header(b.Bytes()).Protocol() == ip.ProtocolIGMP {
				b.Release()
				continue
			}
			dead.Out().Send(b)
		}
	}()
	h := &host{icmp.NewPinger(pings.Out(), icmpEnded), udp.NewSockets(calls.Out(), edges, joins.Out(), udpEnded, cfg, &udpStats)}
	t.Cleanup(func() {
		h.udp.Shutdown()
		synctest.Wait()
		tx.Close()
		<-hopEnded
		synctest.Wait()
		network.Close()
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
			if len(c.ICMPErrors()) != 1 {
				t.Errorf("udp %s: %d reports", dst, len(c.ICMPErrors()))
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
