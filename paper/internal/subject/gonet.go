package subject

import (
	"fmt"
	"net"
	"strings"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/tap"
	"github.com/seed-012105e5/gonet/tcp"
)

// IsOurs says whether s is GoNet behind a device.
func (s Subject) IsOurs() bool { return strings.HasPrefix(s.Key, ourKey) && s.Start != nil }

// ourKey is what the keys of GoNet begin with.
const ourKey = "gonet"

// ours is GoNet behind a tap.
func ours(key, name string, plain bool) Subject {
	return Subject{Key: key, Name: name, Cable: Tap, Start: func(cfg Config) (Stack, error) {
		card, err := tap.Open(tap.Config{Name: Device, HostAddr: cfg.Peer, DisableOffload: plain})
		if err != nil {
			return nil, err
		}
		s, err := gonet.New(gonet.Config{Link: card, Addr: cfg.Addr, TCP: tcp.Config{Congestion: cfg.Congestion}})
		if err != nil {
			return nil, err
		}
		return ourStack{s}, nil
	}}
}

type ourStack struct{ *gonet.Stack }

func (s ourStack) Listen(port uint16) (net.Listener, error) {
	return s.Stack.Listen("tcp", fmt.Sprintf(":%d", port))
}

func (s ourStack) ListenPacket(port uint16) (net.PacketConn, error) {
	return s.Stack.ListenPacket("udp", fmt.Sprintf(":%d", port))
}
