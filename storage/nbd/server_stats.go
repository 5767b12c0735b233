package nbd

import (
	"sync/atomic"

	"github.com/seed-012105e5/gonet/storage/internal/service"
)

// serverCounters are what a Server counts.
type serverCounters struct {
	connections, refused, evicted     atomic.Uint64
	handshakes, options, tls          atomic.Uint64
	handshakeErrors, handshakeTimeout atomic.Uint64
	sessions, disconnects, aborts     atomic.Uint64
	protocolErrors                    atomic.Uint64
	requests                          [cmdResize + 1]atomic.Uint64
	unknown, failed, rejected         atomic.Uint64
	bytesRead, bytesWritten           atomic.Uint64
	waits, takeovers                  atomic.Uint64
}

// Stats is the counters of a server at one moment, by name.
type Stats map[string]uint64

// String is the counters that are not zero, one a line, sorted.
func (s Stats) String() string { return service.Lines(s) }

func (c *serverCounters) count(cmd command) {
	if cmd <= cmdResize {
		c.requests[cmd].Add(1)
	} else {
		c.unknown.Add(1)
	}
}

func (c *serverCounters) read() Stats {
	s := Stats{
		"Connections":         c.connections.Load(),
		"ConnectionsRefused":  c.refused.Load(),    // more than MaxConns
		"HandshakesEvicted":   c.evicted.Load(),    // the oldest of more than MaxHandshakes
		"Handshakes":          c.handshakes.Load(), // that ended with an export
		"HandshakeErrors":     c.handshakeErrors.Load(),
		"HandshakeTimeouts":   c.handshakeTimeout.Load(),
		"Options":             c.options.Load(),
		"TLS":                 c.tls.Load(),
		"SessionsOpen":        c.sessions.Load(),
		"SessionsEndedByDisc": c.disconnects.Load(),
		"SessionsEndedByLoss": c.aborts.Load(),
		"ProtocolErrors":      c.protocolErrors.Load(), // after which a connection cannot go on
		"RequestsUnknown":     c.unknown.Load(),
		"RequestsFailed":      c.failed.Load(),   // by the device
		"RequestsRejected":    c.rejected.Load(), // before they reached it
		"BytesRead":           c.bytesRead.Load(),
		"BytesWritten":        c.bytesWritten.Load(),
		"Takeovers":           c.takeovers.Load(), // a call of a device took longer than a millisecond
		"WaitsForBudget":      c.waits.Load(),     // a client asked for more at once than a connection may hold
	}
	for i := range c.requests {
		s["Requests."+command(i).String()] = c.requests[i].Load()
	}
	return s
}
