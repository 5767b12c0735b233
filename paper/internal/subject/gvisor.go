package subject

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
	sockets "gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// How gVisor takes frames from a packet socket.
const (
	recvMMsg   = fdbased.RecvMMsg
	packetMMap = fdbased.PacketMMap
)

// mtu is that of all cables.
const mtu = 1500

// gvisorThreads is how many threads gVisor needs on one CPU to be at its best:
// its dispatcher waits in a system call, behind the back of the Go runtime,
// which takes some hundred µs to notice that with one thread nobody else runs.
const gvisorThreads = 2

// gvisorTap is gVisor's netstack behind a plain tap. Its endpoint takes host
// GSO for sockets only, and reads what is no socket with readv.
func gvisorTap(key, name string) Subject {
	return Subject{Key: key, Name: name, Cable: Tap, Threads: gvisorThreads, Start: func(cfg Config) (Stack, error) {
		fd, err := openTap(cfg, false)
		if err != nil {
			return nil, err
		}
		return startGVisor(cfg, fd, fdbased.Options{Address: tcpip.LinkAddress(ourMAC[:])})
	}}
}

// gvisorVeth is gVisor's netstack in its best configuration: on a packet socket,
// with trains of 64 KB both ways and checksums left to the kernel, as runsc has
// it. The dispatcher hands packets up by itself (one processor): a goroutine in
// between costs more than it brings on two cores.
func gvisorVeth(key, name string, mode fdbased.PacketDispatchMode) Subject {
	return Subject{Key: key, Name: name, Cable: Veth, Threads: gvisorThreads, Start: func(cfg Config) (Stack, error) {
		fd, mac, err := openPacket()
		if err != nil {
			return nil, err
		}
		return startGVisor(cfg, fd, fdbased.Options{
			Address: tcpip.LinkAddress(mac[:]), PacketDispatchMode: mode, GSOMaxSize: 65536, RXChecksumOffload: true,
		})
	}}
}

// startGVisor starts a stack on fd.
func startGVisor(cfg Config, fd int, o fdbased.Options) (_ Stack, err error) {
	g := &gvisor{cfg: cfg, fd: fd}
	defer func() {
		if err != nil {
			g.Close()
		}
	}()
	o.FDs, o.MTU, o.EthernetHeader, o.ProcessorsPerChannel = []int{fd}, mtu, true, 1
	endpoint, err := fdbased.New(&o)
	if err != nil {
		return nil, err
	}
	g.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	if err := g.tune(); err != nil {
		return nil, err
	}
	if err := g.stack.CreateNIC(nic, endpoint); err != nil {
		return nil, explain("CreateNIC", err)
	}
	address := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpip.AddressWithPrefix{
		Address: tcpip.AddrFrom4(cfg.Addr.Addr().As4()), PrefixLen: cfg.Addr.Bits(),
	}}
	if err := g.stack.AddProtocolAddress(nic, address, stack.AddressProperties{}); err != nil {
		return nil, explain("AddProtocolAddress", err)
	}
	g.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}})
	return g, nil
}

const nic = 1

type gvisor struct {
	cfg   Config
	fd    int
	stack *stack.Stack
}

// tune gives TCP what it needs to be at its best: large buffers that grow with
// what the path carries, SACK, and the congestion control of all.
func (g *gvisor) tune() error {
	const least, usual, most = 4 << 10, 4 << 20, 8 << 20
	sack, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	congestion := tcpip.CongestionControlOption(g.cfg.Congestion)
	for _, o := range []tcpip.SettableTransportProtocolOption{
		&sack, &moderate, &congestion,
		&tcpip.TCPSendBufferSizeRangeOption{Min: least, Default: usual, Max: most},
		&tcpip.TCPReceiveBufferSizeRangeOption{Min: least, Default: usual, Max: most},
	} {
		if err := g.stack.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return explain(fmt.Sprintf("option %T", o), err)
		}
	}
	return nil
}

func (g *gvisor) Listen(port uint16) (net.Listener, error) {
	l, err := sockets.ListenTCP(g.stack, g.at(port), ipv4.ProtocolNumber)
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (g *gvisor) ListenPacket(port uint16) (net.PacketConn, error) {
	at := g.at(port)
	c, err := sockets.DialUDP(g.stack, &at, nil, ipv4.ProtocolNumber)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (g *gvisor) at(port uint16) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFrom4(g.cfg.Addr.Addr().As4()), Port: port}
}

func (g *gvisor) Close() error {
	if g.stack != nil {
		g.stack.Close()
		g.stack.RemoveNIC(nic) // waits until nobody reads fd any more
	}
	return unix.Close(g.fd)
}

// explain makes an error of one of gVisor's.
func explain(what string, err tcpip.Error) error {
	return errors.New("gVisor: " + what + ": " + err.String())
}
