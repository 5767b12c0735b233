package vhost

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/vhost/memory"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// Names in the environment of this test's own program that make it a back end, which can
// be killed: its socket, whether it connects to that, and the file where it counts.
const (
	envSocket  = "GONET_TEST_VHOST_SOCKET"
	envConnect = "GONET_TEST_VHOST_CONNECT"
	envTally   = "GONET_TEST_VHOST_TALLY"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(envSocket); path != "" {
		tallyProcess(path)
	}
	os.Exit(m.Run())
}

const (
	tallyTotal = 1500 // requests of one run
	tallySize  = 8 * (tallyTotal + 1)
)

// tallyProcess serves until it is killed.
func tallyProcess(path string) {
	fd, err := unix.Open(os.Getenv(envTally), unix.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	counts, err := mapOne(tallySize, 0, fd)
	if err != nil {
		panic(err)
	}
	b, err := counts.Slice(0, tallySize)
	if err != nil {
		panic(err)
	}
	d, c := tally{b}, Config{Report: func(ring int, err error) { fmt.Fprintf(os.Stderr, "ring %d: %v\n", ring, err) }}
	if os.Getenv(envConnect) != "" {
		Connect(path, d, c)
	} else if _, err := Listen(path, d, c); err != nil {
		panic(err)
	}
	select {}
}

// A tally is a device that counts how often it has done each request, which is a number.
// It has some for a while before it returns them, in another order.
type tally struct{ counts []byte }

func (tally) Features() uint64            { return 0 }
func (tally) Queues() int                 { return 2 }
func (tally) Config() []byte              { return nil }
func (tally) SetConfig(int, []byte) error { return nil }

func (d tally) Serve(q *Queue) {
	var chains [5]virtqueue.Chain
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	held := 0
	for q.Wait() {
		for more := true; more; {
			for more = true; held < len(chains) && more; {
				if more = q.Next(&chains[held]); more {
					n := binary.LittleEndian.Uint64(chains[held].Readable[0])
					memory.Store64(d.counts, int(8*n), memory.Load64(d.counts, int(8*n))+1)
					binary.LittleEndian.PutUint64(chains[held].Writable[0], n)
					held++
				}
			}
			time.Sleep(time.Millisecond) // in which it is killed, as a rule
			for _, i := range r.Perm(held) {
				q.Put(&chains[i], 8)
			}
			held = 0
			if r.IntN(3) > 0 {
				q.Flush()
			}
		}
	}
}

// A tallied is the other side: two rings with requests under way, over back ends that
// are killed.
type tallied struct {
	*vm
	setup    Setup
	path     string
	listener *net.UnixListener // nil if the back end listens
	tally    string
	counts   []byte
	process  *exec.Cmd
	next     uint64
	under    [2]map[uint16]uint64 // numbers by names of chains
	returned []int
	killed   []int // how often a back end was killed while that was under way
}

// TestKilled has back ends be killed under load, over both kinds of rings, whichever side
// connects: every request comes back once, and is done again only if it was in flight.
func TestKilled(t *testing.T) {
	hostileRings(t, func(t *testing.T, features uint64) {
		for _, connects := range []bool{false, true} {
			t.Run(fmt.Sprintf("back end connects: %v", connects), func(t *testing.T) { testKilled(t, features, connects) })
		}
	})
}

func testKilled(t *testing.T, features uint64, connects bool) {
	dir := t.TempDir()
	a := &tallied{vm: newVM(t), path: dir + "/s", tally: dir + "/tally", returned: make([]int, tallyTotal+1), killed: make([]int, tallyTotal+1)}
	if err := os.WriteFile(a.tally, make([]byte, tallySize), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(a.tally, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	counts, err := mapOne(tallySize, 0, int(file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer counts.Release()
	a.counts, _ = counts.Slice(0, tallySize)
	if connects {
		if a.listener, err = net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: a.path}); err != nil {
			t.Fatal(err)
		}
		defer a.listener.Close()
	}
	a.setup = Setup{
		Features: features, Protocol: ProtocolReplyAck | ProtocolMQ, Needed: features,
		Regions: []memory.Region{a.region}, Files: []int{a.fd},
	}
	defer a.setup.Close()
	a.startBackend()
	r := rand.New(rand.NewPCG(2, features))
	resubmitted := 0
	for at := 0; a.total() < tallyTotal; {
		a.fill()
		a.collect()
		if a.total()-at > 50+r.IntN(200) && a.total() < tallyTotal-100 {
			at = a.total()
			a.fill()
			waitFor(t, "the back end takes nothing", a.taken)
			resubmitted += a.kill()
			a.startBackend()
		}
	}
	a.front.Close()
	a.kill()
	twice := 0
	for n := 1; n <= tallyTotal; n++ {
		done := int(memory.Load64(a.counts, 8*n))
		if a.returned[n] != 1 || done < 1 || done > 1+a.killed[n] {
			t.Errorf("request %d: done %d times, returned %d times; %d back ends were killed meanwhile", n, done, a.returned[n], a.killed[n])
		}
		if done > 1 {
			twice++
		}
	}
	if twice == 0 {
		t.Error("the back ends had nothing when they were killed")
	}
	t.Logf("%d requests were in flight at a kill, %d of them had been done", resubmitted, twice)
}

// taken says whether the back end has done something that has not come back.
func (a *tallied) taken() bool {
	for i := range a.rings {
		for _, n := range a.under[i] {
			if memory.Load64(a.counts, int(8*n)) > uint64(a.killed[n]) {
				return true
			}
		}
	}
	return false
}

func (a *tallied) total() (n int) {
	for _, v := range a.returned {
		n += v
	}
	return n
}

// startBackend starts a process, and sets it up as the one before.
func (a *tallied) startBackend() {
	a.t.Helper()
	self, err := os.Executable()
	if err != nil {
		a.t.Fatal(err)
	}
	a.process = exec.Command(self)
	a.process.Env = append(os.Environ(), envSocket+"="+a.path, envTally+"="+a.tally)
	if a.listener != nil {
		a.process.Env = append(a.process.Env, envConnect+"=1")
	}
	a.process.Stderr = os.Stderr
	a.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := a.process.Start(); err != nil {
		a.t.Fatal(err)
	}
	process := a.process
	a.t.Cleanup(func() { process.Process.Kill(); process.Wait() })
	var front *Frontend
	if a.listener != nil {
		a.listener.SetDeadline(time.Now().Add(time.Minute))
		conn, err := a.listener.AcceptUnix()
		if err != nil {
			a.t.Fatal(err)
		}
		front = NewFrontend(conn)
	} else {
		waitFor(a.t, "the back end does not listen", func() bool { front, err = Dial(a.path); return err == nil })
	}
	a.front = front
	if err := a.setup.Negotiate(front); err != nil {
		a.t.Fatal(err)
	}
	for i := len(a.rings); i < 2; i++ {
		r := a.addRing(16)
		a.setup.Rings = append(a.setup.Rings, RingConfig{r.config, r.kick.FD(), r.call.FD()})
		a.under[i] = map[uint16]uint64{}
	}
	if err := a.setup.Start(front); err != nil {
		a.t.Fatal(err)
	}
}

// slot is where a request of a ring lies, by the name of its chain.
func (a *tallied) slot(ring int, id uint16) uint64 {
	return vmBase + vmData + uint64(ring)*0x4000 + uint64(id)*64
}

// fill has as many requests under way as there is room for.
func (a *tallied) fill() {
	a.t.Helper()
	for i, r := range a.rings {
		for r.Free() >= 2 && len(a.under[i]) < 8 && a.next < tallyTotal {
			a.next++
			at := a.slot(i, uint16(r.NextID()))
			b, err := a.table.Slice(at, 16)
			if err != nil {
				a.t.Fatal(err)
			}
			binary.LittleEndian.PutUint64(b, a.next)
			id, err := r.Add([]virtqueue.Span{{Addr: at, Len: 8}, {Addr: at + 8, Len: 8}}, 1)
			if err != nil {
				a.t.Fatal(err)
			}
			a.under[i][id] = a.next
		}
		if r.Publish() {
			r.kick.Signal()
		}
	}
}

// collect waits until something has come back, and takes all that has.
func (a *tallied) collect() {
	a.t.Helper()
	for i, r := range a.rings {
		for had := len(a.under[i]); len(a.under[i]) > 0; {
			id, _, ok, err := r.Take()
			if err != nil {
				a.t.Fatal(err)
			}
			if ok {
				a.take(i, id)
				continue
			}
			if len(a.under[i]) < had {
				break
			}
			if r.Arm() {
				continue
			}
			r.call.SetDeadline(time.Now().Add(time.Minute))
			if err := r.call.Wait(); err != nil {
				a.t.Fatalf("ring %d: %d requests do not come back: %v", i, len(a.under[i]), err)
			}
		}
	}
}

func (a *tallied) take(ring int, id uint16) {
	a.t.Helper()
	n, ok := a.under[ring][id]
	if !ok {
		a.t.Fatalf("ring %d: chain %d was not under way", ring, id)
	}
	delete(a.under[ring], id)
	b, err := a.table.Slice(a.slot(ring, id)+8, 8)
	if err != nil {
		a.t.Fatal(err)
	}
	if got := binary.LittleEndian.Uint64(b); got != n {
		a.t.Fatalf("ring %d: request %d came back with %d", ring, n, got)
	}
	a.returned[n]++
}

// kill kills the back end, and returns how many requests were under way then, which no
// longer can be on their way back.
func (a *tallied) kill() (n int) {
	a.process.Process.Kill()
	a.process.Wait()
	a.front.Wait()
	a.front.Close()
	for i, r := range a.rings {
		for { // what was returned before is not in flight
			id, _, ok, err := r.Take()
			if err != nil {
				a.t.Fatal(err)
			}
			if !ok {
				break
			}
			a.take(i, id)
		}
		for _, number := range a.under[i] {
			a.killed[number]++
			n++
		}
	}
	return n
}
