package tcp

import "github.com/seed-012105e5/gonet/tcp/machine"

// What the machine and its users both name.
type (
	Config      = machine.Config
	Stats       = machine.Stats
	Info        = machine.Info
	State       = machine.State
	SearchState = machine.SearchState
	Signal      = machine.Signal
	Share       = machine.Share
	ECNMode     = machine.ECNMode
	MTUProbing  = machine.MTUProbing
)

// The states of a connection (RFC 9293 section 3.3.2).
const (
	Closed      = machine.Closed
	Listen      = machine.Listen
	SynSent     = machine.SynSent
	SynReceived = machine.SynReceived
	Established = machine.Established
	FinWait1    = machine.FinWait1
	FinWait2    = machine.FinWait2
	CloseWait   = machine.CloseWait
	Closing     = machine.Closing
	LastAck     = machine.LastAck
	TimeWait    = machine.TimeWait
)

// Which of the listeners that share an address gets a connection.
const (
	ShareNone   = machine.ShareNone   // the address is not shared
	ShareByTurn = machine.ShareByTurn // each in its turn
	ShareByHash = machine.ShareByHash // by the two ends of the connection, in a way that only this stack knows
)

// Whether connections use Explicit Congestion Notification (RFC 3168).
const (
	ECNAccept = machine.ECNAccept // when the peer asks for it
	ECNAsk    = machine.ECNAsk    // ask the peer for it, and accept
	ECNOff    = machine.ECNOff    // neither
)

// When larger segments than are known to pass are tried (RFC 4821).
const (
	ProbeWhenLowered = machine.ProbeWhenLowered // after the path MTU was lowered
	ProbeAlways      = machine.ProbeAlways      // from the first
	ProbeNever       = machine.ProbeNever       // routers only are believed
)

// How far the search for the path MTU is (RFC 8899 section 5.2).
const (
	SearchComplete = machine.SearchComplete // nothing larger is worth a try for now
	SearchBase     = machine.SearchBase     // small segments, that should pass everywhere, are tried
	Searching      = machine.Searching      // larger and larger ones are
	SearchError    = machine.SearchError    // not even those of SearchBase pass
	SearchDisabled = machine.SearchDisabled // MTUProbing is ProbeNever
)
