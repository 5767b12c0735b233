package vhost

import (
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/vhost/memory"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// A Frontend drives a device of a back end. It has one owner; its calls wait for
// the back end.
type Frontend struct {
	conn     *Conn
	Features uint64 // that were negotiated
	Protocol uint64 // features of the protocol that were negotiated
}

// Dial connects to a back end that listens to a unix socket.
func Dial(path string) (*Frontend, error) {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		return nil, err
	}
	return NewFrontend(c), nil
}

// NewFrontend returns a front end over a connection, which belongs to it.
func NewFrontend(c *net.UnixConn) *Frontend { return &Frontend{conn: NewConn(c, false)} }

// Close leaves the back end.
func (f *Frontend) Close() error { return f.conn.Close() }

// Wait waits until the back end leaves. Nothing else may wait for an answer then.
func (f *Frontend) Wait() {
	f.conn.c.SetReadDeadline(time.Time{})
	for {
		_, files, err := f.conn.Read()
		files.Close()
		if err != nil {
			return
		}
	}
}

// Timeout is how long the back end has for an answer.
const Timeout = 30 * time.Second

// Get sends a request that has a reply, and returns the payload of that and the
// file descriptors that came with it.
func (f *Frontend) Get(r Request, body any, fds ...int) (any, Files, error) {
	if err := f.conn.Write(Message{Request: r, Body: body}, fds...); err != nil {
		return nil, nil, fmt.Errorf("%v: %w", r, err)
	}
	return f.reply(r)
}

func (f *Frontend) reply(r Request) (any, Files, error) {
	f.conn.c.SetReadDeadline(time.Now().Add(Timeout))
	m, files, err := f.conn.Read()
	if err == nil && (m.Request != r || !m.Reply) {
		files.Close()
		err = fmt.Errorf("%w: %v in answer", ErrMessage, m.Request)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%v: %w", r, err)
	}
	return m.Body, files, nil
}

// number is Get for a number.
func (f *Frontend) number(r Request, body any) (uint64, error) {
	v, files, err := f.Get(r, body)
	files.Close()
	n, ok := v.(U64)
	if err == nil && !ok {
		err = fmt.Errorf("%w: %v without a number", ErrMessage, r)
	}
	return uint64(n), err
}

// Set sends a request that has no reply, and where that was negotiated waits until
// it was done. It fails with ErrRefused when the back end says so.
func (f *Frontend) Set(r Request, body any, fds ...int) error {
	ack := f.Protocol&ProtocolReplyAck != 0
	if err := f.conn.Write(Message{Request: r, Body: body, Ack: ack}, fds...); err != nil {
		return fmt.Errorf("%v: %w", r, err)
	}
	if !ack {
		return nil
	}
	v, files, err := f.reply(r)
	files.Close()
	if n, ok := v.(U64); err == nil && (!ok || n != 0) {
		err = fmt.Errorf("%w: %v by the back end", ErrRefused, r)
	}
	return err
}

// Negotiate takes those of the features that the back end offers, of devices, of
// rings and of the protocol, and of features all that are needed.
func (f *Frontend) Negotiate(features, protocol, needed uint64) error {
	if err := f.Set(SetOwner, nil); err != nil {
		return err
	}
	offered, err := f.number(GetFeatures, nil)
	if err != nil {
		return err
	}
	if missing := needed &^ offered; missing != 0 {
		return fmt.Errorf("%w: the back end does not offer the features %#x", ErrRefused, missing)
	}
	f.Features = offered & features
	if offered&FeatureProtocolFeatures != 0 {
		n, err := f.number(GetProtocolFeatures, nil)
		if err != nil {
			return err
		}
		if err := f.Set(SetProtocolFeatures, U64(n&protocol)); err != nil {
			return err
		}
		f.Protocol = n & protocol
		f.Features |= FeatureProtocolFeatures
	}
	return f.Set(SetFeatures, U64(f.Features))
}

// Config reads n bytes of the configuration space.
func (f *Frontend) Config(offset, n int) ([]byte, error) {
	v, files, err := f.Get(GetConfig, ConfigSpace{Offset: uint32(offset), Data: make([]byte, n)})
	files.Close()
	c, ok := v.(ConfigSpace)
	if err == nil && (!ok || len(c.Data) != n) {
		err = fmt.Errorf("%w: the configuration space has not %d bytes at %d", ErrRefused, n, offset)
	}
	return c.Data, err
}

// SetMemory shares regions, each of a file.
func (f *Frontend) SetMemory(regions []memory.Region, fds []int) error {
	return f.Set(SetMemTable, MemoryTable(regions), fds...)
}

// A RingConfig says how a ring is set up.
type RingConfig struct {
	virtqueue.Config     // by addresses of the front end's
	Kick, Call       int // eventfds, which stay the caller's
}

// StartRing sets up a ring, and enables it.
func (f *Frontend) StartRing(i int, c RingConfig) error {
	n := uint32(i)
	addr := VringAddr{Index: n, Descriptors: c.Descriptors, Avail: c.Driver, Used: c.Device, LogAt: c.LogAddr}
	if c.LogRing {
		addr.Flags |= VringLog
	}
	for _, step := range []struct {
		r    Request
		body any
		fds  []int
	}{
		{SetVringNum, VringState{n, uint32(c.Size)}, nil},
		{SetVringBase, VringState{n, c.Base}, nil},
		{SetVringAddr, addr, nil},
		{SetVringCall, U64(i), []int{c.Call}},
		{SetVringKick, U64(i), []int{c.Kick}},
	} {
		if err := f.Set(step.r, step.body, step.fds...); err != nil {
			return err
		}
	}
	return f.EnableRing(i, true)
}

// EnableRing enables a ring, or disables it.
func (f *Frontend) EnableRing(i int, on bool) error {
	if f.Features&FeatureProtocolFeatures == 0 {
		return nil // all are
	}
	v := VringState{Index: uint32(i)}
	if on {
		v.Num = 1
	}
	return f.Set(SetVringEnable, v)
}

// StopRing stops a ring, and returns where it can go on.
func (f *Frontend) StopRing(i int) (base uint32, err error) {
	v, files, err := f.Get(GetVringBase, VringState{Index: uint32(i)})
	files.Close()
	s, ok := v.(VringState)
	if err == nil && (!ok || s.Index != uint32(i)) {
		err = fmt.Errorf("%w: the base of another ring", ErrMessage)
	}
	return s.Num, err
}

// Inflight asks for memory in which the back end notes what is in flight, of so
// many rings. The caller closes the file descriptor; he keeps both for SetInflight
// on a later connection.
func (f *Frontend) Inflight(rings, size int) (InflightArea, int, error) {
	v, files, err := f.Get(GetInflightFD, InflightArea{Queues: uint16(rings), QueueSize: uint16(size)})
	a, ok := v.(InflightArea)
	if err == nil && (!ok || len(files) != 1) {
		files.Close()
		err = fmt.Errorf("%w: no memory for what is in flight", ErrRefused)
	}
	if err != nil {
		return a, -1, err
	}
	return a, files.Take(0), nil
}

// SetInflight gives the back end the memory that Inflight has returned.
func (f *Frontend) SetInflight(a InflightArea, fd int) error { return f.Set(SetInflightFD, a, fd) }

// Requests makes the channel for requests of the back end.
func (f *Frontend) Requests() (*Conn, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	files := Files{pair[0], pair[1]}
	defer files.Close()
	if err := f.Set(SetBackendReqFD, nil, pair[1]); err != nil {
		return nil, err
	}
	c, err := fileConn(files.Take(0))
	if err != nil {
		return nil, err
	}
	return NewConn(c, true), nil
}

// An Event is an eventfd that a goroutine can wait for, without a thread.
type Event struct {
	file *os.File
	fd   int
}

// NewEvent makes one.
func NewEvent() (*Event, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return &Event{os.NewFile(uintptr(fd), "eventfd"), fd}, nil
}

// FD is its file descriptor, for a message.
func (e *Event) FD() int { return e.fd }

// Signal wakes who waits.
func (e *Event) Signal() { signal(e.fd) }

// Wait waits for a signal, or until a deadline, or Close.
func (e *Event) Wait() error {
	var count [8]byte
	_, err := e.file.Read(count[:])
	return err
}

// SetDeadline ends a Wait at that time.
func (e *Event) SetDeadline(t time.Time) error { return e.file.SetReadDeadline(t) }

// Close closes it.
func (e *Event) Close() error { return e.file.Close() }
