package vhost

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/vhost/memory"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// An echo is a device that writes what it has read. Each chain that it takes it
// tells taken, if there is that, and keeps it until the ring stops while hold is
// open.
type echo struct {
	config []byte
	taken  chan string
	hold   chan struct{}
	mtu    chan int
	macs   chan [6]byte
}

func (e *echo) Features() uint64 { return 1 << 5 }
func (e *echo) Queues() int      { return 2 }
func (e *echo) Config() []byte   { return e.config }

func (e *echo) SetConfig(offset int, p []byte) error {
	if p[0] == 0xff {
		return errors.New("it is read-only")
	}
	copy(e.config[offset:], p)
	return nil
}

func (e *echo) SetMTU(mtu int) error { e.mtu <- mtu; return nil }
func (e *echo) Announce(mac [6]byte) { e.macs <- mac }

func (e *echo) Serve(q *Queue) {
	c := new(virtqueue.Chain)
	for q.Wait() {
		for q.Next(c) {
			text := bytes.Join(c.Readable, nil)
			if e.taken != nil {
				q.Flush()
				e.taken <- string(text)
				select {
				case <-e.hold:
				case <-q.Stopped():
					return // as a process that was killed
				}
			}
			if string(text) == "break" {
				q.Break(errTold)
				q.Put(c, 0)
				continue
			}
			n := 0
			for _, b := range c.Writable {
				n += copy(b, text[n:])
			}
			q.Put(c, n)
		}
	}
}

// Where things lie in the memory of the test's machine.
const (
	vmBase  = 0x10_0000
	vmUser  = 0x7f00_0000_0000
	vmLen   = 0x10_0000
	vmData  = 0x8_0000
	vmRings = 0x1_0000 // bytes for each
)

// A vm is a virtual machine as its device sees it: memory, and a driver.
type vm struct {
	t      *testing.T
	fd     int
	table  *memory.Table
	front  *Frontend
	closed bool
	rings  []*vmRing
	region memory.Region
}

// A vmRing is the driver's side of a ring.
type vmRing struct {
	*virtqueue.Driver
	config     virtqueue.Config
	kick, call *Event
}

func newVM(t *testing.T) *vm {
	t.Helper()
	v := &vm{t: t, region: memory.Region{Guest: vmBase, Size: vmLen, User: vmUser}}
	var err error
	if v.fd, err = memory.Create("gonet-vhost-test", vmLen); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !v.closed {
			unix.Close(v.fd)
		}
	})
	if v.table, err = mapOne(vmLen, 0, v.fd); err != nil {
		t.Fatal(err)
	}
	v.table.Release()
	m, err := memory.Map(v.region, v.fd)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Release()
	if v.table, err = memory.NewTable(m); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !v.closed {
			v.table.Release()
		}
	})
	return v
}

const (
	allProtocol = ProtocolMQ | ProtocolLogShmFD | ProtocolRARP | ProtocolReplyAck | ProtocolMTU | ProtocolBackendReq | ProtocolConfig |
		ProtocolInflightShmFD | ProtocolResetDevice | ProtocolConfigureMemSlots | ProtocolStatus
	ringFeatures = virtqueue.FeatureVersion1 | virtqueue.FeatureIndirect | virtqueue.FeatureEventIdx
)

// attach has the machine use a back end on the other end of a socket pair.
func (v *vm) attach(front *Frontend, features uint64) {
	v.t.Helper()
	v.front = front
	if err := front.Negotiate(features|FeatureLogAll, allProtocol, features); err != nil {
		v.t.Fatal(err)
	}
	if err := front.SetMemory([]memory.Region{v.region}, []int{v.fd}); err != nil {
		v.t.Fatal(err)
	}
}

// addRing makes the next ring, on the driver's side.
func (v *vm) addRing(size int) *vmRing {
	v.t.Helper()
	at := uint64(vmUser + len(v.rings)*vmRings)
	r := &vmRing{config: virtqueue.Config{Size: size, Features: v.front.Features, Descriptors: at, Driver: at + 0x4000, Device: at + 0x6000}}
	if v.front.Features&virtqueue.FeaturePacked != 0 {
		r.config.Base = virtqueue.NewPackedBase
	}
	var err error
	if r.Driver, err = virtqueue.NewDriver(v.table, r.config); err != nil {
		v.t.Fatal(err)
	}
	for _, e := range []**Event{&r.kick, &r.call} {
		if *e, err = NewEvent(); err != nil {
			v.t.Fatal(err)
		}
		v.t.Cleanup(func() { (*e).Close() })
	}
	v.rings = append(v.rings, r)
	return r
}

// start sets up a ring in the back end.
func (v *vm) start(i int) {
	v.t.Helper()
	r := v.rings[i]
	if err := v.front.StartRing(i, RingConfig{r.config, r.kick.FD(), r.call.FD()}); err != nil {
		v.t.Fatal(err)
	}
}

// add offers text, and as much room for an answer, and kicks if that is wanted.
func (v *vm) add(r *vmRing, slot int, text string) uint16 {
	v.t.Helper()
	id, kick := v.offer(r, slot, text)
	if kick {
		r.kick.Signal()
	}
	return id
}

// offer is add without a kick, and says whether one is wanted.
func (v *vm) offer(r *vmRing, slot int, text string) (id uint16, kick bool) {
	v.t.Helper()
	at := uint64(vmBase + vmData + slot*0x1000)
	b, err := v.table.Slice(at, 0x1000)
	if err != nil {
		v.t.Fatal(err)
	}
	clear(b)
	copy(b, text)
	id, err = r.Add([]virtqueue.Span{{Addr: at, Len: uint32(len(text))}, {Addr: at + 0x800, Len: uint32(len(text))}}, 1)
	if err != nil {
		v.t.Fatal(err)
	}
	return id, r.Publish()
}

// take waits for a chain to come back, and returns what was written for it.
func (v *vm) take(r *vmRing, slot int) string {
	v.t.Helper()
	for {
		_, n, ok, err := r.Take()
		if err != nil {
			v.t.Fatal(err)
		}
		if ok {
			b, _ := v.table.Slice(uint64(vmBase+vmData+slot*0x1000+0x800), 0x800)
			return string(b[:n])
		}
		if r.Arm() {
			continue
		}
		r.call.SetDeadline(time.Now().Add(20 * time.Second))
		if err := r.call.Wait(); err != nil {
			v.t.Fatalf("no chain came back: %v; features %#x", err, v.front.Features)
		}
	}
}

// echoes has a text go there and back.
func (v *vm) echoes(r *vmRing, text string) {
	v.t.Helper()
	v.echoesAt(r, 0, text)
}

// echoesAt does so in a part of the memory.
func (v *vm) echoesAt(r *vmRing, slot int, text string) {
	v.t.Helper()
	v.add(r, slot, text)
	if got := v.take(r, slot); got != text {
		v.t.Fatalf("%q came back of %q", got, text)
	}
}

// pair returns a front end and the back end that serves it.
func pair(t *testing.T, d Device, c Config) (*Frontend, *Backend) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*net.UnixConn
	for i, fd := range fds {
		if conns[i], err = fileConn(fd); err != nil {
			t.Fatal(err)
		}
	}
	b := Serve(conns[1], d, c)
	f := NewFrontend(conns[0])
	t.Cleanup(func() { f.Close(); b.Close() })
	return f, b
}

// openFiles counts the file descriptors of this process.
func openFiles(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func mapped(t *testing.T) int {
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), "gonet-vhost-test")
}

// TestEcho has chains go through rings of each kind.
func TestEcho(t *testing.T) {
	for _, features := range []uint64{virtqueue.FeatureVersion1, ringFeatures, ringFeatures | virtqueue.FeaturePacked, virtqueue.FeatureVersion1 | virtqueue.FeaturePacked} {
		t.Run(fmt.Sprintf("%#x", features), func(t *testing.T) {
			v := newVM(t)
			before := mapped(t)
			front, b := pair(t, &echo{}, Config{Report: report(t)})
			v.attach(front, features)
			for i := range 2 {
				v.addRing(16)
				v.start(i)
			}
			for i := range 500 {
				v.echoes(v.rings[i%2], fmt.Sprint("text ", i))
			}
			front.Close()
			<-b.Done()
			if n := mapped(t); n != before {
				t.Errorf("%d mappings are left of %d", n, before)
			}
		})
	}
}

// report fails the test when something is reported.
func report(t *testing.T) func(int, error) {
	return func(ring int, err error) { t.Errorf("ring %d: %v", ring, err) }
}

// TestChanges: memory, the log, features and file descriptors change while a ring
// runs.
func TestChanges(t *testing.T) {
	for _, packed := range []uint64{0, virtqueue.FeaturePacked} {
		v := newVM(t)
		front, _ := pair(t, &echo{}, Config{Report: report(t)})
		v.attach(front, ringFeatures|packed)
		r := v.addRing(16)
		v.start(0)
		v.echoes(r, "one")
		more, err := memory.Create("gonet-vhost-test", 0x4000)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(more)
		region := memory.Region{Guest: 0x4000_0000, Size: 0x4000, User: 0x5000}
		for name, change := range map[string]func() error{
			"a region more, and less, each said twice": func() error {
				for range 2 {
					if err := front.Set(AddMemReg, SingleRegion{Region: region}, more); err != nil {
						return err
					}
				}
				v.echoes(r, "between")
				for range 2 {
					if err := front.Set(RemMemReg, SingleRegion{Region: region}); err != nil {
						return err
					}
				}
				return nil
			},
			"features":        func() error { return front.Set(SetFeatures, U64(front.Features)) },
			"the same memory": func() error { return front.SetMemory([]memory.Region{v.region}, []int{v.fd}) },
			"another call":    func() error { return front.Set(SetVringCall, U64(0), r.call.FD()) },
			"another kick":    func() error { return front.Set(SetVringKick, U64(0), r.kick.FD()) },
			"kicks by asking": func() error { return front.Set(SetVringKick, U64(0|VringNoFD)) },
			"a status":        func() error { return front.Set(SetStatus, U64(15)) },
		} {
			if err := change(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			v.echoes(r, name)
		}
		if n, err := front.number(GetStatus, nil); n != 15 || err != nil {
			t.Errorf("the status is %d, %v", n, err)
		}
	}
}

// TestStop: a ring that was stopped does nothing until it is set up again, and
// then goes on where it was.
func TestStop(t *testing.T) {
	for _, packed := range []uint64{0, virtqueue.FeaturePacked} {
		v := newVM(t)
		front, _ := pair(t, &echo{}, Config{Report: report(t)})
		v.attach(front, ringFeatures|packed)
		r := v.addRing(4)
		v.start(0)
		for i := range 30 {
			v.echoes(r, fmt.Sprint("a", i))
			base, err := front.StopRing(0)
			if err != nil {
				t.Fatal(err)
			}
			v.add(r, 0, "meanwhile")
			if _, _, ok, _ := r.Take(); ok {
				t.Fatal("a ring that is stopped serves")
			}
			r.config.Base = base
			v.start(0)
			r.kick.Signal()
			if got := v.take(r, 0); got != "meanwhile" {
				t.Fatalf("%q", got)
			}
		}
		if err := front.EnableRing(0, false); err != nil {
			t.Fatal(err)
		}
		v.add(r, 0, "disabled")
		if err := front.EnableRing(0, true); err != nil {
			t.Fatal(err)
		}
		if got := v.take(r, 0); got != "disabled" {
			t.Fatalf("%q", got)
		}
	}
}

// TestInflightResubmitted: chains that a back end had when it ended are taken by
// the next one, once, in order, and chains that it had returned are not.
func TestInflightResubmitted(t *testing.T) {
	for _, packed := range []uint64{0, virtqueue.FeaturePacked} {
		v := newVM(t)
		d := &echo{taken: make(chan string, 64), hold: make(chan struct{}, 64)}
		front, b := pair(t, d, Config{})
		v.attach(front, ringFeatures|packed)
		area, fd, err := front.Inflight(2, 16)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		r := v.addRing(16)
		v.start(0)
		d.hold <- struct{}{}
		v.echoes(r, "done")
		for i := range 3 {
			v.add(r, 1+i, fmt.Sprint("text ", i))
		}
		if <-d.taken != "done" || <-d.taken != "text 0" { // and it has that one
			t.Fatal("something else was taken")
		}
		front.Close()
		<-b.Done()

		d = &echo{taken: make(chan string, 64), hold: make(chan struct{}, 64)}
		front, b = pair(t, d, Config{Report: report(t)})
		v.attach(front, ringFeatures|packed)
		if err := front.SetInflight(area, fd); err != nil {
			t.Fatal(err)
		}
		r.config.Base = 0x7777 & 0xf // the front end does not know
		v.start(0)                   // without a kick
		for i := range 3 {
			d.hold <- struct{}{}
			if got := v.take(r, 1+i); got != fmt.Sprint("text ", i) {
				t.Fatalf("%q came back", got)
			}
			if got := <-d.taken; got != fmt.Sprint("text ", i) {
				t.Fatalf("%q was taken", got)
			}
		}
		if len(d.taken) != 0 {
			t.Errorf("%q was taken too", <-d.taken)
		}
		front.Close()
		<-b.Done()
	}
}

// TestBroken: a ring is broken off with a reason, and the other one goes on.
func TestBroken(t *testing.T) {
	type broken struct {
		ring int
		err  error
	}
	for name, c := range map[string]struct {
		do   func(v *vm, r *vmRing)
		want error
	}{
		"a bad address": {func(v *vm, r *vmRing) {
			if _, err := r.Add([]virtqueue.Span{{Addr: 0x10, Len: 1}}, 1); err != nil {
				t.Fatal(err)
			}
			r.Publish()
			r.kick.Signal()
		}, virtqueue.ErrAddress},
		"truncated": {func(v *vm, r *vmRing) {
			v.add(r, vmLen/0x1000-vmData/0x1000-1, "x")
			r.Take()
			if err := unix.Ftruncate(v.fd, vmLen-0x1000); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Add([]virtqueue.Span{{Addr: vmBase + vmLen - 0x1000, Len: 100}}, 1); err != nil {
				t.Fatal(err)
			}
			r.Publish()
			r.kick.Signal()
		}, memory.ErrFault},
	} {
		t.Run(name, func(t *testing.T) {
			reports := make(chan broken, 10)
			v := newVM(t)
			front, _ := pair(t, &echo{}, Config{Report: func(ring int, err error) { reports <- broken{ring, err} }})
			v.attach(front, ringFeatures)
			for i := range 2 {
				v.addRing(16)
				v.start(i)
			}
			errEvent, err := NewEvent()
			if err != nil {
				t.Fatal(err)
			}
			defer errEvent.Close()
			if err := front.Set(SetVringErr, U64(1), errEvent.FD()); err != nil {
				t.Fatal(err)
			}
			v.echoes(v.rings[1], "before")
			c.do(v, v.rings[1])
			if got := <-reports; got.ring != 1 || !errors.Is(got.err, c.want) {
				t.Fatalf("ring %d: %v", got.ring, got.err)
			}
			errEvent.SetDeadline(time.Now().Add(20 * time.Second))
			if err := errEvent.Wait(); err != nil {
				t.Error(err)
			}
			v.echoes(v.rings[0], "the other one")
			if _, err := front.StopRing(1); err != nil {
				t.Fatal(err)
			}
			v.echoes(v.rings[0], "the other one goes on")
		})
	}
}

// TestRequests tries requests that concern the device.
func TestRequests(t *testing.T) {
	v := newVM(t)
	d := &echo{config: []byte("0123456789"), mtu: make(chan int, 1), macs: make(chan [6]byte, 1)}
	refusals := make(chan error, 100)
	front, b := pair(t, d, Config{Report: func(_ int, err error) { refusals <- err }})
	v.attach(front, ringFeatures)
	if got, err := front.Config(2, 3); string(got) != "234" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if err := front.Set(SetConfig, ConfigSpace{Offset: 8, Data: []byte("xy")}); err != nil {
		t.Error(err)
	}
	if got, err := front.Config(0, 10); string(got) != "01234567xy" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if n, err := front.number(GetQueueNum, nil); n != 2 || err != nil {
		t.Errorf("%d rings, %v", n, err)
	}
	if n, err := front.number(GetMaxMemSlots, nil); n != uint64(memory.MaxRegions()) || err != nil {
		t.Errorf("%d regions, %v", n, err)
	}
	if err := front.Set(NetSetMTU, U64(9000)); err != nil || <-d.mtu != 9000 {
		t.Error(err)
	}
	if err := front.Set(SendRARP, U64(0x060504030201)); err != nil || <-d.macs != [6]byte{1, 2, 3, 4, 5, 6} {
		t.Error(err)
	}
	requests, err := front.Requests()
	if err != nil {
		t.Fatal(err)
	}
	defer requests.Close()
	b.ConfigChanged()
	if m, _, err := requests.Read(); err != nil || m.Request != BackendConfigChange {
		t.Errorf("%+v, %v", m, err)
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fd := int(file.Fd())
	short, err := memory.Create("short", 16)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(short)
	before := openFiles(t)
	for name, c := range map[string]struct {
		r    Request
		body any
		fds  []int
	}{
		"features that are not offered":          {SetFeatures, U64(1 << 60), nil},
		"protocol features that are not offered": {SetProtocolFeatures, U64(1 << 60), nil},
		"a ring of nothing":                      {SetVringNum, VringState{0, 0}, nil},
		"a ring that is too large":               {SetVringNum, VringState{0, 1 << 16}, nil},
		"no such ring":                           {SetVringNum, VringState{2, 16}, nil},
		"no such ring, far off":                  {SetVringEnable, VringState{1 << 31, 1}, nil},
		"no such ring to place":                  {SetVringAddr, VringAddr{Index: 99}, nil},
		"no such ring to kick":                   {SetVringKick, U64(200 | VringNoFD), nil},
		"a file that cannot be waited for":       {SetVringKick, U64(0), []int{short}},
		"a kick with and without a file":         {SetVringKick, U64(0 | VringNoFD), []int{fd}},
		"a call without a file":                  {SetVringCall, U64(0), nil},
		"memory of a device":                     {SetMemTable, MemoryTable{{Size: 0x1000}}, []int{fd}},
		"memory without a file":                  {SetMemTable, MemoryTable{{Size: 0x1000}}, nil},
		"memory that overlaps":                   {AddMemReg, SingleRegion{Region: memory.Region{Guest: v.region.Guest, Size: v.region.Size}}, []int{v.fd}},
		"configuration beyond its end":           {SetConfig, ConfigSpace{Offset: 9, Data: []byte("xy")}, nil},
		"configuration far off":                  {SetConfig, ConfigSpace{Offset: 1<<32 - 1, Data: []byte("xy")}, nil},
		"configuration that is read-only":        {SetConfig, ConfigSpace{Data: []byte{0xff}}, nil},
		"what was in flight, too short":          {SetInflightFD, InflightArea{Size: 16, Queues: 1, QueueSize: 16}, []int{short}},
		"what was in flight, of a short file":    {SetInflightFD, InflightArea{Size: 1 << 20, Queues: 1, QueueSize: 16}, []int{short}},
		"what was in flight, of nothing":         {SetInflightFD, InflightArea{Size: 1 << 20}, []int{short}},
		"requests over no socket":                {SetBackendReqFD, nil, []int{fd}},
		"an MTU":                                 {NetSetMTU, U64(1 << 16), nil},
		"another order":                          {SetVringEndian, VringState{0, 1}, nil},
		"postcopy":                               {PostcopyListen, nil, nil},
		"a socket of a screen":                   {GPUSetSocket, nil, []int{fd}},
		"a session":                              {CloseCryptoSession, U64(1), nil},
		"in-band":                                {VringKick, VringState{0, 0}, nil},
	} {
		if err := front.Set(c.r, c.body, c.fds...); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
		if err := <-refusals; !strings.Contains(err.Error(), c.r.String()) {
			t.Errorf("%s: it is not named: %v", name, err)
		}
		waitFor(t, name+": file descriptors are left", func() bool { return openFiles(t) <= before })
	}
	v.addRing(16)
	v.start(0)
	v.echoes(v.rings[0], "and all is well")
}

// TestLeaves: requests that cannot be refused end the session, with a reason.
func TestLeaves(t *testing.T) {
	for name, send := range map[string]func(f *Frontend) error{
		"not negotiated": func(f *Frontend) error { return f.conn.Write(Message{Request: GetConfig, Body: ConfigSpace{}}) },
		"a reply":        func(f *Frontend) error { return f.conn.Write(Message{Request: GetFeatures, Reply: true, Body: U64(0)}) },
		"not supported":  func(f *Frontend) error { return f.conn.Write(Message{Request: GetShmemConfig}) },
		"not known": func(f *Frontend) error {
			_, err := f.conn.c.Write([]byte{99, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0})
			return err
		},
		"another version": func(f *Frontend) error {
			_, err := f.conn.c.Write([]byte{1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0})
			return err
		},
		"a base of no ring": func(f *Frontend) error {
			return f.conn.Write(Message{Request: GetVringBase, Body: VringState{Index: 9}})
		},
		"a size, and no more": func(f *Frontend) error {
			f.conn.c.Write([]byte{1, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0})
			return f.conn.c.CloseWrite()
		},
	} {
		reports := make(chan error, 10)
		before := openFiles(t)
		front, b := pair(t, &echo{}, Config{Report: func(_ int, err error) { reports <- err }})
		if err := send(front); err != nil {
			t.Fatal(err)
		}
		<-b.Done()
		select {
		case err := <-reports:
			if !errors.Is(err, ErrMessage) && !errors.Is(err, ErrRefused) && !errors.Is(err, ErrUnsupported) && !strings.Contains(err.Error(), "EOF") {
				t.Errorf("%s: %v", name, err)
			}
		default:
			t.Errorf("%s: it was not reported", name)
		}
		front.Close()
		waitFor(t, name+": file descriptors are left", func() bool { return openFiles(t) <= before })
	}
}

// TestListen: front ends come and go, and one that waits is served next; a socket
// that nobody listens to makes room.
func TestListen(t *testing.T) {
	path := t.TempDir() + "/s"
	for range 2 {
		b, err := Listen(path, &echo{}, Config{Report: report(t)})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			v := newVM(t)
			front, err := Dial(path)
			if err != nil {
				t.Fatal(err)
			}
			v.attach(front, ringFeatures)
			v.addRing(16)
			v.start(0)
			v.echoes(v.rings[0], "hello")
			front.Close()
		}
		if _, err := Listen(path, &echo{}, Config{}); err == nil {
			t.Error("two listen")
		}
		b.Close()
		b.Close()
		l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close() // it stays there, as after a kill
	}
}

// TestConnect: the back end connects, before there is a front end, and again.
func TestConnect(t *testing.T) {
	path := t.TempDir() + "/s"
	b := Connect(path, &echo{}, Config{})
	defer b.Close()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 3 {
		l.SetDeadline(time.Now().Add(20 * time.Second))
		conn, err := l.AcceptUnix()
		if err != nil {
			t.Fatal(err)
		}
		v := newVM(t)
		v.attach(NewFrontend(conn), ringFeatures)
		v.addRing(16)
		v.start(0)
		v.echoes(v.rings[0], "hello")
		v.front.Close()
	}
}

// TestCloseWhileStuck: a front end that reads nothing keeps nobody from closing
// the back end.
func TestCloseWhileStuck(t *testing.T) {
	front, b := pair(t, &echo{config: []byte("1")}, Config{})
	if err := front.Negotiate(ringFeatures, allProtocol, ringFeatures); err != nil {
		t.Fatal(err)
	}
	requests, err := front.Requests()
	if err != nil {
		t.Fatal(err)
	}
	defer requests.Close()
	front.conn.c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	for err == nil { // until neither side can send any more
		err = front.conn.Write(Message{Request: GetFeatures})
	}
	b.Close()
}
