package vhost

import (
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// Files are file descriptors that came with a message, and belong to who has them.
type Files []int

// Close closes those that were not taken.
func (f Files) Close() {
	for i := range f {
		if f[i] >= 0 {
			unix.Close(f[i])
			f[i] = -1
		}
	}
}

// Take gives one away.
func (f Files) Take(i int) int {
	fd := f[i]
	f[i] = -1
	return fd
}

// A Conn carries messages over a unix socket. One goroutine may read while
// another one writes.
type Conn struct {
	c       *net.UnixConn
	backend bool   // it is the channel for requests of the back end
	oob     []byte // of Read
	out     []byte // of Write
}

// NewConn returns a Conn over c, which belongs to it from now on. Backend says
// that it is the channel for requests of the back end.
func NewConn(c *net.UnixConn, backend bool) *Conn {
	return &Conn{c: c, backend: backend, oob: make([]byte, unix.CmsgSpace(4*MaxFDs))}
}

// Close closes the socket, which wakes who reads or writes.
func (c *Conn) Close() error { return c.c.Close() }

// Read waits for a message. It fails with ErrMessage, or with what the socket says; io.EOF when the other side has
// gone.
func (c *Conn) Read() (m Message, files Files, err error) {
	var head [headerLen]byte
	n, oobn, flags, _, err := c.c.ReadMsgUnix(head[:], c.oob)
	files = rights(c.oob[:oobn])
	defer func() {
		if err != nil {
			files.Close()
		}
	}()
	switch {
	case err != nil:
		return m, files, err
	case n == 0:
		return m, files, io.EOF
	case flags&unix.MSG_CTRUNC != 0:
		return m, files, fmt.Errorf("%w: more than %d file descriptors", ErrMessage, MaxFDs)
	}
	if err = readRest(c.c, head[n:]); err != nil {
		return m, files, err
	}
	h, err := parseHeader(head[:])
	if err != nil {
		return m, files, err
	}
	all := append(head[:], make([]byte, h.size)...)
	if err = readRest(c.c, all[headerLen:]); err != nil {
		return m, files, err
	}
	m, err = Parse(all, c.backend, len(files))
	return m, files, err
}

// readRest fills b with what must come.
func readRest(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// rights are the file descriptors in control messages.
func rights(oob []byte) (files Files) {
	list, _ := unix.ParseSocketControlMessage(oob) // what it has found before an error counts
	for _, m := range list {
		if fds, err := unix.ParseUnixRights(&m); err == nil {
			files = append(files, fds...)
		}
	}
	return files
}

// Write sends a message with file descriptors, which stay the caller's.
func (c *Conn) Write(m Message, fds ...int) (err error) {
	m.Backend = c.backend
	if c.out, err = m.Append(c.out[:0]); err != nil {
		return err
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	_, _, err = c.c.WriteMsgUnix(c.out, oob, nil)
	return err
}
