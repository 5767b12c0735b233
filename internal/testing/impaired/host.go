//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tap"
	"github.com/seed-012105e5/gonet/tcp"
)

// A host is one end of the wire: a kernel or a stack.
type host struct {
	addr netip.Addr

	// cable is the host as the wire sees it: Tx is to the host, and Rx from it.
	// Who closes Tx pulls it out.
	cable link.Link

	listen   func(port uint16) (net.Listener, error)
	dial     func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	counters func() (counters, error)
	close    func() // after the cable
}

// counters are what a host has counted, by name.
type counters map[string]uint64

// A maker makes the host of this number, of 1 and 2.
type maker func(s *settings, number byte) (*host, error)

func address(number byte) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, number}), 24)
}

// newKernel is a network namespace with a tap.
func newKernel(s *settings, number byte) (*host, error) {
	ns, err := netns.New()
	if err != nil {
		return nil, err
	}
	at := address(number)
	h := &host{addr: at.Addr(), close: func() { ns.Close() }}
	for name, value := range map[string]string{
		"net.ipv4.tcp_rmem":                  fmt.Sprintf("4096 131072 %d", 2*s.buffer), // the window is half of it
		"net.ipv4.tcp_wmem":                  fmt.Sprintf("4096 16384 %d", 2*s.buffer),  // of text and its overhead
		"net.ipv6.conf.default.disable_ipv6": "1",                                       // its frames would take fates
	} {
		if err := ns.Sysctl(name, value); err != nil && !os.IsNotExist(err) {
			return nil, err
		}
	}
	err = ns.Do(func() (err error) {
		h.cable, err = tap.Open(tap.Config{
			Name: "tap0", DisableOffload: s.plain,
			HostAddr: at, HostMAC: [6]byte{2, 0, 0, 0, 0, number}, MAC: [6]byte{2, 0, 0, 0, 1, number},
		})
		return err
	})
	h.listen = func(port uint16) (net.Listener, error) {
		return ns.Listen("tcp", netip.AddrPortFrom(h.addr, port).String())
	}
	h.dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		c, err := ns.Dial(ctx, "tcp", to.String())
		if err == nil {
			err = setCongestion(c, s.congestion)
		}
		return c, err
	}
	h.counters = func() (c counters, err error) {
		err = ns.Do(func() error {
			c, err = netstat("/proc/thread-self/net/netstat", "/proc/thread-self/net/snmp")
			return err
		})
		return c, err
	}
	return h, err
}

// setCongestion chooses the congestion control of a socket of the kernel's. A
// namespace may not have one as its default that the system does not allow to
// all.
func setCongestion(c net.Conn, name string) error {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) {
		inner = os.NewSyscallError("TCP_CONGESTION", unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, name))
	})
	return errors.Join(err, inner)
}

// netstat reads the kernel's counters: lines in pairs, of names and of values.
func netstat(files ...string) (counters, error) {
	c := make(counters)
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			names := strings.Fields(lines.Text())
			lines.Scan()
			for i, v := range strings.Fields(lines.Text()) {
				if n, err := strconv.ParseUint(v, 10, 64); err == nil && n > 0 && strings.HasPrefix(names[0], "Tcp") {
					c[names[i]] = n
				}
			}
		}
	}
	return c, nil
}

// newStack is a stack of ours, on a cable that loses nothing.
func newStack(s *settings, number byte) (*host, error) {
	at := address(number)
	in, out := make(chan *packet.Buffer, link.QueueLen), make(chan *packet.Buffer, link.QueueLen)
	card := link.Link{Name: "wire", Rx: in, Tx: out, MTU: link.DefaultMTU, MAC: [6]byte{2, 0, 0, 0, 0, number}, Stats: new(link.Stats)}
	stack, err := gonet.New(gonet.Config{
		Link: card, Addr: at, KeepAlive: -1,
		TCP: tcp.Config{Congestion: s.congestion, SendBuffer: s.buffer, ReceiveBuffer: s.buffer},
	})
	if err != nil {
		return nil, err
	}
	return &host{
		addr:  at.Addr(),
		cable: link.Link{Name: "wire", Rx: out, Tx: in, MTU: card.MTU, MAC: card.MAC, Stats: card.Stats},
		listen: func(port uint16) (net.Listener, error) {
			return stack.Listen("tcp", netip.AddrPortFrom(at.Addr(), port).String())
		},
		dial: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			return stack.DialContext(ctx, "tcp", to.String())
		},
		counters: func() (counters, error) {
			c := make(counters)
			for name, n := range stack.Stats() {
				if name, ok := strings.CutPrefix(name, "tcp."); ok && n > 0 {
					c[name] = n
				}
			}
			return c, nil
		},
		close: func() { stack.Close() },
	}, nil
}
