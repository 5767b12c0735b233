package tcp

import (
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/internal/ring"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// A Machine is all of TCP for a program that calls the layers itself, in one
// loop: the door that Demux has and the tcbs that connections have, without
// goroutines, channels and clock. It has one caller at a time.
//
// Packets go in by Arrives, and the time by Expire. Work then serves every
// connection to which something has happened, and sends what it has to say: one
// acknowledgement for all that has come since the last Work.
//
// It opens no connections by itself, neither hears ICMP errors nor gives advice
// to IP, and keeps all memory of a quiet connection.
type Machine struct {
	door
	network  func(*packet.Buffer)
	services map[*listening]Service
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

// A Stream is a connection of a Machine. A Service may use it while it is
// called.
type Stream struct {
	t       *tcb
	service Service
	now     time.Time // of the call
	isBusy  bool
	place   int // in streams
}

// NewMachine returns a Machine without listeners. It calls network with each IP
// datagram that is to be sent, and network takes it.
func NewMachine(cfg Config, network func(*packet.Buffer), stats *Stats) *Machine {
	m := &Machine{network: network, services: make(map[*listening]Service), byFlow: make(map[ip.Flow]*Stream)}
	m.door = newDoor(cfg, m, noActivities{}, stats)
	return m
}

// Listen has the connections to local served; its address may be unspecified.
// The error is EADDRINUSE or EADDRNOTAVAIL.
func (m *Machine) Listen(local netip.AddrPort, s Service) error {
	at := ip.EndpointOfAddrPort(local)
	if at.Port == 0 || !at.IsWildcard() && !m.cfg.Table.Load().IsLocal(at.Addr()) {
		return syscall.EADDRNOTAVAIL
	}
	l := &listening{local: at, opts: m.options()}
	if !m.addListener(l) {
		return syscall.EADDRINUSE
	}
	m.services[l] = s
	return nil
}

// Arrives takes a packet, as ipv4.Input returns it.
func (m *Machine) Arrives(b *packet.Buffer) {
	f, ok := m.flowOf(b)
	if !ok {
		return
	}
	s, ok := m.byFlow[f]
	if !ok {
		m.stranger(f, b)
		return
	}
	now := b.Arrived // b is gone then
	reply := s.t.arrives(b)
	m.touch(s)
	if reply {
		m.transmit(now, s) // before another segment is taken
	}
}

// answer, room and opened are those of a host.
func (m *Machine) answer(b *packet.Buffer) bool {
	m.network(b)
	return true
}

func (m *Machine) room(*listening) bool { return true }

func (m *Machine) opened(l *listening, t *tcb) {
	s := &Stream{t: t, service: m.services[l], place: len(m.streams)}
	m.byFlow[t.flow] = s
	m.streams = append(m.streams, s)
	m.touch(s)
}

// touch notes that something has happened to s.
func (m *Machine) touch(s *Stream) {
	if !s.isBusy {
		s.isBusy = true
		m.busy.Push(s)
	}
}

// Work serves each connection to which something has happened, and sends what
// it has to say, within a bound. It says whether some have more to do at once.
func (m *Machine) Work(now time.Time) (again bool) {
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
func (m *Machine) serve(now time.Time, s *Stream) (again bool) {
	s.now = now
	if !s.t.orphan {
		again = s.service(s)
	}
	again = m.transmit(now, s) || again
	if s.t.over() {
		m.end(now, s)
		return false
	}
	m.next = earliest(m.next, s.t.deadline())
	return again
}

// transmit sends what s has to say, and says whether that was too much for one turn.
func (m *Machine) transmit(now time.Time, s *Stream) (again bool) {
	for range TrainsAtOnce {
		if !s.t.next(now) {
			s.t.blocked(now)
			return false
		}
		m.network(s.t.packet())
		s.t.commit(now)
	}
	return true
}

// end forgets a connection that is over. What is left of it may be TIME-WAIT.
func (m *Machine) end(now time.Time, s *Stream) {
	delete(m.byFlow, s.t.flow)
	last := m.streams[len(m.streams)-1]
	m.streams[s.place], last.place = last, s.place
	m.streams = slices.Delete(m.streams, len(m.streams)-1, len(m.streams))
	m.ended(now, s.t)
	m.stats.Closed.Add(1)
	s.t.release()
}

// Deadline is when Expire has something to do, or sooner; zero for never.
func (m *Machine) Deadline() time.Time { return m.cfg.timerInstant(earliest(m.door.deadline(), m.next)) }

// Expire does what is due at now. A deadline that moves ahead, as it does with
// every acknowledgement, has cost nothing: only here all connections are asked.
func (m *Machine) Expire(now time.Time) {
	m.door.expire(now)
	if !due(m.next, now) {
		return
	}
	m.next = time.Time{}
	for _, s := range m.streams {
		if d := s.t.deadline(); !due(d, now) {
			m.next = earliest(m.next, d)
			continue
		}
		s.t.expire(now)
		m.touch(s)
	}
}

// Close ends all connections. Peers get a reset.
func (m *Machine) Close(now time.Time) {
	clear(m.listeners)
	for _, s := range m.streams {
		s.t.depart()
		m.transmit(now, s)
		s.t.release()
	}
	m.streams, m.busy = nil, ring.Queue[*Stream]{}
	clear(m.byFlow)
}

// Read moves what has arrived to p. It returns 0 and no error when there is
// nothing yet, io.EOF once the peer has closed and all is read, and otherwise
// the error that has ended the connection: ECONNRESET, ETIMEDOUT.
func (s *Stream) Read(p []byte) (int, error) { return s.t.read(p) }

// ReadBuffer hands over a whole packet of what has arrived, which the caller
// then owns: nil when there is none. The errors are those of Read.
func (s *Stream) ReadBuffer() (*packet.Buffer, error) { return s.t.readBuffer() }

// Writable says whether Write would take something, or say an error: not while
// there is little room, so that a fast writer is not served byte by byte.
func (s *Stream) Writable() bool { return s.t.writable() }

// Write queues as much of p as there is room for, and returns how much: 0 while
// the stream is not Writable. The errors are EPIPE and what has ended the
// connection.
func (s *Stream) Write(p []byte) (int, error) {
	if !s.t.writable() {
		return 0, nil
	}
	return s.t.write(s.now, p)
}

// Close ends the connection. What was written is still delivered; the peer gets
// a reset when something was not read. The Service is called no more.
func (s *Stream) Close() { s.t.close(s.now) }
