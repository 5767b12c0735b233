package udp

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/seed-012105e5/gonet/internal/port"
	"github.com/seed-012105e5/gonet/ip"
)

func tableConn(local, remote string) *Conn {
	c := &Conn{local: addr(local)}
	if remote != "" {
		c.remote = addr(remote)
	}
	return c
}

func testSockets(t *testing.T, max int, conns ...*Conn) *table {
	t.Helper()
	table := newTable(max, rand.New(rand.NewPCG(9, 9)).Uint64)
	for _, c := range conns {
		if err := table.bind(c); err != nil {
			t.Fatalf("bind %v to %v: %v", c.local, c.remote, err)
		}
	}
	return table
}

// A connected socket goes before one bound to the address, and that before a
// wildcard.
func TestFind(t *testing.T) {
	wildcard := tableConn("0.0.0.0:53", "")
	connected := tableConn("10.0.0.2:53", "10.0.0.9:1000")
	specific := tableConn("10.0.0.2:54", "")
	connected54 := tableConn("10.0.0.2:54", "10.0.0.9:1000")
	table := testSockets(t, 10, wildcard, connected, specific, connected54)
	for _, test := range []struct {
		local, remote string
		want          *Conn
	}{
		{"10.0.0.2:53", "10.0.0.9:1000", connected},
		{"10.0.0.2:53", "10.0.0.9:1001", wildcard},
		{"10.0.0.2:53", "10.0.0.8:1000", wildcard},
		{"172.16.0.2:53", "10.0.0.9:1000", wildcard},
		{"10.0.0.2:54", "10.0.0.9:1000", connected54},
		{"10.0.0.2:54", "10.0.0.9:9", specific},
		{"172.16.0.2:54", "10.0.0.9:1000", nil},
		{"10.0.0.2:55", "10.0.0.9:1000", nil},
		{"10.0.0.2:0", "10.0.0.9:1000", nil},
	} {
		if got := table.find(ip.EndpointOfAddrPort(addr(test.local)), ip.EndpointOfAddrPort(addr(test.remote))); got != test.want {
			t.Errorf("%s from %s: found %v, want %v", test.local, test.remote, got, test.want)
		}
	}
	table.unbind(connected)
	table.unbind(connected) // again
	if got := table.find(ip.EndpointOfAddrPort(addr("10.0.0.2:53")), ip.EndpointOfAddrPort(addr("10.0.0.9:1000"))); got != wildcard {
		t.Errorf("after the connected one has gone: %v", got)
	}
	table.unbind(wildcard)
	if table.count != 2 || len(table.ports) != 1 || len(table.flows) != 2 || len(table.all()) != 2 {
		t.Errorf("left over: %+v", table)
	}
}

func TestConflicts(t *testing.T) {
	for _, test := range []struct {
		name          string
		first, second *Conn
		want          error
	}{
		{"the same address", tableConn("10.0.0.2:53", ""), tableConn("10.0.0.2:53", ""), syscall.EADDRINUSE},
		{"two wildcards", tableConn("0.0.0.0:53", ""), tableConn("0.0.0.0:53", ""), syscall.EADDRINUSE},
		{"a wildcard later", tableConn("10.0.0.2:53", ""), tableConn("0.0.0.0:53", ""), syscall.EADDRINUSE},
		{"a wildcard before", tableConn("0.0.0.0:53", ""), tableConn("10.0.0.2:53", ""), syscall.EADDRINUSE},
		{"another address", tableConn("10.0.0.2:53", ""), tableConn("172.16.0.2:53", ""), nil},
		{"another port", tableConn("10.0.0.2:53", ""), tableConn("10.0.0.2:54", ""), nil},
		{"connected, from a listener's port", tableConn("0.0.0.0:53", ""), tableConn("10.0.0.2:53", "10.0.0.9:1"), nil},
		{"listener at a connected one's port", tableConn("10.0.0.2:53", "10.0.0.9:1"), tableConn("0.0.0.0:53", ""), nil},
		{"connected elsewhere", tableConn("10.0.0.2:53", "10.0.0.9:1"), tableConn("10.0.0.2:53", "10.0.0.9:2"), nil},
		{"connected twice", tableConn("10.0.0.2:53", "10.0.0.9:1"), tableConn("10.0.0.2:53", "10.0.0.9:1"), syscall.EADDRINUSE},
		{"a group twice", tableConn("239.1.2.3:53", ""), tableConn("239.1.2.3:53", ""), nil},
		{"a group beside a wildcard", tableConn("0.0.0.0:53", ""), tableConn("239.1.2.3:53", ""), nil},
		{"a wildcard beside a group", tableConn("239.1.2.3:53", ""), tableConn("0.0.0.0:53", ""), nil},
	} {
		table := testSockets(t, 10, test.first)
		if err := table.bind(test.second); err != test.want {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

func TestBindBounds(t *testing.T) {
	table := testSockets(t, 1, tableConn("10.0.0.2:53", ""))
	if err := table.bind(tableConn("10.0.0.2:54", "")); err != syscall.ENOBUFS {
		t.Errorf("one too many: %v", err)
	}
	table.down = true
	if err := table.bind(tableConn("10.0.0.2:55", "")); err != net.ErrClosed {
		t.Errorf("after shutdown: %v", err)
	}
}

// Ephemeral ports are those that nobody has, to the last of them.
func TestEphemeral(t *testing.T) {
	const count = port.Last - port.First + 1
	table := newTable(1<<20, rand.New(rand.NewPCG(4, 2)).Uint64)
	seen := map[uint16]bool{}
	for range count {
		c := &Conn{local: netip.AddrPortFrom(self, 0), remote: addr("10.0.0.9:53")}
		if err := table.bind(c); err != nil {
			t.Fatalf("after %d: %v", len(seen), err)
		}
		if p := c.local.Port(); p < port.First || seen[p] {
			t.Fatalf("port %d after %d", p, len(seen))
		}
		seen[c.local.Port()] = true
	}
	if err := table.bind(&Conn{local: netip.AddrPortFrom(anyAddr, 0)}); err != syscall.EADDRINUSE {
		t.Errorf("when there are none: %v", err)
	}
}

// An ephemeral port that was given back is not used again at once, unless there is
// no other.
func TestQuietPorts(t *testing.T) {
	table := testSockets(t, 1<<17)
	open := func() *Conn {
		c := tableConn("10.0.0.2:0", "")
		if err := table.bind(c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := open()
	table.unbind(first)
	for i := range quietPorts - 1 {
		c := open()
		if c.local == first.local {
			t.Fatalf("%v is used again after %d", c.local, i)
		}
		table.unbind(c)
	}
	used := map[netip.AddrPort]bool{}
	for range port.Last - port.First + 1 {
		used[open().local] = true
	}
	if !used[first.local] {
		t.Errorf("of %d ports that are used, %v is not one", len(used), first.local)
	}
	if err := table.bind(tableConn("10.0.0.2:0", "")); err != syscall.EADDRINUSE {
		t.Errorf("no port is left: %v", err)
	}
}
