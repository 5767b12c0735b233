package machine

import (
	"time"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/congestion"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// Config is what all connections of a stack have in common. The zero value of
// each field means what its comment says.
type Config struct {
	// Table is the routes of the stack. Required.
	Table *ip.CurrentTable

	// Random returns 64 random bits; the connection secrets come from it.
	// Required.
	Random func() uint64

	// SendBuffer is how many bytes a connection takes from its writer beyond
	// what the peer has acknowledged. 0 means that it is tuned: it grows with
	// what the path carries, up to MaxSendBuffer.
	SendBuffer int

	// ReceiveBuffer is how many bytes a connection takes from its peer beyond
	// what the reader has read; the window follows from it. 0 means that it is
	// tuned: it grows with what the reader takes, up to MaxReceiveBuffer.
	ReceiveBuffer int

	// MaxSendBuffer and MaxReceiveBuffer bound buffers that are tuned, in
	// bytes. 0 means 6 MiB.
	MaxSendBuffer, MaxReceiveBuffer int

	// Backlog is how many established connections wait in a listener to be
	// accepted. 0 means 1024.
	Backlog int

	// SynBacklog is how many half-open connections the stack remembers; when
	// there are more, SYNs are answered by cookies (RFC 4987 section 3.6), and
	// from three quarters of it on some are. 0 means 4096.
	SynBacklog int

	// FastOpenServers is of how many servers the cookies for
	// [Sockets.DialFastOpen] are remembered; when there are more, the oldest is
	// forgotten. 0 means 1024. As a server the stack takes part in Fast Open on
	// those listeners that say so by [Listener.SetFastOpen].
	FastOpenServers int

	// MSL is the maximum segment lifetime; TIME-WAIT lasts twice as long, from
	// when it begins or the peer's FIN comes again. 0
	// means 30 seconds, as in Linux. (RFC 9293 section 3.4.2 has 2 minutes.)
	MSL time.Duration

	// TimeWaits bounds the number of connections in TIME-WAIT; when there are
	// more, the oldest is forgotten. 0 means 65536.
	TimeWaits int

	// MinRTO is the least retransmission timeout. 0 means 200 ms, as in Linux.
	// (RFC 6298 section 2 (2.4) has 1 second.)
	MinRTO time.Duration

	// DelayedACK is how long an acknowledgement may wait for company. 0 means
	// 40 ms, and 500 ms or more mean a little less than that (MUST-40). A
	// negative value turns delaying off.
	DelayedACK time.Duration

	// NoQuickACKs has the first acknowledgements of a connection wait like the
	// others. Otherwise the first 16, when it begins and when it has been idle, go
	// at once, as in Linux, unless text of ours takes them along.
	NoQuickACKs bool

	// UserTimeout is for how long a peer may not answer before the connection is
	// given up: R2 of RFC 9293 section 3.8.3. It counts from the first
	// retransmission timeout on, and anew whenever the peer acknowledges
	// something, or only says that its window is closed (MUST-37). 0 means 5
	// minutes. [Conn.SetUserTimeout] sets a stricter one.
	UserTimeout time.Duration

	// ConnectTimeout is for how long a connection may take to open: from when
	// it is dialled until the peer acknowledges the SYN. 0 means 3 minutes
	// (MUST-23).
	ConnectTimeout time.Duration

	// FinWait2 is how long a connection that the user has closed waits for the
	// peer's FIN, from when the peer has acknowledged ours, or from Close if that
	// comes later. 0 means 60 seconds.
	FinWait2 time.Duration

	// OrphanTimeout is how long a connection that the user has closed goes on
	// delivering while the peer takes nothing: less than 64 KiB in so long. Then
	// it is reset. 0 means 5 minutes.
	OrphanTimeout time.Duration

	// MaxOrphans bounds the number of such connections. One more is reset when
	// it is closed; from half of that on, those are whose peer takes nothing. 0
	// means 8192.
	MaxOrphans int

	// MaxMemory is how many bytes the queues of all connections hold until
	// those that the user has closed are reset when the peer takes nothing, and
	// those that nobody has accepted. 0 means 1 GiB.
	MaxMemory int

	// ParkAfter is for how long a connection must have been quiet until it is
	// parked: it gives up most of its memory until the next segment or call. 0
	// means a second. A negative value parks none.
	ParkAfter time.Duration

	// SleepAfter is ParkAfter by its former name. It counts where that is 0.
	//
	// Deprecated: use ParkAfter.
	SleepAfter time.Duration

	// TimerGrain has the timers of connections fire at multiples of it only,
	// since 1970. 0 means at any nanosecond. A simulation keeps timers and
	// arriving frames apart by it, whose order at one instant is chance.
	TimerGrain time.Duration

	// Congestion is the name of the congestion control that connections begin
	// with: of Controllers, or a built-in (see [congestion.ByName]). ""
	// means "cubic".
	Congestion string

	// Controllers is the program's own congestion controls, by name.
	Controllers map[string]congestion.Factory

	// Recovery is how losses are found: "rack" (RFC 8985), "sack" (RFC 6675)
	// or "newreno" (RFC 6582). "" means "rack".
	Recovery string

	// MSS bounds the text of a segment in bytes, in both directions: larger ones
	// are neither sent nor offered to be taken, as with TCP_MAXSEG. 0 means what
	// the MTU has room for; less than 64 means 64.
	MSS int

	// MTUProbing says when larger segments than are known to pass are tried. 0
	// means ProbeWhenLowered.
	MTUProbing MTUProbing

	// NoTimestamps, NoSACK and NoWindowScale keep an option from being offered
	// and accepted.
	NoTimestamps, NoSACK, NoWindowScale bool

	// ECN says whether connections use Explicit Congestion Notification. The
	// zero value is ECNAccept: when the peer asks for it, as in Linux.
	ECN ECNMode

	options SocketOptions // that connections begin with
}

func (c Config) withDefaults() Config {
	c.SendBuffer, c.ReceiveBuffer = max(c.SendBuffer, 0), max(c.ReceiveBuffer, 0)
	setDefault(&c.MaxSendBuffer, 6<<20)
	setDefault(&c.MaxReceiveBuffer, 6<<20)
	setDefault(&c.Backlog, 1024)
	setDefault(&c.SynBacklog, 4096)
	setDefault(&c.FastOpenServers, 1024)
	setDefault(&c.MSS, 0xffff)
	c.MSS = max(c.MSS, minMSS)
	setDefault(&c.MSL, 30*time.Second)
	setDefault(&c.TimeWaits, 65536)
	setDefault(&c.MinRTO, 200*time.Millisecond)
	if c.DelayedACK == 0 {
		c.DelayedACK = 40 * time.Millisecond
	}
	c.DelayedACK = min(c.DelayedACK, maxDelayedACK)
	setDefault(&c.UserTimeout, 5*time.Minute)
	setDefault(&c.ConnectTimeout, 3*time.Minute)
	setDefault(&c.FinWait2, time.Minute)
	setDefault(&c.OrphanTimeout, 5*time.Minute)
	setDefault(&c.MaxOrphans, 8192)
	setDefault(&c.MaxMemory, 1<<30)
	if c.ParkAfter == 0 {
		c.ParkAfter = c.SleepAfter
	}
	if c.ParkAfter == 0 {
		c.ParkAfter = time.Second
	}
	if c.Congestion == "" {
		c.Congestion = defaultCongestion
	}
	if c.Recovery == "" {
		c.Recovery = defaultRecovery
	}
	c.options = c.initialOptions()
	return c
}

// maxDelayedACK is less than half a second (MUST-40).
const maxDelayedACK = 499 * time.Millisecond

// setDefault replaces what was left out, and what makes no sense.
func setDefault[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// TimerInstant is that of the configuration of t.
func (t *TCB) TimerInstant(d time.Time) time.Time { return t.cfg.timerInstant(d) }

// timerInstant is when a timer for the instant d fires.
func (c *Config) timerInstant(d time.Time) time.Time {
	if c.TimerGrain <= 0 || d.IsZero() {
		return d
	}
	if over := d.UnixNano() % int64(c.TimerGrain); over > 0 {
		d = d.Add(c.TimerGrain - time.Duration(over))
	}
	return d
}

// receiveScale is the window shift that the largest receive buffer needs (RFC
// 7323 section 2.2).
func (c *Config) receiveScale() uint8 {
	s := uint8(0)
	for c.receiveMost()>>s > 0xffff && s < segment.MaxScale {
		s++
	}
	return s
}
