package vhostblk

import (
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/vhost"
	"github.com/seed-012105e5/gonet/vhost/memory"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// A FrontendConfig is how a disk is driven. The zero value is a sensible one.
type FrontendConfig struct {
	// Queues is how many rings are used, if the back end has as many: 1 if it is 0.
	Queues int

	// Depth is how many requests each ring takes at once: 64 if it is 0, at most
	// 1024. Further calls wait.
	Depth int

	// MaxTransfer is how much one request reads or writes at most, in bytes: 1 MiB if
	// it is 0, at most 16 MiB. Longer calls are cut. So much memory is shared for each
	// request, and used if it is needed.
	MaxTransfer int

	// Packed has the rings be packed, if the back end knows such.
	Packed bool

	// Reconnect is how long a back end that has gone may be away: requests wait, and
	// those that were under way are done again where they had not returned. 0 has them
	// fail at once.
	Reconnect time.Duration
}

func (c *FrontendConfig) complete() error {
	for _, f := range []struct {
		name        string
		p           *int
		usual, most int
	}{{"queues", &c.Queues, 1, MaxQueues}, {"requests at once", &c.Depth, 64, 1024}, {"bytes at once", &c.MaxTransfer, 1 << 20, 16 << 20}} {
		if *f.p == 0 {
			*f.p = f.usual
		}
		if *f.p < 1 || *f.p > f.most {
			return fmt.Errorf("vhostblk: %d %s", *f.p, f.name)
		}
	}
	c.MaxTransfer = max(c.MaxTransfer&^4095, 4096)
	return nil
}

// Where things lie in the memory that is shared.
const (
	guestBase = 0x1000_0000
	userBase  = 0x7000_0000_0000
	headRoom  = 1024 // of a slot: header, ranges, serial number, status

	statusOff = headRoom - 1
	rangesOff = headLen
)

// A Frontend is a disk that a back end serves: a block.Device with whatever powers
// that offers.
type Frontend struct {
	block.ResizeNotices
	path string
	cfg  FrontendConfig

	control  sync.Mutex // of front: messages have answers
	front    *vhost.Frontend
	requests *vhost.Conn // of the back end, or nil
	fd       int         // of the shared memory
	region   memory.Region
	table    *memory.Table
	area     vhost.InflightArea
	inflight int // file descriptor, or -1

	space    space
	features uint64
	size     atomic.Int64
	most     int // bytes of a request
	queues   []*queue
	next     atomic.Uint32 // queue
	lost     chan struct{} // closed when there is no back end any more
	closing  chan struct{}
	closed   atomic.Bool
	keeping  sync.WaitGroup
	restarts atomic.Uint64
}

// ErrLost: the back end has gone.
var ErrLost error = &lostError{}

type lostError struct{}

func (*lostError) Error() string { return "vhostblk: the back end has gone" }
func (*lostError) Unwrap() error { return syscall.ESHUTDOWN }

// Dial drives the disk of a back end that listens to a unix socket.
func Dial(path string, c FrontendConfig) (*Frontend, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	f := &Frontend{path: path, cfg: c, fd: -1, inflight: -1, lost: make(chan struct{}), closing: make(chan struct{})}
	if err := f.connect(); err != nil {
		f.free()
		return nil, err
	}
	f.keeping.Go(f.keep)
	for _, q := range f.queues {
		f.keeping.Go(func() { f.reap(q) })
	}
	return f, nil
}

// Close ends the use of the disk. Requests under way come to their end before; it does
// not Sync.
func (f *Frontend) Close() error {
	if f.closed.Swap(true) {
		<-f.lost
		return nil
	}
	close(f.closing)
	for _, q := range f.queues {
		q.drain(f.lost)
	}
	f.control.Lock()
	for i := range f.queues {
		f.front.StopRing(i) // or it has gone
	}
	f.front.Close()
	if f.requests != nil {
		f.requests.Close()
	}
	f.control.Unlock()
	f.keeping.Wait()
	f.free()
	return nil
}

// free gives everything back.
func (f *Frontend) free() {
	if f.front != nil {
		f.front.Close()
	}
	if f.requests != nil {
		f.requests.Close()
	}
	for _, q := range f.queues {
		q.kick.Close()
		q.call.Close()
	}
	for _, fd := range []int{f.fd, f.inflight} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	if f.table != nil {
		f.table.Release()
	}
}

// connect finds the back end and has it run the rings. It is called again when the
// back end has gone.
func (f *Frontend) connect() error {
	front, err := vhost.Dial(f.path)
	if err != nil {
		return err
	}
	f.control.Lock()
	defer f.control.Unlock()
	f.front = front
	if err := f.negotiate(); err != nil {
		return err
	}
	if err := f.readConfig(); err != nil {
		return err
	}
	if f.table == nil {
		if err := f.share(); err != nil {
			return err
		}
	}
	return f.startRings()
}

func (f *Frontend) negotiate() error {
	wanted := uint64(featureAll | virtqueue.FeatureVersion1 | virtqueue.FeatureIndirect | virtqueue.FeatureEventIdx)
	if f.cfg.Packed {
		wanted |= virtqueue.FeaturePacked
	}
	const protocol = vhost.ProtocolReplyAck | vhost.ProtocolMQ | vhost.ProtocolConfig | vhost.ProtocolBackendReq | vhost.ProtocolInflightShmFD
	if f.table != nil {
		wanted = f.features // rings and slots are as they were
	}
	if err := f.front.Negotiate(wanted, protocol, virtqueue.FeatureVersion1); err != nil {
		return err
	}
	if f.table != nil && f.front.Features != f.features {
		return fmt.Errorf("%w: the features are %#x, and were %#x", vhost.ErrRefused, f.front.Features, f.features)
	}
	if f.table == nil { // it does not change any more
		f.features = f.front.Features
	}
	f.requests = nil
	if f.front.Protocol&vhost.ProtocolBackendReq != 0 {
		var err error
		if f.requests, err = f.front.Requests(); err != nil {
			return err
		}
	}
	return nil
}

// readConfig reads what the disk is now.
func (f *Frontend) readConfig() error {
	p, err := f.front.Config(0, spaceLen)
	if err != nil {
		return err
	}
	s := decodeSpace(p)
	if s.capacity > 1<<62/sectorSize {
		return fmt.Errorf("%w: a capacity of %d sectors", vhost.ErrRefused, s.capacity)
	}
	if n := s.blockSize; f.features&featureBlockSize == 0 || n < sectorSize || n > 1<<16 || n&(n-1) != 0 {
		s.blockSize = sectorSize
	}
	if f.table == nil { // the rest of it does not change
		f.space = s
	}
	size := int64(s.capacity) * sectorSize
	if old := f.size.Swap(size); f.table != nil && old != size {
		f.Tell(size)
	}
	return nil
}

// share makes the memory and the rings.
func (f *Frontend) share() error {
	n := f.cfg.Queues
	if f.features&featureMQ == 0 {
		n = 1
	}
	n = min(n, max(int(f.space.queues), 1))
	segments, segment := 1, f.cfg.MaxTransfer
	if s := int(f.space.sizeMax); f.features&featureSizeMax != 0 && s > 0 {
		segment = min(segment, max(s&^(sectorSize-1), sectorSize))
	}
	if m := int(f.space.segMax); f.features&featureSegMax != 0 && m > 0 {
		segments = min(m, maxSegments)
	}
	f.most = min(f.cfg.MaxTransfer, segments*segment) &^ (int(f.space.blockSize) - 1)
	segments = (f.most + segment - 1) / segment
	l := layout{depth: f.cfg.Depth, segments: segments, segment: segment, room: (f.most + headRoom + 4095) &^ 4095}
	l.size = l.depth
	if f.features&virtqueue.FeatureIndirect == 0 {
		l.size *= segments + 2
	}
	l.size = 1 << bits.Len(uint(max(l.size, 4)-1))
	length := uint64(n * l.length())
	var err error
	if f.fd, err = memory.Create("vhostblk", length); err != nil {
		return err
	}
	f.region = memory.Region{Guest: guestBase, Size: length, User: userBase}
	mapping, err := memory.Map(f.region, f.fd)
	if err != nil {
		return err
	}
	defer mapping.Release()
	if f.table, err = memory.NewTable(mapping); err != nil {
		return err
	}
	for i := range n {
		q, err := newQueue(f.table, f.features, i*l.length(), l)
		if q != nil {
			f.queues = append(f.queues, q)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// startRings has the back end run them, with what is under way.
func (f *Frontend) startRings() error {
	if err := f.front.SetMemory([]memory.Region{f.region}, []int{f.fd}); err != nil {
		return err
	}
	kept := f.inflight >= 0
	if f.front.Protocol&vhost.ProtocolInflightShmFD != 0 {
		if !kept {
			var err error
			if f.area, f.inflight, err = f.front.Inflight(len(f.queues), f.queues[0].config.Size); err != nil {
				return err
			}
		}
		if err := f.front.SetInflight(f.area, f.inflight); err != nil {
			return err
		}
	}
	for i, q := range f.queues {
		if err := q.restart(kept); err != nil {
			return err
		}
		if err := f.front.StartRing(i, vhost.RingConfig{Config: q.config, Kick: q.kick.FD(), Call: q.call.FD()}); err != nil {
			return err
		}
		q.kick.Signal()
		q.call.Signal()
	}
	return nil
}

// keep hears what the back end says, until there is none any more.
//
// Owns: the reading half of requests.
// Reads: closing.
// Writes: lost.
// Blocks on: the back end, a timer.
func (f *Frontend) keep() {
	defer func() {
		close(f.lost)
		for _, q := range f.queues {
			q.call.SetDeadline(time.Unix(1, 0)) // ends reap
		}
	}()
	for {
		f.hear()
		if !f.reconnect() {
			return
		}
		f.restarts.Add(1)
	}
}

// hear returns when the back end has gone.
func (f *Frontend) hear() {
	if f.requests == nil {
		f.front.Wait()
		return
	}
	for {
		m, files, err := f.requests.Read()
		files.Close()
		if err != nil {
			return
		}
		if m.Request != vhost.BackendConfigChange {
			continue
		}
		f.control.Lock()
		f.readConfig() // an error shows where it is read next
		if m.Ack {
			f.requests.Write(vhost.Message{Request: m.Request, Reply: true, Body: vhost.U64(0)})
		}
		f.control.Unlock()
	}
}

// redial is how long the front end waits before it tries again.
const redial = 50 * time.Millisecond

// reconnect returns true when there is a back end again.
func (f *Frontend) reconnect() bool {
	for end := time.Now().Add(f.cfg.Reconnect); ; {
		f.control.Lock()
		f.front.Close()
		if f.requests != nil {
			f.requests.Close()
		}
		f.control.Unlock()
		if f.closed.Load() || !time.Now().Before(end) {
			return false
		}
		if f.connect() == nil {
			return true
		}
		timer := time.NewTimer(redial)
		select {
		case <-timer.C:
		case <-f.closing:
			timer.Stop()
			return false
		}
	}
}
