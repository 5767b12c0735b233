package subject

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/tap"
	"github.com/seed-012105e5/gonet/tcp"
)

// IsOurs says whether s is GoNet behind a device, or its machines.
func (s Subject) IsOurs() bool {
	return strings.HasPrefix(s.Key, ourKey) && s.Start != nil && s.Cables <= 1 || strings.HasPrefix(s.Key, directKey)
}

// What the keys of GoNet, and of its machines in one loop, begin with.
const (
	ourKey    = "gonet"
	directKey = "direct"
)

// ours is GoNet behind a tap.
func ours(key, name string, plain bool) Subject {
	return Subject{Key: key, Name: name, Cable: Tap, Start: func(cfg Config) (Stack, error) {
		return startOurs(cfg, cfg.ends(), plain)
	}}
}

// startOurs starts a stack that has a tap for each end.
func startOurs(cfg Config, ends []end, plain bool) (Stack, error) {
	c := gonet.Config{KeepAlive: -1, TCP: tcp.Config{Congestion: cfg.Congestion}}
	for _, e := range ends {
		card, err := tap.Open(tap.Config{Name: e.device, HostAddr: e.peer, DisableOffload: plain, BusyPoll: cfg.BusyPoll, Queues: cfg.Queues})
		if err != nil {
			return nil, err // and the process ends
		}
		c.Interfaces = append(c.Interfaces, gonet.Interface{Link: card, Addrs: []netip.Prefix{e.addr}})
	}
	s, err := gonet.New(c)
	if err != nil {
		return nil, err
	}
	return ourStack{s}, nil
}

type ourStack struct{ *gonet.Stack }

func (s ourStack) Listen(port uint16) (net.Listener, error) {
	return s.Stack.Listen("tcp", fmt.Sprintf(":%d", port))
}

func (s ourStack) ListenPacket(port uint16) (net.PacketConn, error) {
	return s.Stack.ListenPacket("udp", fmt.Sprintf(":%d", port))
}
