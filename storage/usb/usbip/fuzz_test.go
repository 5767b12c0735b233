package usbip

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// A script is a connection whose peer says what it is given, takes all that is written,
// and is gone then.
type script struct {
	net.Conn
	mu     sync.Mutex
	in     *bytes.Reader
	closed bool
	out    int
}

func (c *script) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	return c.in.Read(p)
}

func (c *script) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, io.ErrClosedPipe
	}
	c.out += len(p)
	return len(p), nil
}

func (c *script) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return nil
}

func (c *script) SetDeadline(time.Time) error { return nil }
func (c *script) RemoteAddr() net.Addr        { return &net.TCPAddr{} }

// FuzzServer has a peer say what it likes, before and after it has imported a device: the
// server ends the connection and has nothing left of it.
func FuzzServer(f *testing.F) {
	attach := append(appendOp(nil, opImportRequest, 0), make([]byte, busIDLength)...)
	copy(attach[opLength:], "1-1")
	join := func(p ...[]byte) []byte { return bytes.Join(p, nil) }
	f.Add(false, appendOp(nil, opListRequest, 0))
	f.Add(false, attach)
	configure := submitHeader(1, false, 0, 0, [8]byte{0, 9, 1})
	f.Add(true, join(configure, submitHeader(2, true, 0, 64, [8]byte{0x80, 6, 0, 1, 0, 0, 64}), submitHeader(3, true, 1, 13, [8]byte{})))
	f.Add(true, join(configure, submitHeader(2, false, 2, 31, [8]byte{}), cbw(512, true, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), submitHeader(3, true, 1, 512, [8]byte{})))
	unlink := submitHeader(4, false, 0, 0, [8]byte{})
	unlink[3] = commandUnlink
	unlink[23] = 3
	f.Add(true, join(configure, submitHeader(3, true, 1, 13, [8]byte{}), unlink))
	f.Fuzz(func(t *testing.T, attached bool, p []byte) {
		d := newDevice(t, block.NewMemory(64<<10))
		var s Server
		if err := s.Add("1-1", d); err != nil {
			t.Fatal(err)
		}
		if attached {
			p = join(attach, p)
		}
		c := &script{in: bytes.NewReader(p)}
		s.ServeConn(c)
		if d.Attached() || !c.closed {
			t.Error("the device is attached, or the connection open")
		}
		s.Close()
	})
}

// FuzzRequest parses headers.
func FuzzRequest(f *testing.F) {
	f.Add(submitHeader(1, true, 1, 13, [8]byte{}))
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) < headerLength {
			return
		}
		r, err := parseRequest((*[headerLength]byte)(p))
		if err == nil && (r.endpoint > 15 && r.command == commandSubmit || r.length > 1<<31-1) {
			t.Errorf("%+v", r)
		}
	})
}
