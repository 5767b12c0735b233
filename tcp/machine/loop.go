package machine

import (
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/internal/ring"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// A Loop is all of TCP for a program that calls the layers itself, in one
// loop: the Tables that Demux has and the TCBs that connections have, without
// goroutines, channels and clock. It has one caller at a time.
//
// Packets go in by Arrives, and the time by Expire. Work then serves every
// connection to which something has happened, and sends what it has to say: one
// acknowledgement for all that has come since the last Work.
//
// It opens no connections by itself, neither hears ICMP errors nor gives advice
// to IP, and keeps all memory of a quiet connection.
type Loop struct {
	Tables
	network  func(*packet.Buffer)
	services map[*Listener]Service
	byFlow   map[ip.Flow]*Stream
	streams  []*Stream           // all
	busy     ring.Queue[*Stream] // something has happened to them
	next     time.Time           // no stream has an earlier deadline
}

// A Service is the program's part of a connection. It is called when there is a
// connection, and again when segments have come or time has passed, until it has
// called Close, or the connection has ended, of which an error of Read tells. It
// does what can be done, and must not wait. It says whether it wants to be called
// again at once, when what it wrote has been sent.
type Service func(s *Stream) (again bool)

// A Stream is a connection of a Loop. A Service may use it while it is
// called.
type Stream struct {
	t       *TCB
	service Service
	now     time.Time // of the call
	isBusy  bool
	place   int // in streams
}

// NewLoop returns a Loop without listeners. It calls network with each IP
// datagram that is to be sent, and network takes it.
func NewLoop(cfg Config, network func(*packet.Buffer), stats *Stats) *Loop {
	m := &Loop{network: network, services: make(map[*Listener]Service), byFlow: make(map[ip.Flow]*Stream)}
	m.Tables = NewTables(cfg, m, noPool{}, stats)
	return m
}

// Listen has the connections to local served; its address may be unspecified.
// The error is EADDRINUSE or EADDRNOTAVAIL.
func (m *Loop) Listen(local netip.AddrPort, s Service) error {
	at := ip.EndpointOfAddrPort(local)
	if at.Port == 0 || !at.IsWildcard() && !m.cfg.Table.Load().IsLocal(at.Addr()) {
		return syscall.EADDRNOTAVAIL
	}
	l := &Listener{Local: at, Opts: m.Options()}
	if !m.AddListener(l) {
		return syscall.EADDRINUSE
	}
	m.services[l] = s
	return nil
}

// Arrives takes a packet, as ipv4.Input returns it.
func (m *Loop) Arrives(b *packet.Buffer) {
	f, ok := m.FlowOf(b)
	if !ok {
		return
	}
	s, ok := m.byFlow[f]
	if !ok {
		m.Unmatched(f, b)
		return
	}
	now := b.Arrived // b is gone then
	reply := s.t.Arrives(b)
	m.touch(s)
	if reply {
		m.transmit(now, s) // before another segment is taken
	}
}

// Answer, room and opened are those of a host.
func (m *Loop) Answer(b *packet.Buffer) bool {
	m.network(b)
	return true
}

func (m *Loop) Room(*Listener) bool { return true }

func (m *Loop) Opened(l *Listener, t *TCB) {
	s := &Stream{t: t, service: m.services[l], place: len(m.streams)}
	m.byFlow[t.flow] = s
	m.streams = append(m.streams, s)
	m.touch(s)
}

// touch notes that something has happened to s.
func (m *Loop) touch(s *Stream) {
	if !s.isBusy {
		s.isBusy = true
		m.busy.Push(s)
	}
}

// Work serves each connection to which something has happened, and sends what
// it has to say, within a bound. It says whether some have more to do at once.
func (m *Loop) Work(now time.Time) (again bool) {
	for range m.busy.Len() {
		s := m.busy.Pop()
		s.isBusy = false
		if m.serve(now, s) {
			m.touch(s)
		}
	}
	return m.busy.Len() > 0
}

// serve gives one connection its turn, and says whether it wants another one.
func (m *Loop) serve(now time.Time, s *Stream) (again bool) {
	s.now = now
	if !s.t.orphan {
		again = s.service(s)
	}
	again = m.transmit(now, s) || again
	if s.t.Over() {
		m.end(now, s)
		return false
	}
	m.next = Earliest(m.next, s.t.Deadline())
	return again
}

// transmit sends what s has to say, and says whether that was too much for one turn.
func (m *Loop) transmit(now time.Time, s *Stream) (again bool) {
	for range TrainsAtOnce {
		if !s.t.Next(now) {
			s.t.Blocked(now)
			return false
		}
		m.network(s.t.Packet())
		s.t.Commit(now)
	}
	return true
}

// end forgets a connection that is over. What is left of it may be TIME-WAIT.
func (m *Loop) end(now time.Time, s *Stream) {
	delete(m.byFlow, s.t.flow)
	last := m.streams[len(m.streams)-1]
	m.streams[s.place], last.place = last, s.place
	m.streams = slices.Delete(m.streams, len(m.streams)-1, len(m.streams))
	m.Ended(now, s.t)
	m.stats.Closed.Add(1)
	s.t.release()
}

// Deadline is when Expire has something to do, or sooner; zero for never.
func (m *Loop) Deadline() time.Time { return m.cfg.timerInstant(Earliest(m.Tables.Deadline(), m.next)) }

// Expire does what is due at now. A deadline that moves ahead, as it does with
// every acknowledgement, has cost nothing: only here all connections are asked.
func (m *Loop) Expire(now time.Time) {
	m.Tables.Expire(now)
	if !Due(m.next, now) {
		return
	}
	m.next = time.Time{}
	for _, s := range m.streams {
		if d := s.t.Deadline(); !Due(d, now) {
			m.next = Earliest(m.next, d)
			continue
		}
		s.t.Expire(now)
		m.touch(s)
	}
}

// Close ends all connections. Peers get a reset.
func (m *Loop) Close(now time.Time) {
	clear(m.listeners)
	for _, s := range m.streams {
		s.t.Depart()
		m.transmit(now, s)
		s.t.release()
	}
	m.streams, m.busy = nil, ring.Queue[*Stream]{}
	clear(m.byFlow)
}

// Read moves what has arrived to p. It returns 0 and no error when there is
// nothing yet, io.EOF once the peer has closed and all is read, and otherwise
// the error that has ended the connection: ECONNRESET, ETIMEDOUT.
func (s *Stream) Read(p []byte) (int, error) { return s.t.Read(p) }

// ReadBuffer hands over a whole packet of what has arrived, which the caller
// then owns: nil when there is none. The errors are those of Read.
func (s *Stream) ReadBuffer() (*packet.Buffer, error) { return s.t.ReadBuffer() }

// Writable says whether Write would take something, or say an error: not while
// there is little room, so that a fast writer is not served byte by byte.
func (s *Stream) Writable() bool { return s.t.Writable() }

// Write queues as much of p as there is room for, and returns how much: 0 while
// the stream is not Writable. The errors are EPIPE and what has ended the
// connection.
func (s *Stream) Write(p []byte) (int, error) {
	if !s.t.Writable() {
		return 0, nil
	}
	return s.t.Write(s.now, p)
}

// Close ends the connection. What was written is still delivered; the peer gets
// a reset when something was not read. The Service is called no more.
func (s *Stream) Close() { s.t.Close(s.now) }
