package stack

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/link"
)

// A config that makes no sense is refused with a message that says what is
// wrong, and its links are closed.
func TestConfigErrors(t *testing.T) {
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	host := func(l link.Link) gonet.Config { return gonet.Config{Link: l, Addr: prefix("10.0.0.1/24")} }
	for _, c := range []struct {
		name   string
		config func(l link.Link) gonet.Config
		want   string
	}{
		{"no address", func(l link.Link) gonet.Config { return gonet.Config{Link: l} }, "invalid Prefix"},
		{"no link", func(l link.Link) gonet.Config {
			return gonet.Config{Addr: prefix("10.0.0.1/24"), Interfaces: []gonet.Interface{{Link: l}}}
		}, "interface 0 has no Link"},
		{"no second link", func(l link.Link) gonet.Config {
			return gonet.Config{Link: l, Addr: prefix("10.0.0.1/24"), Interfaces: []gonet.Interface{{}}}
		}, "interface 1 has no Link"},
		{"IPv6", func(l link.Link) gonet.Config { return gonet.Config{Link: l, Addr: prefix("2001:db8::1/64")} }, "2001:db8::1"},
		{"network address", func(l link.Link) gonet.Config { return gonet.Config{Link: l, Addr: prefix("10.0.0.0/24")} }, "10.0.0.0/24"},
		{"broadcast address", func(l link.Link) gonet.Config { return gonet.Config{Link: l, Addr: prefix("10.0.0.255/24")} }, "10.0.0.255/24"},
		{"multicast address", func(l link.Link) gonet.Config { return gonet.Config{Link: l, Addr: prefix("224.0.0.1/24")} }, "224.0.0.1/24"},
		{"loopback address", func(l link.Link) gonet.Config { return gonet.Config{Link: l, Addr: prefix("127.0.0.1/8")} }, "127.0.0.1/8"},
		{"gateway elsewhere", func(l link.Link) gonet.Config {
			c := host(l)
			c.Gateway = addr("10.0.1.254")
			return c
		}, "gateway 10.0.1.254"},
		{"gateway is oneself", func(l link.Link) gonet.Config {
			c := host(l)
			c.Gateway = addr("10.0.0.1")
			return c
		}, "10.0.0.1 cannot be a gateway"},
		{"route by no interface", func(l link.Link) gonet.Config {
			c := host(l)
			c.Routes = []gonet.Route{{Prefix: prefix("10.1.0.0/16"), Gateway: addr("10.0.0.254"), Interface: 1}}
			return c
		}, "there is no interface 1"},
		{"route with too many bits", func(l link.Link) gonet.Config {
			c := host(l)
			c.Routes = []gonet.Route{{Prefix: prefix("10.1.0.1/16"), Gateway: addr("10.0.0.254")}}
			return c
		}, "is it 10.1.0.0/16?"},
		{"route by a gateway elsewhere", func(l link.Link) gonet.Config {
			c := host(l)
			c.Routes = []gonet.Route{{Prefix: prefix("10.1.0.0/16"), Gateway: addr("10.2.0.254")}}
			return c
		}, "gateway 10.2.0.254 is in no network of interface 0"},
		{"small MTU", func(l link.Link) gonet.Config {
			l.MTU = 60
			return host(l)
		}, "MTU 60"},
		{"randomness that ends", func(l link.Link) gonet.Config {
			c := host(l)
			c.Rand = strings.NewReader("four")
			return c
		}, "Config.Rand: unexpected EOF"},
		{"broken randomness", func(l link.Link) gonet.Config {
			c := host(l)
			c.Rand = failing{errors.New("no dice")}
			return c
		}, "Config.Rand: no dice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				l, other := link.Pipe(link.PipeConfig{})
				s, err := gonet.New(c.config(l))
				if err == nil {
					s.Close()
					t.Fatal("no error")
				}
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %q, want %q in it", err, c.want)
				}
				if _, open := <-other.Rx; open {
					t.Error("the link is not closed")
				}
				close(other.Tx)
			})
		})
	}
	if _, err := gonet.New(gonet.Config{}); err == nil || !strings.Contains(err.Error(), "no Link") {
		t.Errorf("nothing at all: %v", err)
	}
}

// A stack with several cards and addresses answers for all of them.
func TestInterfaces(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		la, lb := link.Pipe(link.PipeConfig{})
		lc, ld := link.Pipe(link.PipeConfig{})
		a := newHost(t, la, "10.0.0.1/24", 1)
		defer a.Close()
		d := newHost(t, ld, "10.1.0.1/24", 2)
		defer d.Close()
		middle, err := gonet.New(gonet.Config{
			Link: lb, Addr: netip.MustParsePrefix("10.0.0.2/24"),
			Interfaces: []gonet.Interface{{
				Link:   lc,
				Addrs:  []netip.Prefix{netip.MustParsePrefix("10.1.0.2/24"), netip.MustParsePrefix("10.1.0.3/24")},
				Static: map[netip.Addr]ethernet.Addr{netip.MustParseAddr("10.1.0.1"): ld.MAC},
			}},
			Routes: []gonet.Route{{Prefix: netip.MustParsePrefix("10.2.0.0/16"), Gateway: netip.MustParseAddr("10.1.0.1"), Interface: 1}},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer middle.Close()
		for _, c := range []struct {
			from *gonet.Stack
			to   string
		}{{a, "10.0.0.2"}, {d, "10.1.0.2"}, {d, "10.1.0.3"}, {middle, "10.0.0.1"}, {middle, "10.1.0.1"}} {
			if _, err := c.from.Ping(t.Context(), netip.MustParseAddr(c.to)); err != nil {
				t.Errorf("ping %s: %v", c.to, err)
			}
		}
		l := listen(t, middle, ":7")
		defer l.Close()
		go echo(l)
		dial(t, a, "10.0.0.2:7").Close()
		dial(t, d, "10.1.0.3:7").Close()
	})
}
