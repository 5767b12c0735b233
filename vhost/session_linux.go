package vhost

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/seed-012105e5/gonet/vhost/memory"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// A session is what a back end knows of the front end that it serves. It has one
// owner, and is a machine: a message goes in, a reply comes out, and rings start
// and stop between.
type session struct {
	device   Device
	acked    uint64 // features
	protocol uint64 // features of the protocol
	status   uint64
	rings    []*ring
	table    *memory.Table // nil before the first regions
	log      *memory.Log
	logTable *memory.Table
	logFD    int
	inflight *inflight
	requests *Conn     // to the front end, or nil
	postcopy *postcopy // or nil
	busyPoll time.Duration
	patience time.Duration // see Config
	report   func(ring int, err error)
}

func newSession(d Device, c Config, report func(ring int, err error)) *session {
	s := &session{device: d, logFD: -1, busyPoll: c.BusyPoll, patience: c.patience, report: report}
	for i := range d.Queues() {
		s.rings = append(s.rings, newRing(i))
	}
	return s
}

// close stops everything and gives back whatever the front end has shared.
func (s *session) close() {
	s.postcopy.close() // or a ring may wait for memory that does not come any more
	for _, r := range s.rings {
		r.reset()
	}
	s.tellStopped()
	if s.table != nil {
		s.table.Release()
	}
	s.dropLog()
	s.inflight.close()
	replace(&s.logFD, -1)
	if s.requests != nil {
		s.requests.Close()
	}
	*s = session{}
}

// features are those offered.
func (s *session) features() uint64 {
	return s.device.Features() | virtqueue.Features | FeatureLogAll | FeatureProtocolFeatures
}

// protocolFeatures are those offered.
func (s *session) protocolFeatures() uint64 {
	f := uint64(ProtocolMQ | ProtocolLogShmFD | ProtocolReplyAck | ProtocolBackendReq | ProtocolInflightShmFD |
		ProtocolResetDevice | ProtocolConfigureMemSlots | ProtocolStatus)
	if s.device.Config() != nil {
		f |= ProtocolConfig
	}
	if _, ok := s.device.(MTUSetter); ok {
		f |= ProtocolMTU
	}
	if _, ok := s.device.(Announcer); ok {
		f |= ProtocolRARP
	}
	if canPostcopy() {
		f |= ProtocolPageFault
	}
	return f
}

// needs is the feature of the protocol that a request belongs to, or 0.
func needs(r Request) uint64 {
	switch r {
	case GetQueueNum:
		return ProtocolMQ
	case SendRARP:
		return ProtocolRARP
	case NetSetMTU:
		return ProtocolMTU
	case SetBackendReqFD:
		return ProtocolBackendReq
	case GetConfig, SetConfig:
		return ProtocolConfig
	case GetInflightFD, SetInflightFD:
		return ProtocolInflightShmFD
	case ResetDevice:
		return ProtocolResetDevice
	case PostcopyAdvise, PostcopyListen, PostcopyEnd:
		return ProtocolPageFault
	case GetMaxMemSlots, AddMemReg, RemMemReg:
		return ProtocolConfigureMemSlots
	case SetStatus, GetStatus:
		return ProtocolStatus
	}
	return 0
}

// A reply is what goes back for a message: nothing, a payload, or a payload with
// a file descriptor, which is closed when it was sent.
type reply struct {
	body any
	fd   int
	sent bool // there is one
}

func answer(body any) reply { return reply{body: body, fd: -1, sent: true} }

// handle does what a message asks for. It takes of the files what it keeps. An
// error that the front end can be told has no more consequences; any other ends
// the session.
func (s *session) handle(m Message, files Files) (out Message, fd int, send bool, err error) {
	defer files.Close()
	if m.Reply {
		return out, -1, false, fmt.Errorf("%w: a reply to nothing: %v", ErrMessage, m.Request)
	}
	var r reply
	if f := needs(m.Request); f != 0 && s.protocol&f == 0 {
		r, err = reply{fd: -1}, fmt.Errorf("%w: %v was not negotiated", ErrRefused, m.Request)
	} else {
		r, err = s.do(m, files)
	}
	out = Message{Request: m.Request, Reply: true, Body: r.body}
	if !r.sent && m.Ack && s.protocol&ProtocolReplyAck != 0 {
		out.Body = U64(0)
		if err != nil {
			s.report(-1, fmt.Errorf("%v: %w", m.Request, err))
			out.Body = U64(1)
		}
		return out, -1, true, nil
	}
	if err != nil {
		return out, -1, false, fmt.Errorf("%v: %w", m.Request, err)
	}
	return out, r.fd, r.sent, nil
}

// do is handle for requests that may come now.
func (s *session) do(m Message, files Files) (reply, error) {
	none := reply{fd: -1}
	switch b := m.Body.(type) {
	case VringState:
		return s.doRing(m.Request, b)
	case VringAddr:
		return none, s.changeRing(int(b.Index), func(r *ring) error { r.addr, r.placed = b, true; return nil })
	case MemoryTable:
		return s.setMemory(b, files)
	case SingleRegion:
		return s.changeMemory(m.Request, b.Region, files)
	case LogArea:
		return answer(U64(0)), s.setLog(b, files)
	case ConfigSpace:
		return s.doConfig(m.Request, b)
	case InflightArea:
		return s.doInflight(m.Request, b, files)
	case U64:
		return none, s.doNumber(m.Request, uint64(b), files)
	case nil:
		return s.doPlain(m.Request, files)
	}
	return none, ErrUnsupported
}

// doPlain does requests without a payload.
func (s *session) doPlain(r Request, files Files) (reply, error) {
	none := reply{fd: -1}
	switch r {
	case GetFeatures:
		return answer(U64(s.features())), nil
	case GetProtocolFeatures:
		return answer(U64(s.protocolFeatures())), nil
	case GetQueueNum:
		return answer(U64(len(s.rings))), nil
	case GetMaxMemSlots:
		return answer(U64(memory.MaxRegions())), nil
	case GetStatus:
		return answer(U64(s.status)), nil
	case SetOwner, ResetOwner: // the second one means nothing (section "Front-end message types")
		return none, nil
	case ResetDevice:
		s.reset()
		return none, nil
	case PostcopyAdvise, PostcopyListen, PostcopyEnd:
		return s.doPostcopy(r)
	case SetLogFD:
		return none, s.change(func() error { replace(&s.logFD, files.Take(0)); return nil })
	case SetBackendReqFD:
		c, err := fileConn(files.Take(0))
		if err != nil {
			return none, err
		}
		if s.requests != nil {
			s.requests.Close()
		}
		s.requests = NewConn(c, true)
		return none, nil
	}
	return none, ErrUnsupported
}

// fileConn makes a connection of a socket that has come as a file descriptor.
func fileConn(fd int) (*net.UnixConn, error) {
	f := os.NewFile(uintptr(fd), "vhost")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("%w: it is no unix socket", ErrRefused)
	}
	return u, nil
}

// doNumber does requests with a number.
func (s *session) doNumber(r Request, n uint64, files Files) error {
	switch r {
	case SetFeatures:
		if n&^s.features() != 0 {
			return fmt.Errorf("%w: the features %#x are not offered", ErrRefused, n&^s.features())
		}
		return s.change(func() error {
			s.acked = n
			for _, r := range s.rings {
				r.enabled = r.enabled || n&FeatureProtocolFeatures == 0
			}
			return nil
		})
	case SetProtocolFeatures:
		if n&^s.protocolFeatures() != 0 {
			return fmt.Errorf("%w: the protocol features %#x are not offered", ErrRefused, n&^s.protocolFeatures())
		}
		s.protocol = n
		return nil
	case SetStatus:
		if s.status = n & 0xff; s.status == 0 { // VIRTIO 1.2 section 2.1: a reset
			s.reset()
		}
		return nil
	case AddMemReg:
		if n != 0 || len(files) != 0 || !s.postpones() {
			return fmt.Errorf("%w: no region", ErrMessage)
		}
		return s.acknowledged(s.table)
	case SetVringKick, SetVringCall, SetVringErr:
		return s.setFD(r, n, files)
	case NetSetMTU:
		if n > 1<<16-1 {
			return fmt.Errorf("%w: an MTU of %d", ErrRefused, n)
		}
		return s.device.(MTUSetter).SetMTU(int(n))
	case SendRARP:
		var mac [6]byte
		for i := range mac { // the first bytes in memory: of a little-endian machine
			mac[i] = byte(n >> (8 * i))
		}
		s.device.(Announcer).Announce(mac)
		return nil
	}
	return ErrUnsupported
}

// setFD sets how a ring is kicked, or calls.
func (s *session) setFD(r Request, n uint64, files Files) error {
	fd := -1
	if has := n&VringNoFD == 0; has != (len(files) == 1) {
		return fmt.Errorf("%w: it has %d file descriptors", ErrMessage, len(files))
	} else if has {
		fd = files[0]
	}
	return s.changeRing(int(n&VringIndex), func(ring *ring) error {
		if fd >= 0 {
			files.Take(0)
		}
		switch r {
		case SetVringKick:
			return ring.setKick(fd)
		case SetVringCall:
			replace(&ring.call, fd)
		default:
			replace(&ring.errFD, fd)
		}
		return nil
	})
}

// doRing does requests with the number of a ring.
func (s *session) doRing(m Request, v VringState) (reply, error) {
	none := reply{fd: -1}
	switch m {
	case SetVringNum:
		if v.Num == 0 || v.Num > virtqueue.MaxSize {
			return none, fmt.Errorf("%w: a ring of %d", ErrRefused, v.Num)
		}
		return none, s.changeRing(int(v.Index), func(r *ring) error { r.size = int(v.Num); return nil })
	case SetVringBase:
		return none, s.changeRing(int(v.Index), func(r *ring) error { r.base, r.based = v.Num, true; return nil })
	case SetVringEnable:
		return none, s.changeRing(int(v.Index), func(r *ring) error { r.enabled = v.Num != 0; return nil })
	case GetVringBase:
		if int64(v.Index) >= int64(len(s.rings)) {
			return none, fmt.Errorf("%w: %w %d", ErrRefused, errNoRing, v.Index)
		}
		return answer(VringState{v.Index, s.stopRing(s.rings[v.Index])}), nil
	}
	return none, ErrUnsupported
}

// stopRing stops a ring until it is set up again, and returns where it is.
func (s *session) stopRing(r *ring) uint32 {
	r.stop()
	r.dropKick()
	replace(&r.call, -1)
	r.started, r.broken, r.placed = false, nil, false
	s.tellStopped()
	if !r.based && r.leftAt {
		return r.left
	}
	if !r.based && s.acked&virtqueue.FeaturePacked != 0 {
		return virtqueue.NewPackedBase
	}
	return r.base
}

// tellStopped tells the device if no ring runs.
func (s *session) tellStopped() {
	d, ok := s.device.(StopObserver)
	if !ok {
		return
	}
	for _, r := range s.rings {
		if r.running != nil || r.ready() {
			return
		}
	}
	d.RingsStopped()
}

// reset brings the device back to where it began; memory stays (sections
// RESET_DEVICE, SET_STATUS).
func (s *session) reset() {
	for _, r := range s.rings {
		r.reset()
	}
	s.tellStopped()
	if d, ok := s.device.(Resetter); ok {
		d.Reset()
	}
}

// change changes something that rings use: they stop, and go on behind it.
func (s *session) change(f func() error) error {
	for _, r := range s.rings {
		r.stop()
	}
	err := f()
	s.startAll()
	return err
}

// changeRing changes something of one ring.
func (s *session) changeRing(i int, f func(*ring) error) error {
	if i >= len(s.rings) || i < 0 {
		return fmt.Errorf("%w: %w %d", ErrRefused, errNoRing, i)
	}
	s.rings[i].stop()
	err := f(s.rings[i])
	s.startAll()
	return err
}

func (s *session) startAll() {
	for _, r := range s.rings {
		if r.ready() && s.table != nil {
			r.start(s)
		}
	}
}

// doConfig reads or writes a part of the configuration space.
func (s *session) doConfig(m Request, c ConfigSpace) (reply, error) {
	all := s.device.Config()
	inside := uint64(c.Offset)+uint64(len(c.Data)) <= uint64(len(all))
	if m == GetConfig {
		out := ConfigSpace{Offset: c.Offset, Flags: c.Flags, Data: make([]byte, len(c.Data))}
		if int(c.Offset) < len(all) {
			copy(out.Data, all[c.Offset:]) // what the driver knows beyond it is zero
		}
		return answer(out), nil
	}
	if !inside {
		return reply{fd: -1}, fmt.Errorf("%w: %d bytes at %d of a configuration of %d", ErrRefused, len(c.Data), c.Offset, len(all))
	}
	if err := s.device.SetConfig(int(c.Offset), c.Data); err != nil {
		return reply{fd: -1}, err
	}
	return reply{fd: -1}, s.keep()
}

// keep notes the setting of the device for the process that may come after this one.
func (s *session) keep() error {
	d, ok := s.device.(Keeper)
	if !ok || s.inflight == nil {
		return nil
	}
	return s.inflight.table.Guard(func() { s.inflight.keep(d.Setting()) })
}

// restore has the device have the setting that the process before this one has noted, or
// notes its own.
func (s *session) restore() error {
	d, ok := s.device.(Keeper)
	if !ok {
		return nil
	}
	var setting uint32
	var noted bool
	if err := s.inflight.table.Guard(func() { setting, noted = s.inflight.setting() }); err != nil {
		return err
	}
	if !noted {
		return s.keep()
	}
	d.Restore(setting)
	return nil
}

// doInflight makes memory for what is in flight, or takes what the front end has
// kept.
func (s *session) doInflight(m Request, a InflightArea, files Files) (reply, error) {
	none := reply{fd: -1}
	if int(a.Queues) > len(s.rings) {
		return none, fmt.Errorf("%w: %d rings", ErrRefused, a.Queues)
	}
	var f *inflight
	var err error
	out := none
	if m == GetInflightFD {
		fd := -1
		if f, fd, err = createInflight(a.Queues, a.QueueSize); err == nil {
			out = reply{body: f.area, fd: fd, sent: true}
		}
	} else {
		f, err = mapInflight(a, files[0])
	}
	if err != nil {
		return none, err
	}
	return out, s.change(func() error {
		s.inflight.close()
		s.inflight = f
		return s.restore()
	})
}

// tellTimeout is how long a front end has to take a request of the back end's,
// while others of its own wait.
const tellTimeout = time.Second

// configChanged tells the front end that the configuration space has changed.
func (s *session) configChanged() error {
	if s.requests == nil || s.protocol&ProtocolConfig == 0 {
		return errors.New("vhost: the front end cannot be told")
	}
	s.requests.c.SetWriteDeadline(time.Now().Add(tellTimeout))
	return s.requests.Write(Message{Request: BackendConfigChange})
}
