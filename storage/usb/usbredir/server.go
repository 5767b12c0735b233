package usbredir

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/storage/internal/service"
	"github.com/seed-012105e5/gonet/storage/usb"
)

// ErrServerClosed is what Serve returns after Close.
var ErrServerClosed = errors.New("usbredir: the server is closed")

// helloTimeout bounds how long a peer may take to say hello.
const helloTimeout = 15 * time.Second

// A Server offers a device to virtual machines, one at a time. Device and ErrorLog are
// set before the first call; all methods may be called at any time.
type Server struct {
	Device *usb.Device
	// ErrorLog, if not nil, is called with what ended a connection other than the peer's
	// wish, or that a second one has come. It must not call the server, which may wait for
	// it.
	ErrorLog func(remote net.Addr, err error)

	mu        sync.Mutex // of what follows; no transfer takes it
	listeners map[net.Listener]bool
	conns     map[net.Conn]chan struct{} // closed when its connection has ended
	closing   bool
}

// maxConns bounds the connections of a server, of which one has the device.
const maxConns = 16

// Serve takes connections from l until l fails or the server is closed. It closes l.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return ErrServerClosed
	}
	if s.listeners == nil {
		s.listeners = map[net.Listener]bool{}
	}
	s.listeners[l] = true
	s.mu.Unlock()
	err := service.Accept(l, func(c net.Conn) { s.ServeConn(c) })
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
	if s.closing {
		return ErrServerClosed
	}
	return err
}

// ServeConn offers the device over one connection until that ends, and closes it.
func (s *Server) ServeConn(c net.Conn) error {
	ended := make(chan struct{})
	s.mu.Lock()
	if s.closing || len(s.conns) >= maxConns {
		s.mu.Unlock()
		c.Close()
		return ErrServerClosed
	}
	if s.conns == nil {
		s.conns = map[net.Conn]chan struct{}{}
	}
	s.conns[c] = ended
	s.mu.Unlock()
	err := serve(c, s.Device)
	if err != nil && s.ErrorLog != nil {
		s.ErrorLog(c.RemoteAddr(), err)
	}
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	close(ended)
	return err
}

// Unplug has the virtual machine see the device unplugged. It returns when the device is
// attached no more; a machine that connects again has it again.
func (s *Server) Unplug() {
	s.mu.Lock()
	var all []chan struct{}
	for c, ended := range s.conns {
		c.Close()
		all = append(all, ended)
	}
	s.mu.Unlock()
	for _, ended := range all {
		<-ended
	}
}

// Close ends all connections, and returns when they have ended.
func (s *Server) Close() {
	s.mu.Lock()
	s.closing = true
	for l := range s.listeners {
		l.Close()
	}
	s.mu.Unlock()
	s.Unplug()
}

// serve offers d over c until c ends, and closes it. The error is nil if the peer ended
// it.
func serve(c net.Conn, d *usb.Device) error {
	defer c.Close()
	session, err := d.Attach()
	if err != nil {
		return err
	}
	in := bufio.NewReaderSize(c, 64<<10)
	w, err := greet(c, in, d)
	if err != nil {
		session.Close()
		return ended(err)
	}
	written := make(chan struct{})
	go func() { defer close(written); session.Report(c, (&writer{wire: w, device: d}).answer) }()
	err = (&reader{wire: w, in: in, session: session}).run()
	c.Close() // writes fail from here on
	session.Close()
	<-written
	return ended(err)
}

// ended is the error of a connection, nil for one that the peer has ended.
func ended(err error) error {
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, io.ErrClosedPipe, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}

// greet exchanges hellos, and tells of the device.
func greet(c net.Conn, in io.Reader, d *usb.Device) (wire, error) {
	c.SetDeadline(time.Now().Add(helloTimeout))
	defer c.SetDeadline(time.Time{})
	ours := uint32(capVersion | capDisconnectAck | capMaxPacket | capIDs | capLength)
	if d.Config().Speed == usb.SuperSpeed {
		ours |= capStreams
	}
	said := make(chan error, 1)
	go func() { // both speak first, and the connection may have no buffer
		_, err := c.Write(appendHello(nil, ours))
		said <- err
	}()
	theirs, err := readHello(in)
	if err != nil {
		c.Close()
		<-said
		return wire{}, err
	}
	if err := <-said; err != nil {
		return wire{}, err
	}
	w := wire{caps: ours & theirs}
	p := w.appendEndpointInfo(nil, d, -1)
	p = w.appendInterfaceInfo(p, 0)
	_, err = c.Write(w.appendConnect(p, d.Config()))
	return w, err
}

// What a transfer is an answer to, in Transfer.Tag: the type of the packet in the low
// byte, and what else its answer repeats.
const (
	tagValue  = 8  // shift of a byte: configuration or setting, or request
	tagKind   = 16 // shift of bmRequestType
	tagIndex  = 32
	tagLength = 48
)

// A reader has the session do what the peer asks for.
type reader struct {
	wire
	in      *bufio.Reader
	session *usb.Session
	room    [16]byte
	small   [16]byte
}

// run reads until the connection or the session ends. It blocks in both.
func (r *reader) run() error {
	for {
		h, err := readHeader(r.in, &r.room, r.wide())
		if err != nil {
			return err
		}
		t := r.session.Transfer()
		submit, err := r.packet(h, t)
		if err == nil && submit {
			err = r.session.Submit(t)
		}
		if err != nil || !submit {
			t.Release()
		}
		if err != nil {
			return err
		}
	}
}

// read reads a packet's own header of n bytes.
func (r *reader) read(h header, n int) ([]byte, error) {
	if int(h.length) < n {
		return nil, protocolError("a packet that is too short")
	}
	_, err := io.ReadFull(r.in, r.small[:n])
	return r.small[:n], err
}

// skip passes over the rest of a packet.
func (r *reader) skip(n int) error {
	_, err := io.CopyN(io.Discard, r.in, int64(n))
	return err
}

// packet makes t what a packet asks for, and reports whether it asks for anything.
func (r *reader) packet(h header, t *usb.Transfer) (submit bool, err error) {
	t.ID, t.Tag = h.id, uint64(h.kind)
	rest := int(h.length)
	take := func(n int) (p []byte) {
		if err == nil {
			p, err = r.read(h, n)
			rest -= n
		}
		return p
	}
	submit = true
	switch h.kind {
	case packetReset:
		t.Reset = true
	case packetCancel:
		t.Cancel = true
	case packetSetConfiguration:
		if p := take(1); err == nil {
			t.Setup = [8]byte{0x00, 9, p[0]}
			t.Tag |= uint64(p[0]) << tagValue
		}
	case packetGetConfiguration:
		t.Setup, t.Length = [8]byte{0x80, 8, 6: 1}, 1
	case packetSetAlternate:
		if p := take(2); err == nil {
			t.Setup = [8]byte{0x01, 11, p[1], 0, p[0]}
			t.Tag |= uint64(p[1])<<tagValue | uint64(p[0])<<tagIndex
		}
	case packetGetAlternate:
		if p := take(1); err == nil {
			t.Setup, t.Length = [8]byte{0x81, 10, 0, 0, p[0], 0, 1}, 1
			t.Tag |= uint64(p[0]) << tagIndex
		}
	case packetControl:
		return true, r.control(h, t)
	case packetBulk:
		return true, r.bulk(h, t)
	case packetAllocStreams, packetFreeStreams:
		// The device has its streams always: this is answered in its turn, as a
		// request that changes nothing.
		n := 4
		if h.kind == packetAllocStreams {
			n = 8
		}
		if p := take(n); err == nil {
			endpoints, streams := binary.LittleEndian.Uint32(p), uint32(0)
			if n == 8 {
				streams = binary.LittleEndian.Uint32(p[4:])
			}
			t.Setup, t.Length = [8]byte{0x80, 8, 6: 1}, 1
			t.Tag |= uint64(min(streams, 0xffffff))<<tagValue | uint64(endpoints)<<tagIndex
		}
	case packetStartIso, packetStopIso, packetStartInterrupt, packetStopInterrupt, packetIso, packetInterrupt:
		return false, protocolError("the device has no such endpoint")
	case packetFilterReject:
		return false, protocolError("the virtual machine does not want the device")
	default: // what is of later versions, or needs no answer
		submit = false
	}
	if err == nil {
		err = r.skip(rest)
	}
	return submit, err
}

// control reads a control packet.
func (r *reader) control(h header, t *usb.Transfer) error {
	p, err := r.read(h, controlHeader)
	if err != nil {
		return err
	}
	t.Length = int(binary.LittleEndian.Uint16(p[8:]))
	t.Setup = [8]byte{p[2], p[1], p[4], p[5], p[6], p[7], p[8], p[9]}
	t.Tag |= uint64(p[1])<<tagValue | uint64(p[2])<<tagKind | uint64(p[0])<<24 |
		uint64(binary.LittleEndian.Uint16(p[4:]))<<tagIndex | uint64(binary.LittleEndian.Uint16(p[6:]))<<tagLength
	return r.data(t, int(h.length)-controlHeader, p[2]&0x80 != 0)
}

// bulk reads a bulk packet.
func (r *reader) bulk(h header, t *usb.Transfer) error {
	n := r.bulkHeader()
	p, err := r.read(h, n)
	if err != nil {
		return err
	}
	t.Endpoint = p[0]
	t.Length = int(binary.LittleEndian.Uint16(p[2:]))
	stream := binary.LittleEndian.Uint32(p[4:])
	if n == 10 {
		t.Length |= int(binary.LittleEndian.Uint16(p[8:])) << 16
	}
	if p[0]&0x7f == 0 || stream > 0xffff {
		return protocolError("a bulk packet for no bulk endpoint")
	}
	t.Stream = uint16(stream)
	return r.data(t, int(h.length)-n, p[0]&0x80 != 0)
}

// data reads n bytes of data for t, which must fit its direction and length.
func (r *reader) data(t *usb.Transfer, n int, in bool) error {
	if in && n != 0 || !in && n != t.Length {
		return protocolError("a packet whose length is not that of its data")
	}
	switch {
	case n == 0:
		return nil
	case !r.session.Buffer(t, n):
		return r.skip(n)
	}
	_, err := io.ReadFull(r.in, t.Data)
	return err
}

// A writer tells the peer how its transfers have ended.
type writer struct {
	wire
	device *usb.Device
}

// answer writes the packet that answers t.
func (w *writer) answer(out *bufio.Writer, t *usb.Transfer) error {
	p := out.AvailableBuffer()
	s := status(t.Status)
	kind, value, index := uint32(t.Tag&0xff), byte(t.Tag>>tagValue), byte(t.Tag>>tagIndex)
	switch kind {
	case packetSetConfiguration:
		if s == statusOK {
			p = w.tellSetting(p, int(value)-1) // of configuration 1 the first
		}
		p = appendHeader(p, packetConfigurationStatus, 2, t.ID, w.wide())
		p = append(p, s, value)
	case packetGetConfiguration:
		p = appendHeader(p, packetConfigurationStatus, 2, t.ID, w.wide())
		p = append(p, s, first(t.Data))
	case packetSetAlternate:
		if s == statusOK {
			p = w.tellSetting(p, int(value))
		}
		p = appendHeader(p, packetAlternateStatus, 3, t.ID, w.wide())
		p = append(p, s, index, value)
	case packetGetAlternate:
		p = appendHeader(p, packetAlternateStatus, 3, t.ID, w.wide())
		p = append(p, s, index, first(t.Data))
	case packetAllocStreams, packetFreeStreams:
		s = statusOK
		if w.caps&capStreams == 0 {
			s = statusInvalid
		}
		p = appendHeader(p, packetStreamsStatus, 9, t.ID, w.wide())
		p = binary.LittleEndian.AppendUint32(p, uint32(t.Tag>>tagIndex))
		p = binary.LittleEndian.AppendUint32(p, uint32(t.Tag>>tagValue)&0xffffff)
		p = append(p, s)
	case packetControl:
		n := t.Actual
		p = appendHeader(p, packetControl, controlHeader+len(t.Data), t.ID, w.wide())
		p = append(p, byte(t.Tag>>24), value, byte(t.Tag>>tagKind), s)
		p = binary.LittleEndian.AppendUint16(p, uint16(t.Tag>>tagIndex))
		p = binary.LittleEndian.AppendUint16(p, uint16(t.Tag>>tagLength))
		p = binary.LittleEndian.AppendUint16(p, uint16(n))
		p = append(p, t.Data...)
	case packetBulk:
		return w.bulk(out, t, s)
	default: // reset and cancel have no answer
		return nil
	}
	_, err := out.Write(p)
	return err
}

// tellSetting tells what endpoints there are, which changes with the setting.
func (w *writer) tellSetting(p []byte, n int) []byte {
	p = w.appendEndpointInfo(p, w.device, n)
	return w.appendInterfaceInfo(p, max(n, 0))
}

func first(p []byte) byte {
	if len(p) == 0 {
		return 0
	}
	return p[0]
}

func (w *writer) bulk(out *bufio.Writer, t *usb.Transfer, s byte) error {
	data := 0
	if t.Endpoint&0x80 != 0 {
		data = t.Actual
	}
	p := appendHeader(out.AvailableBuffer(), packetBulk, w.bulkHeader()+data, t.ID, w.wide())
	p = append(p, t.Endpoint, s)
	p = binary.LittleEndian.AppendUint16(p, uint16(t.Actual))
	p = binary.LittleEndian.AppendUint32(p, uint32(t.Stream))
	if w.caps&capLength != 0 {
		p = binary.LittleEndian.AppendUint16(p, uint16(t.Actual>>16))
	}
	if _, err := out.Write(p); err != nil || data == 0 {
		return err
	}
	return t.WriteData(out)
}
