package subject

import (
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/internal/counter"
	"github.com/seed-012105e5/gonet/paper/internal/agent"
	"github.com/seed-012105e5/gonet/paper/internal/direct"
	"github.com/seed-012105e5/gonet/tap"
	"github.com/seed-012105e5/gonet/tcp"
)

// inOneLoop is GoNet's machines behind a tap, without channels and with one
// goroutine. It has no sockets: its program is a function that is called.
func inOneLoop(key, name string, plain bool) Subject {
	works := []string{Sink, Discard, Source, Echo}
	return Subject{Key: key, Name: name, Cable: Tap, Works: works, Closes: true,
		Serve: func(cfg Config, work string, c *agent.Counters) (io.Closer, error) {
			card, err := tap.OpenPolled(tap.Config{Name: Device, HostAddr: cfg.Peer, DisableOffload: plain, BusyPoll: cfg.BusyPoll})
			if err != nil {
				return nil, err
			}
			s, err := direct.New(card, direct.Config{
				MAC: card.MAC, MTU: card.MTU, Addr: cfg.Addr, Random: rand.Uint64, TCP: tcp.Config{Congestion: cfg.Congestion},
			})
			if err == nil {
				err = serveDirect(s, work, c)
			}
			if err != nil {
				card.Close()
				return nil, err
			}
			go s.Run() // until the card is closed
			return looped{s, card}, nil
		}}
}

// serveDirect has a work of package service done, at its port.
func serveDirect(s *direct.Stack, work string, c *agent.Counters) error {
	switch work {
	case Sink:
		return s.Listen(agent.PortSink, direct.Sink(&c.Bytes))
	case Discard:
		return s.Listen(agent.PortSink, direct.Discard(&c.Bytes))
	case Source:
		return s.Listen(agent.PortSource, direct.Source(&c.Bytes))
	case Echo:
		return s.Listen(agent.PortEcho, direct.Echo(&c.Requests))
	}
	return fmt.Errorf("no work %q", work)
}

// A looped is a stack in one loop. Closing its card ends the loop.
type looped struct {
	*direct.Stack
	card *tap.Polled
}

func (l looped) Close() error { return l.card.Close() }

// Stats returns the counters of all layers and of the card.
func (l looped) Stats() gonet.Stats {
	stats := gonet.Stats(l.Stack.Stats())
	counter.Read(l.card.Name, l.card.Stats, func(name string, value uint64) { stats[name] = value })
	return stats
}
