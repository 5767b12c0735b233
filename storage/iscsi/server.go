package iscsi

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-012105e5/gonet/storage/internal/buffers"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// A Server is a target node: targets that initiators reach through portals. Its fields
// are set before the first call and not changed then; zero values are sensible. All
// methods may be called at any time from any goroutine.
//
//	var server iscsi.Server
//	target, err := server.Add(iscsi.Target{Name: "iqn.2026-01.org.example:t1"})
//	err = target.Add(1, unit)
//	err = server.Serve(listener)
type Server struct {
	// Discovery says who may ask for the list of targets; everyone if it is empty.
	// What one then sees are the targets whose Access fits one's name and address.
	Discovery []Access

	// LoginTimeout bounds the login phase; 15 s if zero.
	LoginTimeout time.Duration
	// PingInterval is after how long without a word an initiator is asked whether it
	// is there; one that does not answer for as long again is given up. 30 s if zero.
	PingInterval time.Duration
	// MaxConns bounds the connections; 1024 if zero. More are closed at once.
	MaxConns int
	// MaxLogins bounds the connections in their login phase; 128 if zero. For one more
	// the oldest is closed.
	MaxLogins int
	// QueueDepth bounds the commands of a session that are under way, from 1 to 1024;
	// 128 if zero.
	QueueDepth int
	// MaxMemory bounds the data of the commands of a session, in bytes: 64 MiB if zero.
	// One command always has room, and so have unsolicited data.
	MaxMemory int
	// MaxWorkers bounds the goroutines that work on devices, of all sessions together,
	// beside one for each session; 1024 if zero.
	MaxWorkers int
	// NoDigests declines header and data digests.
	NoDigests bool

	// Random fills its argument with random bytes, for challenges; those of
	// crypto/rand if it is nil.
	Random func([]byte)
	// ErrorLog, if not nil, is called with what ended a connection other than the
	// initiator's wish.
	ErrorLog func(remote net.Addr, err error)

	counters serverCounters
	buffers  buffers.Pool
	workers  atomic.Int64 // beyond the first of each session

	mu       sync.Mutex // of what follows; no command takes it
	targets  map[string]*served
	portals  map[net.Listener]Portal
	conns    map[*serverConn]bool
	sessions map[sessionKey]*serverConn
	tsihs    map[uint16]bool
	lastTSIH uint16
	serial   uint64
	closing  bool
}

const (
	defaultLoginTimeout = 15 * time.Second
	defaultPingInterval = 30 * time.Second
	defaultMaxConns     = 1024
	defaultMaxLogins    = 128
	defaultQueueDepth   = 128
	largestQueueDepth   = 1024
	defaultMaxMemory    = 64 << 20
	defaultMaxWorkers   = 1024

	maxImmediates = 16 // immediate commands of a session at once
	maxFunctions  = 16 // task management functions of a session at once
	maxOutputs    = 512

	// What this target would have.
	maxRecvData = 256 << 10
	targetBurst = 1 << 20
	targetFirst = 64 << 10
	targetR2Ts  = 8
)

// A Target is what a Server serves under one name.
type Target struct {
	// Name is its iSCSI name, such as iqn.2026-01.org.example:disks.
	Name  string
	Alias string
	// Access says who may use it; everyone, without proof, if it is empty.
	Access []Access
	// Groups are the tags of the portal groups through which it is reached; all if it
	// is empty.
	Groups []uint16
	// Redirect, if set, is where initiators are sent instead: host:port, or
	// host:port,group. They come back to ask again unless it is RedirectForever.
	Redirect        string
	RedirectForever bool
	// Units are its logical units; a new scsi.Target if it is nil. Units may come and go
	// while it is served.
	Units *scsi.Target
}

// served is a target of a server.
type served struct {
	Target
	name string // in lower case
}

// A Portal is where a server is reached.
type Portal struct {
	// Group is the tag of its portal group; 1 if zero.
	Group uint16
	// Address is what initiators are told, host:port; the listener's if it is empty,
	// and where that is unspecified the one that the initiator has come to.
	Address string
}

func orDefault(n, d int) int {
	if n <= 0 {
		return d
	}
	return n
}

func (s *Server) random(b []byte) {
	if s.Random != nil {
		s.Random(b)
		return
	}
	rand.Read(b)
}

// Add makes a target known, also while the server runs, and returns its units.
func (s *Server) Add(t Target) (*scsi.Target, error) {
	name := strings.ToLower(t.Name)
	if !validName(name) {
		return nil, fmt.Errorf("iscsi: %q is no name of a target", t.Name)
	}
	if len(t.Alias) > maxValueName || strings.ContainsRune(t.Alias, 0) {
		return nil, fmt.Errorf("iscsi: the alias of %s is too long or has a NUL", t.Name)
	}
	for i := range t.Access {
		if err := t.Access[i].check(); err != nil {
			return nil, err
		}
	}
	if t.Units == nil {
		t.Units = scsi.NewTarget()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return nil, ErrServerClosed
	}
	if s.targets[name] != nil {
		return nil, fmt.Errorf("iscsi: there is a target %s already", name)
	}
	if s.targets == nil {
		s.targets = map[string]*served{}
	}
	s.targets[name] = &served{t, name}
	return t.Units, nil
}

// Remove takes a target away. Its initiators are asked to log out; Remove returns when
// all sessions have ended, at the latest when the context ends, which cuts them off.
func (s *Server) Remove(ctx context.Context, name string) error {
	name = strings.ToLower(name)
	s.mu.Lock()
	t := s.targets[name]
	delete(s.targets, name)
	s.mu.Unlock()
	if t == nil {
		return fmt.Errorf("iscsi: there is no target %s", name)
	}
	return s.drain(ctx, func(c *serverConn) bool { return c.target == t })
}

// Targets are the names of the targets, sorted.
func (s *Server) Targets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.targets {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Stats returns the counters, and how many connections and targets there are.
func (s *Server) Stats() Stats {
	stats := s.counters.read()
	s.mu.Lock()
	defer s.mu.Unlock()
	stats["ConnectionsOpen"] = uint64(len(s.conns))
	stats["Targets"] = uint64(len(s.targets))
	return stats
}

// A SessionInfo tells of one session.
type SessionInfo struct {
	Initiator, InitiatorAlias string
	User                      string // of CHAP
	Target                    string // empty for a discovery session
	ISID                      [6]byte
	TSIH                      uint16
	Remote                    net.Addr
	Since                     time.Time
}

// Sessions are the sessions that there are, the oldest first.
func (s *Server) Sessions() []SessionInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*serverConn
	for c := range s.conns {
		if c.process != nil {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b *serverConn) int { return int(int64(a.serial - b.serial)) })
	var infos []SessionInfo
	for _, c := range all {
		infos = append(infos, c.info)
	}
	return infos
}

// startWorker says whether another goroutine may work on devices.
func (s *Server) startWorker() bool {
	if s.workers.Add(1) <= int64(orDefault(s.MaxWorkers, defaultMaxWorkers)) {
		return true
	}
	s.workers.Add(-1)
	return false
}
