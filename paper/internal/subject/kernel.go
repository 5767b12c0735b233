package subject

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/netlink"
)

// kernel is the kernel's own sockets at the far end of a veth.
func kernel(key, name string, cable Cable) Subject {
	return Subject{Key: key, Name: name, Cable: cable, Files: true, Start: func(cfg Config) (Stack, error) {
		for _, e := range cfg.ends() {
			if err := addAddress(e); err != nil {
				return nil, err
			}
		}
		return kernelStack{cfg}, nil
	}}
}

// addAddress gives a device of this namespace the stack's address.
func addAddress(e end) error {
	i, err := net.InterfaceByName(e.device)
	if err != nil {
		return fmt.Errorf("%s: %w", e.device, err)
	}
	c, err := netlink.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	return c.AddAddr(i.Index, e.addr)
}

type kernelStack struct{ cfg Config }

// Listen listens with plain TCP, not MPTCP, and the congestion control of the
// config, which the connections inherit.
func (k kernelStack) Listen(port uint16) (net.Listener, error) {
	l := net.ListenConfig{Control: Congestion(k.cfg.Congestion)}
	l.SetMultipathTCP(false)
	at := netip.AddrPortFrom(k.cfg.Addr.Addr(), port)
	if k.cfg.Cables > 1 {
		at = netip.AddrPortFrom(netip.IPv4Unspecified(), port)
	}
	return l.Listen(context.Background(), "tcp4", at.String())
}

func (k kernelStack) ListenPacket(port uint16) (net.PacketConn, error) {
	at := netip.AddrPortFrom(k.cfg.Addr.Addr(), port)
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	return kernelPacketConn{c}, nil
}

// A kernelPacketConn has those methods by which a datagram takes no allocation
// by the names that GoNet's have.
type kernelPacketConn struct{ *net.UDPConn }

func (c kernelPacketConn) ReadFromAddrPort(p []byte) (int, netip.AddrPort, error) {
	return c.ReadFromUDPAddrPort(p)
}

func (c kernelPacketConn) WriteToAddrPort(p []byte, to netip.AddrPort) (int, error) {
	return c.WriteToUDPAddrPort(p, to)
}

func (kernelStack) Close() error { return nil }

// Congestion returns a control function for package net that chooses the
// congestion control of a TCP socket. A namespace cannot have one as its
// default that the system does not allow to everybody.
func Congestion(name string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var inner error
		err := c.Control(func(fd uintptr) {
			inner = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
		})
		if err == nil && inner != nil {
			err = fmt.Errorf("TCP_CONGESTION %s: %w", name, inner)
		}
		return err
	}
}
