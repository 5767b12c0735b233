package vhost

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/testing/goroutines"
	"github.com/seed-012105e5/gonet/vhost/memory"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// A brokenRing is what a back end reports.
type brokenRing struct {
	ring int
	err  error
}

// hostileRings are the kinds of rings that a hostile driver tries.
func hostileRings(t *testing.T, f func(t *testing.T, features uint64)) {
	for name, features := range map[string]uint64{"split": ringFeatures, "packed": ringFeatures | virtqueue.FeaturePacked} {
		t.Run(name, func(t *testing.T) { f(t, features) })
	}
}

// words are the parts of a ring as the driver's process has them.
type words struct{ desc, driver, device []byte }

func (v *vm) words(r *vmRing) words {
	at := func(addr uint64, n uint64) []byte {
		b, err := v.table.User(addr, n)
		if err != nil {
			v.t.Fatal(err)
		}
		return b
	}
	return words{at(r.config.Descriptors, uint64(16*r.config.Size)), at(r.config.Driver, 0x1000), at(r.config.Device, 0x1000)}
}

// describe writes the fields of descriptor i: in a packed ring next is the id, and it is
// available in the first lap.
func (w words) describe(packed bool, i int, addr uint64, n uint32, flags, next uint16) {
	memory.Store64(w.desc, 16*i, addr)
	if packed {
		memory.Store64(w.desc, 16*i+8, uint64(n)|uint64(next)<<32|uint64(flags|1<<7)<<48)
	} else {
		memory.Store64(w.desc, 16*i+8, uint64(n)|uint64(flags)<<32|uint64(next)<<48)
	}
}

// offer makes the chain that begins with descriptor 0 available, in a split ring.
func (w words) offer(idx, head uint16) {
	memory.Store16(w.driver, 4, head)
	memory.Store16(w.driver, 2, idx)
}

const (
	descNext     = 1
	descWrite    = 2
	descIndirect = 4
)

// TestHostileDriver: whatever a driver does to one ring, that one is broken off with the
// reason, other rings of the device and other devices go on, the ring can be set up
// again, and nothing is left of it at the end.
func TestHostileDriver(t *testing.T) {
	const at, size = vmBase + vmData, 16
	attacks := []struct {
		name  string
		do    func(v *vm, w words, packed bool)
		split error // nil: the driver of that kind of ring cannot do that
		pack  error
	}{
		{"an address of nothing", func(v *vm, w words, p bool) { w.describe(p, 0, 8, 1, 0, 0); w.offer(1, 0) }, virtqueue.ErrAddress, virtqueue.ErrAddress},
		{"ends outside", func(v *vm, w words, p bool) { w.describe(p, 0, vmBase+vmLen-1, 2, 0, 0); w.offer(1, 0) }, virtqueue.ErrAddress, virtqueue.ErrAddress},
		{"wraps around", func(v *vm, w words, p bool) { w.describe(p, 0, ^uint64(0), 2, descWrite, 0); w.offer(1, 0) }, virtqueue.ErrAddress, virtqueue.ErrAddress},
		{"an address of the front end's", func(v *vm, w words, p bool) { w.describe(p, 0, vmUser, 1, 0, 0); w.offer(1, 0) }, virtqueue.ErrAddress, virtqueue.ErrAddress},
		{"a loop", func(v *vm, w words, p bool) {
			for i := range size {
				w.describe(p, i, at, 1, descNext, 0)
			}
			w.offer(1, 0)
		}, virtqueue.ErrLoop, virtqueue.ErrLoop},
		{"no next descriptor", func(v *vm, w words, p bool) { w.describe(p, 0, at, 1, descNext, size); w.offer(1, 0) }, virtqueue.ErrNext, nil},
		{"no head", func(v *vm, w words, p bool) { w.offer(1, size) }, virtqueue.ErrHead, nil},
		{"an index that jumps", func(v *vm, w words, p bool) { w.offer(size+1, 0) }, virtqueue.ErrIndex, nil},
		{"an index that goes back", func(v *vm, w words, p bool) { w.offer(0xffff, 0) }, virtqueue.ErrIndex, nil},
		{"to read behind to write", func(v *vm, w words, p bool) {
			w.describe(p, 1, at, 1, 0, 0)
			w.describe(p, 0, at, 1, descWrite|descNext, 1)
			w.offer(1, 0)
		}, virtqueue.ErrOrder, virtqueue.ErrOrder},
		{"a table of nothing", func(v *vm, w words, p bool) { w.describe(p, 0, at, 0, descIndirect, 0); w.offer(1, 0) }, virtqueue.ErrIndirect, virtqueue.ErrIndirect},
		{"a table outside", func(v *vm, w words, p bool) { w.describe(p, 0, 8, 16, descIndirect, 0); w.offer(1, 0) }, virtqueue.ErrIndirect, virtqueue.ErrIndirect},
		{"a table of half a descriptor", func(v *vm, w words, p bool) { w.describe(p, 0, at, 24, descIndirect, 0); w.offer(1, 0) }, virtqueue.ErrIndirect, virtqueue.ErrIndirect},
		{"a table that is too long", func(v *vm, w words, p bool) { w.describe(p, 0, at, 0xfffffff0, descIndirect, 0); w.offer(1, 0) }, virtqueue.ErrIndirect, virtqueue.ErrIndirect},
		{"a table that names itself", func(v *vm, w words, p bool) {
			b, _ := v.table.Slice(at, 16)
			binary.LittleEndian.PutUint64(b, at)
			binary.LittleEndian.PutUint64(b[8:], 16|descIndirect<<32|descIndirect<<48)
			w.describe(p, 0, at, 16, descIndirect, 0)
			w.offer(1, 0)
		}, virtqueue.ErrIndirect, virtqueue.ErrIndirect},
		{"what the device refuses", func(v *vm, w words, p bool) {
			b, _ := v.table.Slice(at, 16)
			copy(b, "break")
			w.describe(p, 0, at, 5, 0, 0)
			w.offer(1, 0)
		}, errTold, errTold},
		{"data of a file that is truncated", func(v *vm, w words, p bool) {
			if err := unix.Ftruncate(v.fd, vmLen-0x1000); err != nil {
				v.t.Fatal(err)
			}
			w.describe(p, 0, vmBase+vmLen-0x800, 8, 0, 0)
			w.offer(1, 0)
		}, memory.ErrFault, memory.ErrFault},
	}
	hostileRings(t, func(t *testing.T, features uint64) {
		packed := features&virtqueue.FeaturePacked != 0
		files, maps := openFiles(t), mapped(t)
		v, reports := attackedVM(t, features)
		other := newVM(t)
		front, _ := pair(t, &echo{}, Config{Report: report(t)})
		other.attach(front, features)
		other.addRing(size)
		other.start(0)
		bad := v.rings[1]
		for _, a := range attacks {
			want := a.split
			if packed {
				want = a.pack
			}
			if want == nil {
				continue
			}
			a.do(v, v.words(bad), packed)
			bad.kick.Signal()
			select {
			case got := <-reports:
				if got.ring != 1 || !errors.Is(got.err, want) {
					t.Fatalf("%s: ring %d: %v, want %v", a.name, got.ring, got.err, want)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("%s: it is not noticed", a.name)
			}
			v.echoes(v.rings[0], "the other ring")
			other.echoes(other.rings[0], "the other device")
			v.restart(1)
			v.echoes(bad, "set up again")
			v.restart(1) // from the start of the ring
		}
		v.front.Close()
		other.front.Close()
		v.close()
		other.close()
		waitFor(t, "file descriptors are left", func() bool { return openFiles(t) <= files })
		waitFor(t, "mappings are left", func() bool { return mapped(t) <= maps })
	})
}

var errTold = errors.New("as it was told")

// attackedVM is a machine with two rings, the second of which is to be attacked.
func attackedVM(t *testing.T, features uint64) (*vm, chan brokenRing) {
	t.Helper()
	reports := make(chan brokenRing, 100)
	v := newVM(t)
	front, _ := pair(t, &echo{}, Config{Report: func(ring int, err error) { reports <- brokenRing{ring, err} }})
	v.attach(front, features)
	for i := range 2 {
		v.addRing(16)
		v.start(i)
	}
	return v, reports
}

// restart stops ring i, and sets it up as a new one.
func (v *vm) restart(i int) {
	v.t.Helper()
	r := v.rings[i]
	if _, err := v.front.StopRing(i); err != nil {
		v.t.Fatal(err)
	}
	var err error
	if r.Driver, err = virtqueue.NewDriver(v.table, r.config); err != nil {
		v.t.Fatal(err)
	}
	v.start(i)
}

// close gives back what the machine has, before the end of the test.
func (v *vm) close() {
	for _, r := range v.rings {
		r.kick.Close()
		r.call.Close()
	}
	v.table.Release()
	v.closed = true
	unix.Close(v.fd)
}

// waitFor waits for a condition.
func waitFor(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// TestDescriptorsChange has somebody write to the descriptors, the driver's area and
// tables all the time while a device takes chains: each is either served from memory of
// the guest's or breaks the ring off, and the other ring goes on.
func TestDescriptorsChange(t *testing.T) {
	hostileRings(t, func(t *testing.T, features uint64) {
		v, reports := attackedVM(t, features)
		bad, r := v.rings[1], rand.New(rand.NewPCG(1, features))
		broken, served := 0, 0
		for range 40 {
			var quit atomic.Bool
			done := make(chan struct{})
			w := v.words(bad)
			go scribble(w, v, r, &quit, done)
			stop := sync.OnceFunc(func() { quit.Store(true); <-done })
			t.Cleanup(stop)
			for i := 0; i < 200 && len(reports) == 0; i++ {
				// What the device does with it, and what comes back, is anybody's guess.
				bad.Add([]virtqueue.Span{{Addr: vmBase + vmData, Len: 64}, {Addr: vmBase + vmData + 0x1000, Len: 64}}, 1)
				bad.Publish()
				bad.kick.Signal()
				if _, _, ok, err := bad.Take(); ok && err == nil {
					served++
				}
				runtime.Gosched()
			}
			v.echoesAt(v.rings[0], 64, "meanwhile")
			stop()
			for len(reports) > 0 {
				if got := <-reports; got.ring != 1 {
					t.Fatalf("ring %d: %v", got.ring, got.err)
				}
				broken++
			}
			if _, err := v.front.StopRing(1); err != nil {
				t.Fatal(err)
			}
			for len(reports) > 0 { // it may have been broken off meanwhile
				<-reports
			}
			v.restart(1)
			v.echoes(bad, "set up again")
		}
		if broken == 0 {
			t.Error("nothing was ever wrong")
		}
		t.Logf("%d rings broken off, %d chains came back", broken, served)
	})
}

// scribble changes fields of a ring until it is told to quit.
func scribble(w words, v *vm, r *rand.Rand, quit *atomic.Bool, done chan<- struct{}) {
	defer close(done)
	addrs := []uint64{vmBase + vmData, vmBase + vmData + 16, vmBase + vmLen - 8, 8, ^uint64(0) - 4, vmUser}
	table, _ := v.table.Slice(vmBase+vmData, 64)
	for !quit.Load() {
		i := r.IntN(16)
		rest := uint64(r.IntN(3)*16) | uint64(r.IntN(8))<<32 | uint64(r.IntN(20))<<48
		switch r.IntN(6) {
		case 0:
			memory.Store64(w.desc, 16*i, addrs[r.IntN(len(addrs))])
		case 1:
			memory.Store64(w.desc, 16*i+8, rest|uint64(r.IntN(2))<<55)
		case 2:
			memory.Store16(w.driver, 4+2*i, uint16(r.IntN(17)))
		case 3:
			memory.Store64(table, 16*r.IntN(4), addrs[r.IntN(len(addrs))])
		case 4:
			memory.Store64(table, 16*r.IntN(4)+8, rest)
		default:
			memory.Store32(w.device, 0, r.Uint32()) // what is the device's
		}
		runtime.Gosched()
	}
}

// TestFloods: kicks and messages without end cost others nothing, and leave nothing.
func TestFloods(t *testing.T) {
	hostileRings(t, func(t *testing.T, features uint64) {
		v, reports := attackedVM(t, features)
		go func() {
			for range reports { // refusals
			}
		}()
		defer func() { v.front.Close() }()
		file, err := memory.Create("gonet-vhost-test", 0x10000)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(file)
		sockets, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(sockets[0])
		defer unix.Close(sockets[1])
		log, err := memory.Create("gonet-vhost-test", (vmBase+vmLen)/memory.LogPage/8)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(log)
		for name, flood := range map[string]func() error{
			"kicks":    func() error { v.rings[1].kick.Signal(); return nil },
			"features": func() error { return v.front.Set(SetFeatures, U64(v.front.Features)) },
			"memory":   func() error { return v.front.SetMemory([]memory.Region{v.region}, []int{v.fd}) },
			"calls":    func() error { return v.front.Set(SetVringCall, U64(1), v.rings[1].call.FD()) },
			"errors":   func() error { return v.front.Set(SetVringErr, U64(1), v.rings[1].call.FD()) },
			"sockets":  func() error { return v.front.Set(SetBackendReqFD, nil, sockets[0]) },
			"logs": func() error {
				_, files, err := v.front.Get(SetLogBase, LogArea{Size: (vmBase + vmLen) / memory.LogPage / 8}, log)
				files.Close()
				return err
			},
			"log files": func() error { return v.front.Set(SetLogFD, nil, v.rings[1].call.FD()) },
			"in flight": func() error { _, fd, err := v.front.Inflight(2, 16); unix.Close(fd); return err },
			"regions": func() error {
				return v.front.Set(AddMemReg, SingleRegion{Region: memory.Region{Guest: 1 << 40, Size: 0x10000, User: 1 << 40}}, file)
			},
			"refused":     func() error { return v.front.Set(SetMemTable, MemoryTable{{Size: 1 << 40}}, file) },
			"unsupported": func() error { return v.front.Set(GPUSetSocket, nil, sockets[0]) },
		} {
			if err := flood(); err != nil && !errors.Is(err, ErrRefused) {
				t.Fatalf("%s: %v", name, err)
			}
			files, maps, routines := openFiles(t), mapped(t), goroutines.Count()
			for i := range 300 {
				if err := flood(); err != nil && !errors.Is(err, ErrRefused) {
					t.Fatalf("%s: %v", name, err)
				}
				if i%100 == 0 {
					v.echoes(v.rings[0], name)
				}
			}
			// The last answer may have come before the back end has tidied up behind it.
			waitFor(t, name+": there are more file descriptors", func() bool { return openFiles(t) <= files })
			waitFor(t, name+": there are more mappings", func() bool { return mapped(t) <= maps })
			waitFor(t, name+": there are more goroutines", func() bool { return goroutines.Count() <= routines })
			if err := v.front.Set(SetVringCall, U64(1), v.rings[1].call.FD()); err != nil {
				t.Fatal(err)
			}
			v.echoes(v.rings[1], name)
			v.front.Set(RemMemReg, SingleRegion{Region: memory.Region{Guest: 1 << 40, Size: 0x10000, User: 1 << 40}})
		}
		if err := v.front.Set(SetLogFD, nil, v.rings[1].call.FD()); err != nil {
			t.Fatal(err)
		}
	})
}

// TestUnsupported: requests that are not handled are refused by name; where nobody waits
// for an acknowledgement the session ends with that.
func TestUnsupported(t *testing.T) {
	file, err := memory.Create("gonet-vhost-test", 0x1000)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(file)
	for _, row := range wireFrontend {
		switch row.request {
		case IOTLBMsg, SetVringEndian, CreateCryptoSession, CloseCryptoSession, GPUSetSocket, VringKick, GetSharedObject, SetDeviceStateFD,
			CheckDeviceState, GetShmemConfig, GetVringBaseSkipDrain:
		default:
			continue
		}
		reports := make(chan error, 10)
		front, b := pair(t, &echo{}, Config{Report: func(_ int, err error) { reports <- err }})
		if err := front.Negotiate(ringFeatures, allProtocol, ringFeatures); err != nil {
			t.Fatal(err)
		}
		fds := []int{file}[:row.fds]
		if err := front.conn.Write(Message{Request: row.request, Ack: true, Body: row.body}, fds...); err != nil {
			t.Fatal(err)
		}
		if v, _, err := front.reply(row.request); err != nil || refusalOf(v) == 0 {
			t.Errorf("%v: %v, %v", row.request, v, err)
		}
		if err := <-reports; !errors.Is(err, ErrUnsupported) || !named(err, row.request) {
			t.Errorf("%v: %v", row.request, err)
		}
		if err := front.conn.Write(Message{Request: row.request, Body: row.body}, fds...); err != nil {
			t.Fatal(err)
		}
		if _, _, err := front.conn.Read(); !errors.Is(err, io.EOF) {
			t.Errorf("%v: %v", row.request, err)
		}
		<-b.Done()
		if err := <-reports; !errors.Is(err, ErrUnsupported) || !named(err, row.request) {
			t.Errorf("%v: %v", row.request, err)
		}
	}
}

// refusalOf is the number of an acknowledgement, also where it looks like something else.
func refusalOf(v any) uint64 {
	switch v := v.(type) {
	case U64:
		return uint64(v)
	case VringState:
		return uint64(v.Index)
	case Opaque:
		return uint64(v[0])
	}
	return 0
}

func named(err error, r Request) bool { return fmt.Sprintf("%v: %v", r, ErrUnsupported) == err.Error() }
