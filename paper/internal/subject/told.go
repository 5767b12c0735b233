package subject

import (
	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/paper/internal/agent"
)

// Tell adds up what has passed the channels of GoNet's graph. Nothing is counted
// for that: of the counters that the layers have anyway, each stands for an edge
// of graph.go. Rare events, such as timers and signals, are left out.
func (s ourStack) Tell(calls uint64) agent.Told {
	n := s.Stats()
	up := n[Device+".RxFrames"] + // link.Rx
		n["ethernet.RxARP"] + n["ethernet.RxIP"] + // arpRx, ip
		n["ipv4.RxDelivered"] + // tcpRx, udpRx, icmpRx
		n["udp.RxDelivered"] + // the queues of sockets
		n["tcp.InSegments"] - 2*n["tcp.PassiveOpens"] // the inboxes; a handshake comes to the demultiplexer
	down := n["tcp.OutSegments"] + n["udp.TxDatagrams"] + // ipTx, answers
		n["ipv4.TxPackets"] + // hops
		n["arp.TxDatagrams"] + n["arp.TxRequests"] + n["arp.TxReplies"] + n["arp.TxAnnouncements"] // link.Tx
	const (
		perCall  = 2 // the slice that is lent, and the answer
		perOpen  = 1 // the queue of the listener
		perClose = 3 // Close, its answer, and the notice to the demultiplexer
	)
	users := perCall*calls + perOpen*n["tcp.PassiveOpens"] + perClose*n["tcp.Closed"]
	return agent.Told{Hops: up + down + users, Copied: copied(n)}
}

// Tell says that nothing has passed a channel: there is none.
func (l looped) Tell(uint64) agent.Told { return agent.Told{Copied: copied(l.Stats())} }

// copied is how many bytes were copied in memory, which is counted only in a
// program built with the tag copies, and from and to the device.
func copied(n gonet.Stats) uint64 {
	return packet.Copied() + n[Device+".RxBytes"] + n[Device+".TxBytes"]
}
