package iscsi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/filter"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// A memoryStore keeps the state of a unit while servers come and go.
type memoryStore struct {
	mu    sync.Mutex
	state []byte
}

func (s *memoryStore) Load() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, nil
}

func (s *memoryStore) Save(state []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = bytes.Clone(state)
	return nil
}

// registrants is how many registrations are kept.
func (s *memoryStore) registrants() int {
	state, _ := s.Load()
	var kept struct{ Reservations struct{ Registrants []any } }
	json.Unmarshal(state, &kept)
	return len(kept.Reservations.Registrants)
}

// A staller holds a write.
type staller struct {
	armed   atomic.Bool
	holds   chan filter.Op
	release chan struct{}
}

func (s *staller) Before(_ context.Context, op filter.Op) error {
	if op.Kind == filter.Write && s.armed.CompareAndSwap(true, false) {
		s.holds <- op
		<-s.release
	}
	return nil
}

func (s *staller) After(context.Context, filter.Op, time.Duration, error) {}

// A sharedTarget is a disk that the nodes of a cluster share.
type sharedTarget struct {
	t       *testing.T
	address string
	memory  *block.Memory
	stall   staller
	store   memoryStore
	server  *Server
	served  chan error
}

// start serves the disk, at the same port each time.
func (s *sharedTarget) start() {
	s.t.Helper()
	disk, err := filter.Observe(s.memory, &s.stall)
	if err != nil {
		s.t.Fatal(err)
	}
	unit, err := scsi.NewUnit(scsi.UnitConfig{Disk: disk, Store: &s.store})
	if err != nil {
		s.t.Fatal(err)
	}
	server := &Server{}
	units, err := server.Add(Target{Name: testTarget})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := units.Add(1, unit); err != nil {
		s.t.Fatal(err)
	}
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.address = l.Addr().String()
	_, port, _ := net.SplitHostPort(s.address)
	served := make(chan error, 1)
	s.server, s.served = server, served
	go func() { served <- server.ServePortal(l, Portal{Address: net.JoinHostPort(guest.Host, port)}) }()
}

func (s *sharedTarget) stop() {
	s.server.Close()
	<-s.served
}

// A node is a guest that does what the test says.
type node struct {
	t     *testing.T
	name  string
	guest *guest.Guest
	began time.Time
}

func startNode(t *testing.T, name, address string, programs []string) *node {
	_, port, _ := net.SplitHostPort(address)
	return &node{t, name, guest.Start(t, guest.Config{
		Job: "node", Args: []string{port, testInitiator + ":" + name}, Network: true,
		Modules: []string{"iscsi_tcp", "sd_mod", "crc32c_generic"}, Programs: programs,
	}), time.Now()}
}

// says is the answer of a node to what it was told.
func (n *node) says() string {
	n.t.Helper()
	line, ok := <-n.guest.Lines
	if !ok {
		n.t.Fatalf("node %s: %v", n.name, n.guest.Wait())
	}
	n.t.Logf("%6.1f s: %s: %s", time.Since(n.began).Seconds(), n.name, line)
	return line
}

// does has a node do something that must end as wanted: a part of what it says.
func (n *node) does(command, want string) {
	n.t.Helper()
	n.guest.Say(command)
	n.wants(command, want)
}

func (n *node) wants(command, want string) {
	n.t.Helper()
	if got := n.says(); !strings.Contains(got, want) {
		n.t.Errorf("node %s: %s: %s, want %s", n.name, command, got, want)
	}
}

// TestGuestFencing has two guests share a disk by persistent reservations as clusters do:
// who is fenced off can write no more, what it was writing is aborted, and all that
// outlives the target.
func TestGuestFencing(t *testing.T) {
	guest.Need(t)
	var programs []string
	for _, p := range []string{"iscsid", "iscsiadm", "sg_persist"} {
		programs = append(programs, need.Program(t, p))
	}
	s := &sharedTarget{t: t, address: "127.0.0.1:0", memory: block.NewMemory(16 << 20),
		stall: staller{holds: make(chan filter.Op), release: make(chan struct{})}}
	s.start()
	defer func() { s.stop() }()
	a, b := startNode(t, "a", s.address, programs), startNode(t, "b", s.address, programs)
	for _, n := range []*node{a, b} {
		n.wants("log in", "ready")
		n.does("write 1", "ok")
	}

	// Both register, and one reserves for all who have.
	a.does("persist --out --register --param-sark=0xa --param-aptpl", "ok")
	a.does("persist --out --reserve --param-rk=0xa --prout-type=5", "ok")
	b.does("write 2", "EBADE")
	b.does("persist --out --register --param-sark=0xb --param-aptpl", "ok")
	b.does("write 2", "ok")
	a.does("write 3", "ok")
	b.does("persist --in --read-keys", `0xa\n    0xb\n`)
	b.does("persist --in --read-reservation", "Write Exclusive, registrants only")

	// One is fenced off while it writes.
	s.stall.armed.Store(true)
	b.does("begin write 4", "ok")
	<-s.stall.holds
	const preempt = "persist --out --preempt-abort --param-rk=0xa --param-sark=0xb --prout-type=5"
	a.guest.Say(preempt)
	for end := time.Now().Add(2 * time.Minute); s.store.registrants() != 1; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("node a: %s has no effect", preempt)
		}
	}
	select {
	case line := <-a.guest.Lines:
		t.Errorf("node a: %s, while a write of node b is under way: %s", preempt, line)
	case <-time.After(time.Second):
	}
	close(s.stall.release)
	a.wants(preempt, "ok")
	a.does("write 4", "ok")
	b.does("end write", "EBADE")
	b.does("write 5", "EBADE")
	b.does("read 4", "ok "+testInitiator+":a 4")
	b.does("persist --out --reserve --param-rk=0xb --prout-type=5", "failed 24") // of sg3-utils: RESERVATION CONFLICT
	a.does("persist --in --read-keys", `1 registered reservation key follows:\n    0xa\n`)

	// The target forgets nothing.
	s.stop()
	s.start()
	a.does("write 6", "ok")
	b.does("write 6", "EBADE")
	a.does("persist --in --read-keys", `1 registered reservation key follows:\n    0xa\n`)
	a.does("persist --in --read-reservation", "Write Exclusive, registrants only")
	b.does("read 6", "ok "+testInitiator+":a 6")

	// Who was fenced off comes back.
	b.does("persist --out --register --param-sark=0xb --param-aptpl", "ok")
	b.does("write 7", "ok")
	for _, n := range []*node{a, b} {
		n.does("end", "ended")
		if err := n.guest.Wait(); err != nil {
			t.Errorf("node %s: %v", n.name, err)
		}
	}
	for at, name := range map[int64]string{1: "b", 2: "b", 3: "a", 4: "a", 5: "", 6: "a", 7: "b"} {
		got := make([]byte, logBlock)
		want := make([]byte, logBlock)
		if name != "" {
			copy(want, nodeText(testInitiator+":"+name, int(at)))
		}
		if _, err := s.memory.ReadAt(got, at*logBlock); err != nil || !bytes.Equal(got, want) {
			t.Errorf("block %d was not written last by node %q: %.40q (%v)", at, name, got, err)
		}
	}
}

// nodeText is what a node writes to a block.
func nodeText(name string, at int) string { return fmt.Sprintf("%s %d\n", name, at) }

// insideNode does in the guest what the host says, with the disk that the cluster shares.
func insideNode(in *guest.Inside) error {
	portal, name := net.JoinHostPort(guest.Host, in.Args[0]), in.Args[1]
	o, err := startOpenISCSI(in, portal, name)
	if err != nil {
		return err
	}
	if _, err := o.admin("-m", "discovery", "-t", "sendtargets", "-p", portal); err != nil {
		return err
	}
	// A connection that is slow is not made anew: what is under way would be done again.
	if err := o.set(testTarget, "conn[0].timeo.noop_out_interval", "0", "conn[0].timeo.noop_out_timeout", "0"); err != nil {
		return err
	}
	if err := o.login(testTarget); err != nil {
		return err
	}
	dev, err := o.disk(1)
	if err != nil {
		return err
	}
	in.Tell("ready")
	background := make(chan string, 1)
	for {
		line, err := in.Hear()
		if err != nil {
			return err
		}
		at := 0
		switch command, rest, _ := strings.Cut(line, " "); {
		case command == "persist":
			in.Tell("%s", persist(in, dev, strings.Fields(rest)))
		case scan(line, "write %d", &at):
			in.Tell("%s", blockCall(dev, name, at, true))
		case scan(line, "read %d", &at):
			in.Tell("%s", blockCall(dev, name, at, false))
		case scan(line, "begin write %d", &at):
			go func() { background <- blockCall(dev, name, at, true) }()
			in.Tell("ok")
		case line == "end write":
			in.Tell("%s", <-background)
		case line == "end":
			in.Tell("ended")
			return o.logout(testTarget)
		default:
			return fmt.Errorf("what is %q?", line)
		}
	}
}

// persist runs sg_persist, and tells how it has ended, in one line.
func persist(in *guest.Inside, dev string, args []string) string {
	out, err := in.Run("sg_persist", append(args, dev)...)
	if status := (*exec.ExitError)(nil); errors.As(err, &status) {
		return fmt.Sprintf("failed %d %q", status.ExitCode(), out)
	} else if err != nil {
		return fmt.Sprintf("%q", err)
	}
	return "ok " + strconv.Quote(out)
}

// blockCall writes a block, or reads it, past the page cache.
func blockCall(dev, name string, at int, write bool) string {
	f, err := os.OpenFile(dev, os.O_RDWR|unix.O_DIRECT, 0)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	p, err := unix.Mmap(-1, 0, logBlock, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE) // aligned to pages
	if err != nil {
		return err.Error()
	}
	defer unix.Munmap(p)
	text := ""
	if write {
		copy(p, nodeText(name, at))
		_, err = f.WriteAt(p, int64(at)*logBlock)
	} else {
		_, err = f.ReadAt(p, int64(at)*logBlock)
		text, _, _ = strings.Cut(string(p), "\n")
	}
	if errno := unix.Errno(0); errors.As(err, &errno) {
		return unix.ErrnoName(errno)
	} else if err != nil {
		return err.Error()
	}
	return "ok " + text
}
