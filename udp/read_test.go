package udp

import (
	"bytes"
	"net"
	"slices"
	"testing"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

func TestRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		c := r.listen(t, "0.0.0.0:53")
		for _, data := range []string{"one", "", "a long one", "last"} {
			r.in <- received(t, "10.0.0.9:7", "10.0.0.2:53", data)
		}
		p := make([]byte, 6)
		if n, from, err := c.ReadFrom(p); err != nil || string(p[:n]) != "one" || from.(*net.UDPAddr).String() != "10.0.0.9:7" {
			t.Errorf("%q from %v, %v", p[:n], from, err)
		}
		if n, from, err := c.ReadFromAddrPort(p); n != 0 || err != nil || from != addr("10.0.0.9:7") {
			t.Errorf("nothing: %d from %v, %v", n, from, err)
		}
		if n, err := c.Read(p); err != nil || string(p[:n]) != "a long" {
			t.Errorf("cut short: %q, %v", p[:n], err)
		}
		if n, err := c.Read(p); err != nil || string(p[:n]) != "last" {
			t.Errorf("after the one cut short: %q, %v", p[:n], err)
		}
	})
}

// RFC1122-4.1.3.2-1, RFC1122-4.1.3.5-1, RFC1122-4.1.4-1: the user gets the IP options, and the
// address that the datagram was for.
func TestReadMsg(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		c := r.listen(t, "0.0.0.0:53")
		options := []byte{7, 7, 8, 10, 0, 0, 1, 0}
		b := packet.From([]byte("hello"))
		Push(b, addr("10.0.0.9:7"), addr("172.16.0.2:53"))
		ipv4.Push(b, ipv4.Fields{Protocol: ip.ProtocolUDP, Src: peer, Dst: self2, TTL: 9, TOS: 0xb8, Options: options})
		b.CompleteChecksum()
		b.Link = 1
		r.in <- deliver(t, b)
		r.in <- received(t, "10.0.0.9:8", "10.0.0.255:53", "more")

		p := make([]byte, 4)
		var info Info
		n, err := c.ReadMsg(p, &info)
		if err != nil || n != 4 || info.Remote != addr("10.0.0.9:7") || info.Local != addr("172.16.0.2:53") || info.Link != 1 ||
			info.TTL != 9 || info.TOS != 0xb8 || !bytes.Equal(info.Options, options) || !info.Truncated {
			t.Errorf("%d, %+v, %v", n, info, err)
		}
		n, err = c.ReadMsg(p, &info)
		if err != nil || n != 4 || info.Local != addr("10.0.0.255:53") || info.TTL != ipv4.DefaultTTL || len(info.Options) > 0 || info.Truncated || info.Link != 0 {
			t.Errorf("%d, %+v, %v", n, info, err)
		}
	})
}

// The largest datagram passes whole, in both directions.
func TestLargest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		r.loop(t)
		a, b := r.listen(t, "10.0.0.2:1"), r.listen(t, "10.0.0.2:2")
		data := slices.Repeat([]byte{1, 2, 3, 5, 7}, MaxSize/5+1)[:MaxSize]
		if n, err := a.WriteTo(data, b.LocalAddr()); n != MaxSize || err != nil {
			t.Fatal(n, err)
		}
		p := make([]byte, 70000)
		if n, err := b.Read(p); !bytes.Equal(p[:n], data) || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
}
