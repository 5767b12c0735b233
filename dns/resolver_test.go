package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/seed-012105e5/gonet/edge"
)

// A network has one server, which answers over pipes; each Write is a datagram.
type network struct {
	t      *testing.T
	answer func(network string, name string) []response // each a message; none: silence
	dialed atomic.Int64
	open   atomic.Int64
}

func (n *network) dial(ctx context.Context, network string, server netip.AddrPort) (net.Conn, error) {
	n.dialed.Add(1)
	ours, theirs := net.Pipe()
	n.open.Add(1)
	go func() {
		defer n.open.Add(-1)
		n.serve(network, theirs)
	}()
	return ours, nil
}

func (n *network) serve(network string, c net.Conn) {
	defer c.Close()
	p := make([]byte, 1500)
	for {
		k, err := c.Read(p)
		if err != nil {
			return
		}
		query := p[:k]
		if network == "tcp" {
			query = p[2:k]
		}
		var m dnsmessage.Message
		if err := m.Unpack(query); err != nil {
			n.t.Error(err)
			return
		}
		for _, r := range n.answer(network, m.Questions[0].Name.String()) {
			reply := to(n.t, r, query)
			if network == "tcp" {
				reply = append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)
			}
			if _, err := c.Write(reply); err != nil {
				return
			}
		}
	}
}

// inBubble runs f with a resolver on a network that answers so.
func inBubble(t *testing.T, cfg Config, answer func(network, name string) []response, f func(t *testing.T, n *network, r *Resolver)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := &network{t: t, answer: answer}
		if cfg.Dial == nil {
			cfg.Dial = n.dial
		}
		if cfg.Servers == nil {
			cfg.Servers = []netip.AddrPort{server1}
		}
		stats := &Stats{}
		f(t, n, startRun(t, cfg, stats))
		synctest.Wait()
		if n.open.Load() != 0 {
			t.Errorf("%d sockets are open", n.open.Load())
		}
	})
}

func always(rs ...response) func(string, string) []response {
	return func(string, string) []response { return rs }
}

func TestResolver(t *testing.T) {
	cfg := Config{Search: []string{"example.org"}, Hosts: map[string][]netip.Addr{"gw": {netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fe80::1")}}}
	inBubble(t, cfg, func(_, name string) []response {
		switch name {
		case "www.example.org.":
			return []response{answers(cname(name, 60, "Web.example.org."), a("web.example.org.", 60, "192.0.2.1"), a("web.example.org.", 60, "192.0.2.2"))}
		case "1.2.0.192.in-addr.arpa.":
			return []response{answers(ptr(name, 60, "web.example.org."), ptr(name, 60, "no name."))}
		case "2.2.0.192.in-addr.arpa.":
			return []response{answers(ptr(name, 60, "no name."))}
		}
		return []response{nxdomain}
	}, func(t *testing.T, n *network, r *Resolver) {
		ctx := t.Context()
		for _, c := range []struct {
			what string
			call func() (any, error)
			want string
			err  string
		}{
			{"host", func() (any, error) { return r.LookupHost(ctx, "www") }, "[192.0.2.1 192.0.2.2]", ""},
			{"host in full", func() (any, error) { return r.LookupNetIP(ctx, "ip", "WWW.example.org.") }, "[192.0.2.1 192.0.2.2]", ""},
			{"ip4", func() (any, error) { return r.LookupNetIP(ctx, "ip4", "www") }, "[192.0.2.1 192.0.2.2]", ""},
			{"ip6", func() (any, error) { return r.LookupNetIP(ctx, "ip6", "www") }, "[]", "lookup www: no such host"},
			{"ip5", func() (any, error) { return r.LookupNetIP(ctx, "ip5", "www") }, "[]", "unknown network ip5"},
			{"literal", func() (any, error) { return r.LookupHost(ctx, "192.0.2.7") }, "[192.0.2.7]", ""},
			{"literal of 16 bytes", func() (any, error) { return r.LookupNetIP(ctx, "ip4", "::ffff:192.0.2.7") }, "[192.0.2.7]", ""},
			{"table", func() (any, error) { return r.LookupHost(ctx, "GW") }, "[10.0.0.1 fe80::1]", ""},
			{"table, ip4", func() (any, error) { return r.LookupNetIP(ctx, "ip4", "gw") }, "[10.0.0.1]", ""},
			{"table, ip6", func() (any, error) { return r.LookupNetIP(ctx, "ip6", "gw") }, "[fe80::1]", ""},
			{"localhost", func() (any, error) { return r.LookupHost(ctx, "localhost") }, "[127.0.0.1]", ""},
			{"nobody", func() (any, error) { return r.LookupHost(ctx, "nobody.example.net") }, "[]", "lookup nobody.example.net on 10.0.0.1:53: no such host"},
			{"invalid", func() (any, error) { return r.LookupHost(ctx, "a.invalid") }, "[]", "lookup a.invalid: no such host"},
			{"no name", func() (any, error) { return r.LookupHost(ctx, "no name") }, "[]", "lookup no name: no such host"},
			{"nothing", func() (any, error) { return r.LookupHost(ctx, "") }, "[]", "lookup : no such host"},
			{"alias", func() (any, error) { return r.LookupCNAME(ctx, "www") }, "web.example.org.", ""},
			{"alias in table", func() (any, error) { return r.LookupCNAME(ctx, "gw") }, "gw.", ""},
			{"alias of nobody", func() (any, error) { return r.LookupCNAME(ctx, "nobody.") }, "", "lookup nobody. on 10.0.0.1:53: no such host"},
			{"address", func() (any, error) { return r.LookupAddr(ctx, "192.0.2.1") }, "[web.example.org.]", ""},
			{"address in table", func() (any, error) { return r.LookupAddr(ctx, "10.0.0.1") }, "[gw]", ""},
			{"own address", func() (any, error) { return r.LookupAddr(ctx, "127.0.0.1") }, "[localhost]", ""},
			{"address of nobody", func() (any, error) { return r.LookupAddr(ctx, "192.0.2.9") }, "[]", "lookup 192.0.2.9 on 10.0.0.1:53: no such host"},
			{"address of bad names", func() (any, error) { return r.LookupAddr(ctx, "192.0.2.2") }, "[]", "lookup 192.0.2.2 on 10.0.0.1:53: DNS response contained records which contain invalid names"},
			{"no address", func() (any, error) { return r.LookupAddr(ctx, "www") }, "[]", "lookup www: unrecognized address"},
		} {
			got, err := c.call()
			if fmt.Sprint(got) != c.want || err == nil && c.err != "" || err != nil && err.Error() != c.err {
				t.Errorf("%s: %v, %v; want %v, %s", c.what, got, err, c.want, c.err)
			}
			var e *net.DNSError
			if err != nil && c.what != "ip5" && (!errors.As(err, &e) || e.IsNotFound != strings.HasSuffix(c.err, "no such host")) {
				t.Errorf("%s: error %#v", c.what, err)
			}
		}
		addrs, _ := r.LookupNetIP(ctx, "ip", "www") // which are the caller's to change
		addrs[0] = netip.Addr{}
		if again, _ := r.LookupNetIP(ctx, "ip", "www"); !again[0].IsValid() {
			t.Error("a caller changed the cache")
		}
	})
}

// TestResolverErrors looks at the kinds of errors.
func TestResolverErrors(t *testing.T) {
	refused := &net.OpError{Op: "read", Net: "udp", Err: syscall.ECONNREFUSED}
	for _, c := range []struct {
		what                         string
		answer                       func(string, string) []response
		dial                         error
		timeout, temporary, notFound bool
		is                           error
		took                         time.Duration
	}{
		{what: "nobody", answer: always(nxdomain), notFound: true},
		{what: "SERVFAIL", answer: always(servfail), temporary: true},
		{what: "REFUSED", answer: always(response{RCode: dnsmessage.RCodeRefused})},
		{what: "silence", answer: always(), timeout: true, temporary: true, took: 14 * time.Second},
		{what: "port unreachable", dial: refused, temporary: true, is: syscall.ECONNREFUSED},
	} {
		cfg := Config{}
		if c.dial != nil {
			cfg.Dial = func(context.Context, string, netip.AddrPort) (net.Conn, error) { return nil, c.dial }
		}
		inBubble(t, cfg, c.answer, func(t *testing.T, n *network, r *Resolver) {
			start := time.Now()
			_, err := r.LookupHost(t.Context(), www)
			var e *net.DNSError
			if !errors.As(err, &e) || e.IsTimeout != c.timeout || e.IsTemporary != c.temporary || e.IsNotFound != c.notFound || e.Server != "10.0.0.1:53" || e.Name != www {
				t.Errorf("%s: %#v", c.what, err)
			}
			if took := time.Since(start); took != c.took || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%s: %v after %v", c.what, err, took)
			}
		})
	}
}

// TestContext ends lookups that wait; and the last closes the socket.
func TestContext(t *testing.T) {
	inBubble(t, Config{}, always(), func(t *testing.T, n *network, r *Resolver) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := r.LookupHost(ctx, www)
		var e *net.DNSError
		if !errors.As(err, &e) || !e.IsTimeout || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		synctest.Wait()
		if n.dialed.Load() != 1 || n.open.Load() != 0 {
			t.Errorf("%d of %d sockets are open", n.open.Load(), n.dialed.Load())
		}
		cancel()
		if _, err = r.LookupHost(ctx, www); !errors.Is(err, context.DeadlineExceeded) || n.dialed.Load() != 1 {
			t.Errorf("a context that has ended: %v, %d sockets", err, n.dialed.Load())
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err = r.LookupHost(ctx, www)
		if !errors.As(err, &e) || e.IsTimeout || !errors.Is(err, context.Canceled) || err.Error() != "lookup www.example.org.: operation was canceled" {
			t.Errorf("%v", err)
		}
	})
}

// TestClosed ends lookups when Run does.
func TestClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{t: t, answer: always()}
		calls, quit, ended := edge.New[Call](0, nil), make(chan struct{}), make(chan struct{})
		cfg := Config{Servers: []netip.AddrPort{server1}, Dial: n.dial}
		go func() {
			Run(calls.In(), quit, cfg, &Stats{})
			close(ended)
		}()
		r := NewResolver(calls.Out(), ended, cfg)
		time.AfterFunc(time.Second, func() { close(quit) })
		for range 2 {
			_, err := r.LookupHost(t.Context(), www)
			if !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		}
		synctest.Wait()
		if n.open.Load() != 0 {
			t.Errorf("%d sockets are open", n.open.Load())
		}
	})
}

// TestStream asks by TCP what UDP cannot carry, beside forged replies.
func TestStream(t *testing.T) {
	forged := answers(a(www, 60, "192.0.2.66"))
	forged.Change = func(m *dnsmessage.Message) { m.ID ^= 1 }
	inBubble(t, Config{}, func(network, name string) []response {
		if network == "udp" {
			return []response{forged, {Truncated: true}}
		}
		return []response{forged, answers(many(name, 200)...)}
	}, func(t *testing.T, n *network, r *Resolver) {
		addrs, err := r.LookupHost(t.Context(), www)
		if len(addrs) != 200 || slices.Contains(addrs, "192.0.2.66") || err != nil {
			t.Errorf("%d addresses, %v", len(addrs), err)
		}
	})
}

// TestLongDatagram asks by TCP where a datagram is longer than it may be, though it
// does not say that it is truncated.
func TestLongDatagram(t *testing.T) {
	inBubble(t, Config{}, always(answers(many(www, 100)...)), func(t *testing.T, n *network, r *Resolver) {
		addrs, err := r.LookupHost(t.Context(), www)
		if len(addrs) != 100 || err != nil || n.dialed.Load() != 2 {
			t.Errorf("%d addresses, %v, %d sockets", len(addrs), err, n.dialed.Load())
		}
	})
}

// TestStreamEnds has a server close a TCP connection in the middle of a reply.
func TestStreamEnds(t *testing.T) {
	for _, reply := range []string{"", "\x00", "\x00\x0c", "\x00\x0cabc", "\xff\xffabc"} {
		cfg := Config{TCP: true, Attempts: 1, Dial: func(context.Context, string, netip.AddrPort) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				theirs.Read(make([]byte, 1500))
				io.WriteString(theirs, reply)
				theirs.Close()
			}()
			return ours, nil
		}}
		inBubble(t, cfg, nil, func(t *testing.T, n *network, r *Resolver) {
			if _, err := r.LookupHost(t.Context(), www); err == nil || !strings.Contains(err.Error(), "EOF") {
				t.Errorf("%q: %v", reply, err)
			}
		})
	}
}

// TestMany looks up many names from many goroutines.
func TestMany(t *testing.T) {
	inBubble(t, Config{CacheEntries: 7}, func(_, name string) []response {
		var i int
		fmt.Sscanf(name, "h%d.", &i)
		return []response{answers(a(name, 1, fmt.Sprintf("10.0.0.%d", i)))}
	}, func(t *testing.T, n *network, r *Resolver) {
		done := make(chan bool)
		for g := range 50 {
			go func() {
				defer func() { done <- true }()
				for k := range 20 {
					i := (g + k) % 20
					addrs, err := r.LookupHost(t.Context(), fmt.Sprintf("h%d", i))
					if err != nil || addrs[0] != fmt.Sprintf("10.0.0.%d", i) {
						t.Error(addrs, err)
					}
				}
			}()
		}
		for range 50 {
			<-done
		}
	})
}
