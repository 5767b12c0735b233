package subject

import (
	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/paper/internal/agent"
)

// Tell adds up what has passed the edges of GoNet's graph, by its registry. The
// queues of sockets and listeners, which only users read, come to it.
func (s ourStack) Tell() agent.Told {
	n := s.Stats()
	return agent.Told{Hops: passed(s.Stack) + n["udp.RxDelivered"] + n["tcp.PassiveOpens"], Copied: copied(n)}
}

// passed is what has passed all edges. Of what the card takes the registry does not
// know; the card does.
func passed(s *gonet.Stack) (n uint64) {
	for _, e := range s.Edges() {
		n += e.Passed
	}
	return n + s.Stats()[Device+".TxFrames"]
}

// Tell says that nothing has passed a channel: there is none.
func (l looped) Tell() agent.Told { return agent.Told{Copied: copied(l.Stats())} }

// copied is how many bytes were copied in memory, which is counted only in a
// program built with the tag copies, and from and to the device.
func copied(n gonet.Stats) uint64 {
	return packet.Copied() + n[Device+".RxBytes"] + n[Device+".TxBytes"]
}
