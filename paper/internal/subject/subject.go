// Package subject is what the benchmark compares: TCP/IP stacks, and bare
// devices that show how much a stack could do at most.
package subject

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/seed-012105e5/gonet/paper/internal/agent"
)

// A Subject is a stack and the cable that joins it with the client's kernel.
type Subject struct {
	Key   string // for flags and files
	Name  string // for people
	Cable Cable

	// Cables is how many there are where it is more than one. Then streams take
	// one after the other.
	Cables int

	// Files says that each connection is an open file of the server's process.
	Files bool

	// Start starts the stack in this process, whose network namespace has the
	// end of the cable that is the stack's. Nil for what has no sockets.
	Start func(Config) (Stack, error)

	// Threads is GOMAXPROCS of the server's process when that is kept on one CPU.
	// 0 means what the Go runtime makes of that, which is 1.
	Threads int

	// Serve is instead of Start where there are no sockets: it does one of the
	// works of package service, and Works says which it can do.
	Serve func(cfg Config, work string, c *agent.Counters) (io.Closer, error)
	Works []string

	// Closes says that connections can be closed as well, sockets or not.
	Closes bool
}

// Config is what all stacks are told.
type Config struct {
	Addr       netip.Prefix // of the stack
	Peer       netip.Prefix // of the kernel at the other end
	Cables     int          // 0 means 1; see agent.Nth for the addresses on the others
	Congestion string
	BusyPoll   time.Duration // of GoNet's taps: tap.Config.BusyPoll
	Queues     int           // and tap.Config.Queues
}

// A Stack is what programs see of a TCP/IP stack.
type Stack interface {
	Listen(port uint16) (net.Listener, error)
	ListenPacket(port uint16) (net.PacketConn, error)
	io.Closer
}

// A Cable joins the client's network namespace with the stack.
type Cable int

const (
	// Tap: the stack makes the tap device Device itself, in the client's
	// namespace, of which the kernel has the other end.
	Tap Cable = iota
	// Veth: the stack has the end Device of a veth in a namespace of its own.
	Veth
	// PlainVeth is Veth with all offloads turned off at both ends.
	PlainVeth
	// None: packets stay in memory.
	None
)

// Device is the name of the stack's end of a cable, and Peer that of the
// client's. A tap is one device with two ends.
const (
	Device = "server0"
	Peer   = "client0"
)

// PeerDevice is the name of the client's end.
func (c Cable) PeerDevice() string {
	switch c {
	case Tap:
		return Device
	case None:
		return "lo"
	}
	return Peer
}

// All returns all subjects; the first is the one with which the others are
// compared.
func All() []Subject {
	return []Subject{
		kernel("kernel", "kernel, veth", Veth),
		kernel("kernel-plain", "kernel, veth without offloads", PlainVeth),
		kernelLinks("kernel-8links", "kernel, 8 veths", manyCables),
		ours("gonet", "GoNet, offload tap", false),
		ours("gonet-plain", "GoNet, plain tap", true),
		inOneLoop("direct", "GoNet's machines in one loop, offload tap", false),
		inOneLoop("direct-plain", "GoNet's machines in one loop, plain tap", true),
		ourLinks("gonet-8links", "GoNet, 8 offload taps on one stack", manyCables),
		ourStacks("gonet-8stacks", "GoNet, 8 stacks with a tap each", manyCables),
		gvisorTap("gvisor-tap", "gVisor, plain tap"),
		gvisorVeth("gvisor-recvmmsg", "gVisor, veth, host GSO, RecvMMsg", recvMMsg),
		gvisorVeth("gvisor-mmap", "gVisor, veth, host GSO, PacketMMap", packetMMap),
		raw("raw", "raw offload tap, nothing copied", fakeOptions{offload: true}),
		raw("raw-copy", "raw offload tap, copied once", fakeOptions{offload: true, copies: true}),
		raw("raw-plain", "raw plain tap, nothing copied", fakeOptions{}),
		inMemory("graph", "GoNet's graph, an echo request", startGraph),
		inMemory("chain", "processes that only hand on", startChain),
		inMemory("channel", "one channel, no process", startDirect),
	}
}

// ByKey returns a subject.
func ByKey(key string) (Subject, error) {
	for _, s := range All() {
		if s.Key == key {
			return s, nil
		}
	}
	return Subject{}, fmt.Errorf("there is no subject %q", key)
}
