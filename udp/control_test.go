package udp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// controls is control data of one message.
func controls(level, kind uint32, data ...byte) []byte {
	p := make([]byte, align(headerLen+len(data)))
	if wordLen == 8 {
		binary.NativeEndian.PutUint64(p, uint64(headerLen+len(data)))
	} else {
		binary.NativeEndian.PutUint32(p, uint32(headerLen+len(data)))
	}
	binary.NativeEndian.PutUint32(p[wordLen:], level)
	binary.NativeEndian.PutUint32(p[wordLen+4:], kind)
	copy(p[headerLen:], data)
	return p
}

func number(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func pktinfo(link uint32, ours, dst string) []byte {
	a, b := netip.MustParseAddr(ours).As4(), netip.MustParseAddr(dst).As4()
	return append(append(number(link), a[:]...), b[:]...)
}

// With a datagram come our address, its interface, TTL and ECN, as recvmsg(2)
// has them; as much of it as there is room for.
func TestReadMsgUDP(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		c := r.listen(t, "0.0.0.0:53")
		send := func(dst string, link int) {
			b := packet.From([]byte("hello"))
			Push(b, addr("10.0.0.9:7"), addr(dst))
			ipv4.Push(b, ipv4.Fields{Protocol: ip.ProtocolUDP, Src: peer, Dst: addr(dst).Addr(), TTL: 9, TOS: 0xbb})
			b.CompleteChecksum()
			b.Link = link
			r.in <- deliver(t, b)
		}
		all := func(info []byte) []byte {
			return bytes.Join([][]byte{controls(0, 8, info...), controls(0, 2, number(9)...), controls(0, 1, 0xbb)}, nil)
		}
		for _, test := range []struct {
			dst   string
			link  int
			room  int // for control data
			space int // for data
			want  []byte
			flags int
		}{
			{"172.16.0.2:53", 1, 200, 9, all(pktinfo(2, "172.16.0.2", "172.16.0.2")), 0},
			{"172.16.0.2:53", -1, 200, 9, all(pktinfo(0, "172.16.0.2", "172.16.0.2")), 0},
			{"10.0.0.255:53", 0, 200, 9, all(pktinfo(1, "10.0.0.2", "10.0.0.255")), 0},
			{"10.0.0.2:53", 0, 0, 9, nil, 0},
			{"10.0.0.2:53", 0, 0, 4, nil, syscall.MSG_TRUNC},
			{"10.0.0.2:53", 0, headerLen + 11, 9, controls(0, 2, number(9)...)[:headerLen+4], syscall.MSG_CTRUNC},
			{"10.0.0.2:53", 0, headerLen + 12, 0, controls(0, 8, pktinfo(1, "10.0.0.2", "10.0.0.2")...)[:headerLen+12], syscall.MSG_CTRUNC | syscall.MSG_TRUNC},
		} {
			send(test.dst, test.link)
			p, oob := make([]byte, test.space), bytes.Repeat([]byte{0xee}, test.room)
			n, oobn, flags, from, err := c.ReadMsgUDP(p, oob)
			if err != nil || n != min(test.space, 5) || from.String() != "10.0.0.9:7" || flags != test.flags {
				t.Errorf("%s: %d bytes from %v, flags %#x, %v", test.dst, n, from, flags, err)
			}
			if got := oob[:oobn]; !bytes.Equal(got[:min(len(got), len(test.want))], test.want) {
				t.Errorf("%s with room for %d:\n% x\nwant\n% x", test.dst, test.room, got, test.want)
			}
		}
	})
}

// Control data sets source, TOS and TTL of one datagram, and what is not
// understood sends none.
func TestWriteMsgUDP(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		c, connected := r.listen(t, "0.0.0.0:1"), r.dial(t, "0.0.0.0:2", "10.0.0.9:53")
		broken := controls(0, 1, 3)
		broken[0] = 200
		for _, test := range []struct {
			name string
			oob  []byte
			want ipv4.Fields // what it is to have; the zero TTL and Src mean the default
			err  error
		}{
			{"nothing", nil, ipv4.Fields{}, nil},
			{"a source", controls(0, 8, pktinfo(0, "172.16.0.2", "0.0.0.0")...), ipv4.Fields{Src: self2}, nil},
			{"an interface only", controls(0, 8, pktinfo(1, "0.0.0.0", "0.0.0.0")...), ipv4.Fields{}, nil},
			{"ECN", controls(0, 1, 2), ipv4.Fields{TOS: 2}, nil},
			{"TOS", controls(0, 1, number(0xb9)...), ipv4.Fields{TOS: 0xb9}, nil},
			{"both", append(controls(0, 1, number(1)...), controls(0, 2, number(7)...)...), ipv4.Fields{TOS: 1, TTL: 7}, nil},
			{"a source of others", controls(0, 8, pktinfo(0, "10.0.0.9", "0.0.0.0")...), ipv4.Fields{}, syscall.EADDRNOTAVAIL},
			{"no TTL", controls(0, 2, number(0)...), ipv4.Fields{}, syscall.EINVAL},
			{"TTL too high", controls(0, 2, number(256)...), ipv4.Fields{}, syscall.EINVAL},
			{"TOS too high", controls(0, 1, number(256)...), ipv4.Fields{}, syscall.EINVAL},
			{"of an unknown kind", controls(0, 99, number(1)...), ipv4.Fields{}, syscall.EINVAL},
			{"of another level", controls(17, 103, 1, 2), ipv4.Fields{}, syscall.EINVAL},
			{"of a wrong length", controls(0, 8, 1, 2, 3), ipv4.Fields{}, syscall.EINVAL},
			{"longer than it is", broken, ipv4.Fields{}, syscall.EINVAL},
		} {
			for _, to := range []*net.UDPAddr{{IP: net.IPv4(10, 0, 0, 9), Port: 53}, nil} {
				conn := c
				if to == nil {
					conn = connected
				}
				n, oobn, err := conn.WriteMsgUDP([]byte("hello"), test.oob, to)
				if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) || err == nil && (n != 5 || oobn != len(test.oob)) {
					t.Errorf("%s, to %v: %d, %d, %v, want %v", test.name, to, n, oobn, err, test.err)
				}
				if test.err != nil {
					if len(r.tx) > 0 {
						t.Errorf("%s was sent", test.name)
					}
					continue
				}
				want := test.want
				if want.TTL == 0 {
					want.TTL = ipv4.DefaultTTL
				}
				if want.Src == (netip.Addr{}) {
					want.Src = self
				}
				if ip, _ := r.sent(t); ip.Src() != want.Src || ip.TOS() != want.TOS || ip.TTL() != want.TTL || ip.Dst() != peer {
					t.Errorf("%s: %v, TOS %#x", test.name, ip, ip.TOS())
				}
			}
		}
		if _, _, err := connected.WriteMsgUDPAddrPort(nil, nil, addr("10.0.0.9:53")); !errors.Is(err, net.ErrWriteToConnected) {
			t.Errorf("connected, and an address: %v", err)
		}
		if _, _, err := c.WriteMsgUDPAddrPort(nil, nil, netip.AddrPort{}); err == nil || err.Error() != "write udp 0.0.0.0:1: missing address" {
			t.Errorf("no address: %v", err)
		}
	})
}

// The calls of package net do what theirs do.
func TestAliases(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		r.loop(t)
		a, b := r.listen(t, "127.0.0.1:1"), r.listen(t, "127.0.0.1:2")
		to := b.LocalAddr().(*net.UDPAddr)
		here := &net.UDPAddr{Port: 2} // no IP: this host
		for name, write := range map[string]func(p []byte) (int, error){
			"WriteTo":            func(p []byte) (int, error) { return a.WriteTo(p, to) },
			"WriteTo, no IP":     func(p []byte) (int, error) { return a.WriteTo(p, here) },
			"WriteToUDP":         func(p []byte) (int, error) { return a.WriteToUDP(p, to) },
			"WriteToUDPAddrPort": func(p []byte) (int, error) { return a.WriteToUDPAddrPort(p, to.AddrPort()) },
			"WriteToAddrPort":    func(p []byte) (int, error) { return a.WriteToAddrPort(p, to.AddrPort()) },
			"mapped":             func(p []byte) (int, error) { return a.WriteToUDPAddrPort(p, addr("[::ffff:127.0.0.1]:2")) },
			"WriteMsgUDP":        func(p []byte) (int, error) { n, _, err := a.WriteMsgUDP(p, nil, to); return n, err },
			"WriteMsgUDPAddrPort": func(p []byte) (int, error) {
				n, _, err := a.WriteMsgUDPAddrPort(p, nil, to.AddrPort())
				return n, err
			},
		} {
			for _, read := range []func(p []byte) (int, string, error){
				func(p []byte) (int, string, error) { n, from, err := b.ReadFrom(p); return n, from.String(), err },
				func(p []byte) (int, string, error) { n, from, err := b.ReadFromUDP(p); return n, from.String(), err },
				func(p []byte) (int, string, error) {
					n, from, err := b.ReadFromUDPAddrPort(p)
					return n, from.String(), err
				},
				func(p []byte) (int, string, error) {
					n, from, err := b.ReadFromAddrPort(p)
					return n, from.String(), err
				},
				func(p []byte) (int, string, error) {
					n, _, _, from, err := b.ReadMsgUDP(p, nil)
					return n, from.String(), err
				},
			} {
				if n, err := write([]byte("hello")); n != 5 || err != nil {
					t.Fatalf("%s: %d, %v", name, n, err)
				}
				p := make([]byte, 9)
				if n, from, err := read(p); string(p[:n]) != "hello" || from != "127.0.0.1:1" || err != nil {
					t.Errorf("%s: read %q from %s, %v", name, p[:n], from, err)
				}
			}
		}
		v6 := &net.UDPAddr{IP: net.ParseIP("2001:db8::1"), Port: 2}
		_, err1 := a.WriteTo(nil, v6)
		_, err2 := a.WriteToUDPAddrPort(nil, v6.AddrPort())
		for _, err := range []error{err1, err2} {
			if want := "write udp 127.0.0.1:1->[2001:db8::1]:2: address 2001:db8::1: non-IPv4 address"; err == nil || err.Error() != want {
				t.Errorf("%v, want %s", err, want)
			}
		}
		if n, err := b.Read(nil); n != 0 || err != nil {
			t.Errorf("a read of nothing: %d, %v", n, err)
		}
	})
}

func FuzzControl(f *testing.F) {
	f.Add(controls(0, 1, 3))
	f.Add(append(controls(0, 8, make([]byte, 12)...), controls(0, 2, number(7)...)...))
	f.Fuzz(func(t *testing.T, oob []byte) {
		var o options
		local, ok := o.control(oob)
		if ok && local.IsValid() && !local.Is4() {
			t.Errorf("%v", local)
		}
		if o.ip != nil || o.df || o.noLoop {
			t.Errorf("%+v", o)
		}
	})
}
