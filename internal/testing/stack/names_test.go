package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/dns"
	"github.com/seed-012105e5/gonet/internal/testing/dnstest"
	"github.com/seed-012105e5/gonet/link"
)

const site = "www.example.org."

// newNamedPair is newPair with a DNS server on b, at port 53 of UDP and TCP, that
// a asks.
func newNamedPair(t *testing.T, cfg dns.Config, s dnstest.Server, middleware ...link.Middleware) pair {
	t.Helper()
	la, lb := link.Pipe(link.PipeConfig{})
	for _, m := range middleware {
		la = m(la)
	}
	if cfg.Servers == nil {
		cfg.Servers = []netip.AddrPort{netip.MustParseAddrPort("10.0.0.2:53")}
	}
	a, err := gonet.New(gonet.Config{Link: la, Addr: netip.MustParsePrefix("10.0.0.1/24"), Rand: repeat(1), DNS: cfg})
	if err != nil {
		t.Fatal(err)
	}
	p := pair{a, newHost(t, lb, "10.0.0.2/24", 2)}
	go s.ServePacket(listenUDP(t, p.b, ":53"))
	go s.Serve(listen(t, p.b, ":53"))
	return p
}

// wantHosts looks up a name of a's.
func (p pair) wantHosts(t *testing.T, name string, want ...string) {
	t.Helper()
	got, err := p.a.LookupHost(t.Context(), name)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%s is %v, %v; want %v", name, got, err, want)
	}
}

// has is a server that has these addresses.
func has(addrs map[string]string) dnstest.Server {
	return dnstest.Respond(func(q dnstest.Query) dnstest.Response {
		if a, ok := addrs[q.Name]; ok {
			return dnstest.Answers(dnstest.A(q.Name, 60, a))
		}
		return dnstest.Response{RCode: dnsmessage.RCodeNameError, Authorities: []dnsmessage.Resource{dnstest.SOA("org.", 60, 60)}}
	})
}

// TestDialName dials by the name of a host and of a service.
func TestDialName(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		cfg := dns.Config{Search: []string{"example.org"}, Hosts: map[string][]netip.Addr{"gw": {netip.MustParseAddr("10.0.0.2")}}}
		p := newNamedPair(t, cfg, has(map[string]string{site: "10.0.0.2"}))
		defer p.close()
		go echo(listen(t, p.b, ":80"))
		for _, address := range []string{"www.example.org:http", "WWW:80", "gw:http"} {
			c := dial(t, p.a, address)
			if got := c.RemoteAddr().String(); got != "10.0.0.2:80" {
				t.Errorf("%s is dialled at %s", address, got)
			}
			c.Close()
		}
		u := dialUDP(t, p.a, "www.example.org:domain")
		if got := u.RemoteAddr().String(); got != "10.0.0.2:53" {
			t.Errorf("dialled at %s", got)
		}
		u.Close()

		_, err := p.a.Dial("tcp", "nobody.example.org:80")
		var e *net.DNSError
		if !errors.As(err, &e) || !e.IsNotFound || err.Error() != "dial tcp: lookup nobody.example.org on 10.0.0.2:53: no such host" {
			t.Errorf("error %v", err)
		}
		if n := p.a.Stats()["dns.Queries"]; n != 3 { // www; nobody, and that in the search domain
			t.Errorf("%d queries", n)
		}
	})
}

// TestDialSeveralAddresses has the first address of a name dead.
func TestDialSeveralAddresses(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newNamedPair(t, dns.Config{}, dnstest.Respond(func(q dnstest.Query) dnstest.Response {
			return dnstest.Answers(dnstest.A(q.Name, 60, "10.0.0.9"), dnstest.A(q.Name, 60, "10.0.0.2"))
		}))
		defer p.close()
		go echo(listen(t, p.b, ":80"))
		ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
		defer cancel()
		c, err := p.a.DialContext(ctx, "tcp", "www.example.org:80")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := c.RemoteAddr().String(); got != "10.0.0.2:80" {
			t.Errorf("dialled at %s", got)
		}
		if _, err = p.a.DialContext(ctx, "tcp", "www.example.org:81"); !strings.Contains(err.Error(), "10.0.0.9:81") {
			t.Errorf("the error is not that of the first address: %v", err)
		}
	})
}

// TestHTTPName gets a URL with a host name, as any program does.
func TestHTTPName(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newNamedPair(t, dns.Config{}, has(map[string]string{site: "10.0.0.2"}))
		defer p.close()
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "this is "+r.Host) })}
		go server.Serve(listen(t, p.b, ":80"))
		defer server.Close()
		transport := &http.Transport{DialContext: p.a.DialContext}
		defer transport.CloseIdleConnections()
		r, err := (&http.Client{Transport: transport}).Get("http://www.example.org/")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if body, err := io.ReadAll(r.Body); string(body) != "this is www.example.org" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
	})
}

// TestNamesUnderLoss looks up names over a line that loses and reorders, and
// doubles what it does not lose.
func TestNamesUnderLoss(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		wire := link.Impairment{Loss: 0.1, Duplicate: 0.2, Reorder: 0.2, Delay: 10 * time.Millisecond, Seed: 1}
		p := newNamedPair(t, dns.Config{Attempts: 8}, dnstest.Respond(func(q dnstest.Query) dnstest.Response {
			var i int
			fmt.Sscanf(q.Name, "h%d.", &i)
			return dnstest.Response{Truncated: q.Network == "udp" && i%4 == 0, Answers: []dnsmessage.Resource{dnstest.A(q.Name, 60, fmt.Sprintf("192.0.2.%d", i))}}
		}), func(l link.Link) link.Link { return link.Impair(l, wire) })
		defer p.close()
		ended := make(chan bool)
		for i := range 100 {
			go func() {
				p.wantHosts(t, fmt.Sprintf("h%d.", i), fmt.Sprintf("192.0.2.%d", i))
				ended <- true
			}()
		}
		for range 100 {
			<-ended
		}
		s := p.a.Stats()
		if s["dns.Timeouts"] == 0 || s["dns.QueriesTCP"] < 25 {
			t.Errorf("the line is too good:\n%v", s)
		}
	})
}

// TestForgedReplies: RFC5452-9.1: has one who knows what is asked, and sees the port, but is not
// the server or does not see the id, answer before the server does.
func TestForgedReplies(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var forger net.PacketConn
		forged := func(q dnstest.Query, change func(*dnsmessage.Message)) []byte {
			r := dnstest.Answers(dnstest.A(q.Name, 3600, "192.0.2.66"))
			r.Change = change
			return q.To(r)
		}
		p := newNamedPair(t, dns.Config{}, func(q dnstest.Query) (replies [][]byte) {
			if q.Network == "tcp" {
				return [][]byte{q.To(dnstest.Answers(dnstest.A(q.Name, 60, "192.0.2.2")))}
			}
			forger.WriteTo(forged(q, nil), q.From) // all right, but for the port that it comes from
			for i := range uint16(8) {
				replies = append(replies, forged(q, func(m *dnsmessage.Message) { m.ID += i + 1 }))
			}
			replies = append(replies,
				forged(q, func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("ww.example.org.") }),
				forged(q, func(m *dnsmessage.Message) { m.Questions[0].Type = dnsmessage.TypeAAAA }),
				forged(q, func(m *dnsmessage.Message) { m.Response = false }),
				[]byte("no message"))
			if strings.HasPrefix(q.Name, "many.") {
				for i := range uint16(100) {
					replies = append(replies, forged(q, func(m *dnsmessage.Message) { m.ID += i + 1 }))
				}
				return replies
			}
			return append(replies, q.To(dnstest.Answers(dnstest.A(q.Name, 60, "192.0.2.1"))))
		})
		defer p.close()
		forger = listenUDP(t, p.b, ":5353")
		p.wantHosts(t, site, "192.0.2.1")
		if s := p.a.Stats(); s["dns.DropUnasked"] != 12 || s["dns.Queries"] != 1 {
			t.Errorf("counters:\n%v", s)
		}
		p.wantHosts(t, "many.example.org.", "192.0.2.2") // by TCP
	})
}

// TestLateReply has the reply to the first query come during the second.
func TestLateReply(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := 0
		p := newNamedPair(t, dns.Config{}, dnstest.Respond(func(q dnstest.Query) dnstest.Response {
			if n++; n == 1 {
				time.Sleep(3 * time.Second)
				return dnstest.Answers(dnstest.A(q.Name, 60, "192.0.2.9"))
			}
			return dnstest.Answers(dnstest.A(q.Name, 60, "192.0.2.1"))
		}))
		defer p.close()
		p.wantHosts(t, site, "192.0.2.1")
		if s := p.a.Stats(); s["udp.DropNoSocket"] != 1 || s["dns.Timeouts"] != 1 {
			t.Errorf("counters:\n%v", s)
		}
	})
}

// TestServersInTurn asks three servers, the first two of which are of no use.
func TestServersInTurn(t *testing.T) {
	var servers []netip.AddrPort
	for _, port := range []uint16{54, 55, 53} {
		servers = append(servers, netip.AddrPortFrom(netip.MustParseAddr("10.0.0.2"), port))
	}
	raw := func(records string, n byte) func(q dnstest.Query) [][]byte {
		return func(q dnstest.Query) [][]byte {
			m := q.To(dnstest.Response{})
			m[7] = n
			return [][]byte{append(m, records...)}
		}
	}
	for what, useless := range map[string]dnstest.Server{
		"silent": func(dnstest.Query) [][]byte { return nil },
		"lame":   dnstest.Respond(func(dnstest.Query) dnstest.Response { return dnstest.Response{NoRecursion: true} }),
		"referral": dnstest.Respond(func(dnstest.Query) dnstest.Response {
			return dnstest.Response{Authorities: []dnsmessage.Resource{dnstest.NS("org.", "ns.")}}
		}),
		"SERVFAIL": dnstest.Respond(func(dnstest.Query) dnstest.Response { return dnstest.Response{RCode: dnsmessage.RCodeServerFailure} }),
		"REFUSED":  dnstest.Respond(func(dnstest.Query) dnstest.Response { return dnstest.Response{RCode: dnsmessage.RCodeRefused} }),
		"FORMERR":  dnstest.Respond(func(dnstest.Query) dnstest.Response { return dnstest.Response{RCode: dnsmessage.RCodeFormatError} }),
		"loop":     dnstest.Respond(func(q dnstest.Query) dnstest.Response { return dnstest.Answers(dnstest.CNAME(q.Name, 60, q.Name)) }),
		"pointers": raw("\xc0\x21\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x01\x02\x03\x04", 1),
		"cut off":  raw("\xc0\x0c\x00\x01", 1),
	} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				p := newNamedPair(t, dns.Config{Servers: servers}, has(map[string]string{site: "192.0.2.1"}))
				defer p.close()
				go useless.ServePacket(listenUDP(t, p.b, ":54")) // and nobody at 55
				p.wantHosts(t, site, "192.0.2.1")
				if s := p.a.Stats(); s["dns.SocketErrs"] != 1 || s["dns.BadReplies"]+s["dns.Timeouts"] != 1 {
					t.Errorf("counters:\n%v", s)
				}
			})
		})
	}
}

// TestHugeAnswer comes by TCP, and is cut where the package says.
func TestHugeAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var many []dnsmessage.Resource
		for i := range 2000 {
			many = append(many, dnstest.A(site, 60, fmt.Sprintf("10.1.%d.%d", i>>8, i&255)))
		}
		p := newNamedPair(t, dns.Config{}, dnstest.Respond(func(q dnstest.Query) dnstest.Response {
			if q.Network == "udp" {
				return dnstest.Response{Truncated: true, Answers: many[:10]}
			}
			return dnstest.Answers(many...)
		}))
		defer p.close()
		addrs, err := p.a.LookupNetIP(t.Context(), "ip4", site)
		if len(addrs) != 256 || err != nil {
			t.Errorf("%d addresses, %v", len(addrs), err)
		}
	})
}

// TestNamesAtClose has lookups wait, by UDP and TCP, when the stack is closed.
func TestNamesAtClose(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		inBubble(t, func(t *testing.T) {
			p := newNamedPair(t, dns.Config{TCP: tcp}, func(dnstest.Query) [][]byte { return nil })
			ended := make(chan error)
			for i := range 50 {
				go func() {
					_, err := p.a.LookupHost(t.Context(), fmt.Sprintf("h%d.", i))
					ended <- err
				}()
			}
			time.Sleep(time.Second)
			p.close()
			for range 50 {
				if err := <-ended; !errors.Is(err, net.ErrClosed) {
					t.Errorf("error %v", err)
				}
			}
			if _, err := p.a.LookupHost(t.Context(), site); !errors.Is(err, net.ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
			if _, err := p.a.Dial("tcp", "www.example.org:80"); !errors.Is(err, net.ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
		})
	}
}

// TestNamesAbandoned gives the socket of a lookup back that nobody waits for.
func TestNamesAbandoned(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newNamedPair(t, dns.Config{}, func(dnstest.Query) [][]byte { return nil })
		defer p.close()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := p.a.DialContext(ctx, "tcp", "www.example.org:80"); !errors.Is(err, context.DeadlineExceeded) || !err.(net.Error).Timeout() {
			t.Errorf("error %v", err)
		}
		synctest.Wait()
		before := p.a.Stats()["dns.Queries"]
		time.Sleep(time.Minute)
		if n := p.a.Stats()["dns.Queries"]; n != before {
			t.Errorf("%d queries more for nobody", n-before)
		}
	})
}

// TestQueriesCannotBeGuessed: RFC5452-9.2: looks at the ports and the ids of many queries: what
// one was says nothing of the next.
func TestQueriesCannotBeGuessed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const n = 2000
		var ports, ids []float64
		p := newNamedPair(t, dns.Config{}, dnstest.Respond(func(q dnstest.Query) dnstest.Response {
			ports = append(ports, float64(q.From.(*net.UDPAddr).Port))
			ids = append(ids, float64(q.ID))
			return dnstest.Answers(dnstest.A(q.Name, 60, "192.0.2.1"))
		}))
		defer p.close()
		for i := range n {
			p.wantHosts(t, fmt.Sprintf("h%d.", i), "192.0.2.1")
		}
		for what, values := range map[string]struct {
			of    []float64
			space float64
		}{"ports": {ports, 32768}, "ids": {ids, 65536}} {
			near, sum := 0, 0.0
			low, high := values.of[0], values.of[0]
			for i, v := range values.of[1:] {
				step := math.Abs(v - values.of[i])
				sum += step
				if step <= values.space/100 {
					near++
				}
				low, high = min(low, v), max(high, v)
			}
			// Of two even draws one in fifty is so near, and their mean distance is a third.
			if near > n/25 || math.Abs(sum/(n-1)/values.space-1./3) > 0.02 || high-low < 0.98*values.space {
				t.Errorf("%s: %d of %d are near the one before, the mean step is %.0f of %.0f, from %.0f to %.0f",
					what, near, n, sum/(n-1), values.space, low, high)
			}
		}
	})
}

// TestNamesWithoutServers says what is missing.
func TestNamesWithoutServers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		_, err := p.a.Dial("tcp", "www.example.org:80")
		if err == nil || err.Error() != "dial tcp: lookup www.example.org: no such host: there is no DNS server to ask" {
			t.Errorf("error %v", err)
		}
	})
	if _, err := gonet.New(gonet.Config{DNS: dns.Config{Ndots: -1}, Interfaces: []gonet.Interface{{}}}); err == nil {
		t.Error("a bad Config is taken")
	}
}

// TestResolverOfNet looks up what the stack itself does not, by package net's
// resolver; it reads this machine's files, so it is not in a bubble.
func TestResolverOfNet(t *testing.T) {
	inRealTime(t, func(t *testing.T) {
		var asked atomic.Int64
		p := newNamedPair(t, dns.Config{}, dnstest.Respond(func(q dnstest.Query) dnstest.Response {
			asked.Add(1)
			if q.Type == dnsmessage.TypeNS {
				return dnstest.Answers(dnstest.NS(q.Name, "ns.example.org."))
			}
			return dnstest.Answers(dnstest.A(q.Name, 60, "192.0.2.1"))
		}))
		defer p.close()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if ns, err := p.a.Resolver().LookupNS(ctx, "example.org."); err != nil || len(ns) != 1 || ns[0].Host != "ns.example.org." {
			t.Errorf("%v, %v", ns, err)
		}
		if addrs, err := p.a.Resolver().LookupHost(ctx, "host.example.org."); err != nil || !slices.Contains(addrs, "192.0.2.1") {
			t.Errorf("%v, %v", addrs, err)
		}
		if asked.Load() < 2 {
			t.Error("the server was not asked")
		}
	})
}

// TestServerRefusesTCP has a truncated reply, and nobody at the server's TCP port.
func TestServerRefusesTCP(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		servers := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.2:54")}
		p := newNamedPair(t, dns.Config{Servers: servers, Attempts: 1}, nil)
		defer p.close()
		s := dnstest.Respond(func(dnstest.Query) dnstest.Response { return dnstest.Response{Truncated: true} })
		go s.ServePacket(listenUDP(t, p.b, ":54"))
		_, err := p.a.LookupHost(t.Context(), site)
		var e *net.DNSError
		if !errors.Is(err, syscall.ECONNREFUSED) || !errors.As(err, &e) || !e.IsTemporary || e.Server != "10.0.0.2:54" {
			t.Errorf("error %v", err)
		}
	})
}
