package netdev

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/link"
)

// Listen makes a unix socket, and a link to the virtual machine that connects to it
// (QEMU: -netdev stream,server=off, with reconnect= in versions that have it). One
// virtual machine is served at a time; when it has gone the next one is. A socket that
// nobody listens to any more makes room. Closing Tx ends it.
func Listen(path string, cfg Config) (link.Link, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return link.Link{}, err
	}
	addr := &net.UnixAddr{Net: "unix", Name: path}
	l, err := bind(addr, net.ListenUnix)
	if err != nil {
		return link.Link{}, err
	}
	return start(cfg, listening{l}), nil
}

// bind makes a socket by listen, and makes room for it where one is that nobody has any
// more.
func bind[S any](addr *net.UnixAddr, listen func(network string, addr *net.UnixAddr) (S, error)) (S, error) {
	s, err := listen(addr.Net, addr)
	if errors.Is(err, syscall.EADDRINUSE) && isStale(addr) {
		if err = os.Remove(addr.Name); err == nil {
			s, err = listen(addr.Net, addr)
		}
	}
	return s, err
}

// isStale says whether a socket is one that nobody has any more.
func isStale(addr *net.UnixAddr) bool {
	c, err := net.DialUnix(addr.Net, nil, addr)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// Dial is Listen for a virtual machine that listens (QEMU: -netdev
// stream,server=on). It connects when that is there, and again whenever it has gone.
func Dial(path string, cfg Config) (link.Link, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return link.Link{}, err
	}
	return start(cfg, &dialling{path: path}), nil
}

// listening is the port of a server.
type listening struct{ l net.Listener }

func (p listening) next(context.Context) (wire, error) {
	c, err := p.l.Accept()
	if err != nil {
		return nil, err
	}
	return newStream(c), nil
}

func (p listening) close() { p.l.Close() }

// dialling is the port of a client.
type dialling struct {
	path string
	last time.Time // when it was tried
}

func (p *dialling) next(ctx context.Context) (wire, error) {
	var d net.Dialer
	for {
		if !p.last.IsZero() && time.Since(p.last) < redial {
			pause(ctx)
		}
		p.last = time.Now()
		c, err := d.DialContext(ctx, "unix", p.path)
		switch {
		case err == nil:
			return newStream(c), nil
		case ctx.Err() != nil:
			return nil, err
		case !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ENOENT): // not there yet
			return nil, err
		}
	}
}

func (p *dialling) close() {}

// A stream is a connection on which each frame stands behind its length.
type stream struct {
	net.Conn
	in  *decoder
	out []byte // frames that were added and not sent
	all []byte // the memory of out
}

// batchLen is how many bytes are added at most before they are sent, but for the
// last frame.
const batchLen = 64 << 10

func newStream(c net.Conn) *stream {
	return &stream{Conn: c, in: newDecoder(), all: make([]byte, 0, batchLen+prefixLen+maxFrame)}
}

func (s *stream) receive() error {
	n, err := s.Conn.Read(s.in.space())
	s.in.added(n)
	if n > 0 {
		err = nil // the next one meets it
	}
	return err
}

func (s *stream) frame() ([]byte, bool, error) { return s.in.next() }

func (s *stream) full() bool { return len(s.out) >= batchLen }

func (s *stream) add(frame []byte) {
	if len(s.out) == 0 {
		s.out = s.all[:0]
	}
	s.out = appendFrame(s.out, frame)
}

// flush writes on where the last one has stopped, for a frame that was begun must
// come whole.
func (s *stream) flush(deadline time.Time) (lost int, err error) {
	s.Conn.SetWriteDeadline(deadline)
	n, err := s.Conn.Write(s.out)
	s.out = s.out[n:]
	return 0, err
}
