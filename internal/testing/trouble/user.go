package trouble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/sim"
	"github.com/seed-012105e5/gonet/tcp"
	"github.com/seed-012105e5/gonet/tcp/congestion"
)

// A user is who uses one end: a process that does what the script says, a
// writer and a reader.
type user struct {
	play  *play
	index int

	ctx    context.Context // of the dial
	cancel context.CancelFunc

	orders chan int // of the writer: how much to write, or closeWrite

	mu      sync.Mutex
	conn    *tcp.Conn
	closing func(*tcp.Conn) // what is to be done once there is a connection
	gate    chan struct{}   // closed while the reader may read

	written atomic.Int64 // or about to be
	read    int
	eof     bool
	err     error // that ended the reader
}

const closeWrite = -1

func newUser(p *play, index int) *user {
	u := &user{play: p, index: index, orders: make(chan int, len(p.script.Events)+1), gate: make(chan struct{})}
	close(u.gate)
	u.ctx, u.cancel = context.WithCancel(context.Background())
	return u
}

// opened begins to use c.
func (u *user) opened(c *tcp.Conn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.conn = c
	if u.closing != nil {
		u.closing(c)
	}
	u.play.net.Go(func(*sim.App) error { return u.reader(c) })
	u.play.net.Go(func(*sim.App) error { return u.writer(c) })
}

// act does what the script says, and at the end what lets both finish.
func (u *user) act(a *sim.App) error {
	for _, e := range u.play.script.Events {
		if e.Who == names[u.index] {
			a.Until(e.At)
			u.event(e)
		}
	}
	a.Until(u.play.script.last())
	u.event(Event{What: "resume"})
	u.event(Event{What: "closewrite"})
	close(u.orders)
	return nil
}

func (u *user) event(e Event) {
	switch e.What {
	case "write":
		u.orders <- int(e.Arg)
	case "closewrite":
		u.orders <- closeWrite
	case "pause":
		u.pause(true)
	case "resume":
		u.pause(false)
	case "closeread":
		u.do(func(c *tcp.Conn) { c.CloseRead() })
	case "close":
		u.close()
	case "abort":
		u.cancel()
		u.do(func(c *tcp.Conn) { c.SetLinger(0); c.Close() })
	case "change":
		u.change(int(e.Arg))
	}
}

// change changes to another congestion control and loss recovery, if there is
// a connection.
func (u *user) change(which int) {
	if c := u.connection(); c != nil {
		controls, recoveries := congestion.Names(), []string{"rack", "sack", "newreno"}
		c.SetCongestionControl(controls[which%len(controls)])
		c.SetLossRecovery(recoveries[which%len(recoveries)])
	}
}

func (u *user) connection() *tcp.Conn {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.conn
}

func (u *user) close() {
	u.cancel()
	u.do(func(c *tcp.Conn) { c.Close() })
}

// do acts on the connection, or does so as soon as there is one.
func (u *user) do(f func(*tcp.Conn)) {
	u.mu.Lock()
	c := u.conn
	if c == nil {
		u.closing = f
	}
	u.mu.Unlock()
	if c != nil {
		f(c)
	}
}

func (u *user) pause(on bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	select {
	case <-u.gate:
		if on {
			u.gate = make(chan struct{})
		}
	default:
		if !on {
			close(u.gate)
		}
	}
}

func (u *user) writer(c *tcp.Conn) error {
	var failed error
	for n := range u.orders {
		switch {
		case failed != nil:
		case n == closeWrite:
			failed = errors.Join(c.CloseWrite(), syscall.EPIPE)
		default:
			p := text(u.index, int(u.written.Load()), n)
			u.written.Add(int64(n)) // before, for the peer may have it before Write returns
			_, failed = c.Write(p)
		}
	}
	return nil
}

// reader reads, and checks that what it gets is a prefix of what the peer has
// written.
func (u *user) reader(c *tcp.Conn) error {
	peer := u.play.users[1-u.index]
	for {
		u.mu.Lock()
		gate := u.gate
		u.mu.Unlock()
		<-gate
		p := make([]byte, 1+(u.read*7919+5)%9000)
		n, err := c.Read(p)
		if written := int(peer.written.Load()); u.read+n > written {
			return fmt.Errorf("%s: read %d bytes, and %d were written", names[u.index], u.read+n, written)
		}
		if i := differs(p[:n], 1-u.index, u.read); i >= 0 {
			return fmt.Errorf("%s: byte %d of the stream is not what was written", names[u.index], u.read+i)
		}
		u.read += n
		if err != nil {
			u.eof, u.err = err == io.EOF, err
			return u.judge(err)
		}
	}
}

// judge says whether an error may end a stream.
func (u *user) judge(err error) error {
	for _, ok := range []error{io.EOF, net.ErrClosed, syscall.ECONNRESET, syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ENETUNREACH, context.Canceled} {
		if errors.Is(err, ok) {
			return nil
		}
	}
	return fmt.Errorf("%s: read ends with %w", names[u.index], err)
}

// state is what the connection says of itself.
func (u *user) state() string {
	c := u.connection()
	if c == nil {
		return "no connection"
	}
	return fmt.Sprintf("%+v at %v", c.Info(), u.play.net.Now().Round(time.Millisecond))
}

// text is n bytes of what an end writes, from byte from on.
func text(end, from, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = textByte(end, from+i)
	}
	return p
}

func textByte(end, at int) byte {
	return byte(uint64(2*at+end) * 0x9e3779b97f4a7c15 >> 56)
}

// differs is where p is not what an end writes from byte from on; -1 if nowhere.
func differs(p []byte, end, from int) int {
	for i, c := range p {
		if c != textByte(end, from+i) {
			return i
		}
	}
	return -1
}
