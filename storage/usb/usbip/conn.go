package usbip

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/seed-012105e5/gonet/storage/usb"
)

const inputSize = 64 << 10

// serve serves a connection until it ends, and closes it.
func (s *Server) serve(c *conn) error {
	defer c.Close()
	c.SetDeadline(time.Now().Add(cmp.Or(max(s.Timeout, 0), 15*time.Second)))
	in := bufio.NewReaderSize(c, inputSize)
	e, session, err := s.operate(c, in)
	if session != nil {
		c.SetDeadline(time.Time{})
		err = s.attached(c, in, e, session)
	}
	if errors.As(err, new(protocolError)) {
		s.counters.protocolErrors.Add(1)
		return err
	}
	if isEnd(err) {
		return nil
	}
	return err
}

// operate answers one operation: a list, after which the connection ends, or an import,
// after which it is a session's.
func (s *Server) operate(c *conn, in io.Reader) (*export, *usb.Session, error) {
	code, err := readOp(in)
	if err != nil {
		return nil, nil, err
	}
	switch code {
	case opListRequest:
		s.counters.lists.Add(1)
		_, err := c.Write(s.list())
		return nil, nil, err
	case opImportRequest:
		var busID [busIDLength]byte
		if _, err := io.ReadFull(in, busID[:]); err != nil {
			return nil, nil, err
		}
		name, _, _ := bytes.Cut(busID[:], []byte{0})
		e, session, status := s.attach(c, string(name))
		p := appendOp(nil, opImportReply, status)
		if status == opOK {
			p = appendDevice(p, e)
		}
		if _, err := c.Write(p); err != nil && session != nil {
			session.Close()
			return nil, nil, err
		}
		return e, session, nil
	}
	return nil, nil, protocolError("unknown operation")
}

// list is OP_REP_DEVLIST.
func (s *Server) list() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := appendOp(nil, opListReply, opOK)
	p = binary.BigEndian.AppendUint32(p, uint32(len(s.exports)))
	for _, e := range s.sorted() {
		p = appendInterface(appendDevice(p, e))
	}
	return p
}

// attach attaches a device to the peer of c.
func (s *Server) attach(c *conn, busID string) (*export, *usb.Session, uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.exports[busID]
	if e == nil {
		s.counters.unknown.Add(1)
		return nil, nil, opNoDevice
	}
	session, err := e.device.Attach()
	if err != nil {
		s.counters.busy.Add(1)
		return nil, nil, opBusy
	}
	c.export = e
	s.counters.imports.Add(1)
	return e, session, opOK
}

// attached serves a host that has a device: this goroutine reads, another writes. It
// returns when the session has ended, with why.
func (s *Server) attached(c *conn, in *bufio.Reader, e *export, session *usb.Session) error {
	written := make(chan struct{})
	go func() { defer close(written); session.Report(c, s.answer) }()
	err := s.read(in, e, session)
	c.Close() // writes fail from here on
	session.Close()
	<-written
	return err
}

// read has the session do what the host asks for, until the connection or the session
// ends. It blocks in both.
func (s *Server) read(in *bufio.Reader, e *export, session *usb.Session) error {
	var p [headerLength]byte
	for {
		if _, err := io.ReadFull(in, p[:]); err != nil {
			return err
		}
		r, err := parseRequest(&p)
		if err != nil {
			return err
		}
		t := session.Transfer()
		if err := s.fill(t, in, &r, session); err != nil {
			t.Release()
			return err
		}
		if err := session.Submit(t); err != nil {
			t.Release()
			return err
		}
	}
}

// fill makes t what a request asks for, and reads the data behind it.
func (s *Server) fill(t *usb.Transfer, in *bufio.Reader, r *request, session *usb.Session) error {
	if r.command == commandUnlink {
		s.counters.unlinks.Add(1)
		t.Cancel, t.ID, t.Tag = true, uint64(r.sequence2), uint64(r.sequence)
		return nil
	}
	s.counters.transfers.Add(1)
	t.ID, t.Setup, t.Length = uint64(r.sequence), r.setup, int(r.length)
	t.Endpoint = byte(r.endpoint)
	if r.in && r.endpoint != 0 {
		t.Endpoint |= 0x80
	}
	if r.in || r.length == 0 {
		return nil
	}
	if !session.Buffer(t, t.Length) {
		s.counters.tooMuch.Add(1)
		_, err := io.CopyN(io.Discard, in, int64(t.Length))
		return err
	}
	_, err := io.ReadFull(in, t.Data)
	return err
}

// answer writes the answer to a transfer, or to an unlinking. A transfer that was
// unlinked has none: the answer to its unlinking says so.
func (s *Server) answer(out *bufio.Writer, t *usb.Transfer) error {
	switch {
	case t.Cancel && t.Status != usb.StatusOK:
		s.counters.lost.Add(1)
	case !t.Cancel && t.Status == usb.StatusCanceled:
		return nil
	case t.Status == usb.StatusStall:
		s.counters.stalls.Add(1)
	}
	if _, err := out.Write(appendAnswer(out.AvailableBuffer(), t)); err != nil || t.Cancel {
		return err
	}
	return t.WriteData(out)
}
