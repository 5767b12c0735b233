package tap

import (
	"errors"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// A Polled is a tap for a program that calls the layers itself, in one loop: the
// same device and frames as those of Open, without goroutines and channels.
type Polled struct {
	link.Link // without channels

	reader
	file *osFile
	read bool // the next frame is in space already, since the loop was idle

	turn  func() (next time.Time, idle bool)
	step  func(fd uintptr) bool
	fd    uintptr   // while turn is called
	armed time.Time // the deadline of the next read
	err   error     // that Receive has met
}

// OpenPolled is Open, without the goroutines, and so with one queue.
func OpenPolled(cfg Config) (*Polled, error) {
	cfg.Queues = 1
	c, l, err := openCard(cfg)
	if err != nil {
		return nil, err
	}
	q := c.queues[0]
	p := &Polled{Link: l, reader: newReader(q), file: q.file.(*osFile)}
	p.step = p.takeTurn
	return p, nil
}

// Poll calls turn again and again: as soon as there is a frame, and at the
// instant next that it has returned, if that is not zero; at once when it says
// that it is not idle. An idle turn has called Receive until there was nothing.
// Poll returns when the device is closed or gone, with the reason.
func (p *Polled) Poll(turn func() (next time.Time, idle bool)) error {
	defer p.release()
	p.turn = turn
	for {
		err := p.file.raw.Read(p.step)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			p.arm(time.Time{})
		case err != nil:
			return os.ErrClosed
		case p.err != nil:
			return p.err
		}
	}
}

// takeTurn is one turn. It returns false to be called again when there is a
// frame: whatever comes after Receive has found nothing is noticed.
func (p *Polled) takeTurn(fd uintptr) bool {
	p.fd = fd
	next, idle := p.turn()
	if !idle || p.err != nil || p.readBusily(next) {
		return true
	}
	if !next.IsZero() && (p.armed.IsZero() || next.Before(p.armed)) {
		p.arm(next)
	}
	return false
}

// readBusily asks for a frame for a while, by the rule of osFile.Read, and says
// whether there is one, or the deadline has come.
func (p *Polled) readBusily(next time.Time) bool {
	if p.file.busy <= 0 || p.file.poll.left > 0 {
		return false
	}
	for start := time.Now(); ; {
		runtime.Gosched()
		err := p.tryRead()
		now := time.Now()
		switch {
		case err != unix.EAGAIN:
			if p.read = err == nil; !p.read {
				p.err = os.NewSyscallError("read", err)
			}
			p.file.poll.done(p.read)
			return true
		case !next.IsZero() && !now.Before(next):
			return true
		case now.Sub(start) >= p.file.busy:
			p.file.poll.done(false)
			return false
		}
	}
}

// tryRead reads a frame into space, if there is one. It runs inside of a read of
// the runtime's poller, which must not begin another.
func (p *Polled) tryRead() error {
	return p.fill(func(space []byte) (int, error) { return p.file.in.do(p.fd, space) })
}

// arm sets the deadline. One that moves ahead is left as it is, and the turn
// comes too early then.
func (p *Polled) arm(at time.Time) {
	p.armed = at
	_ = p.file.SetReadDeadline(at) // fails when the file is closed, and so does the read
}

// Receive returns the next frame, as that of Link.Rx; nil when there is none.
// Only turn may call it.
func (p *Polled) Receive() *packet.Buffer {
	for p.err == nil {
		if !p.read {
			if err := p.tryRead(); err == unix.EAGAIN {
				break
			} else if err != nil {
				p.err = os.NewSyscallError("read", err)
				break
			}
		}
		p.read = false
		p.file.poll.due() // counts the read
		if b := p.take(); b != nil {
			p.arrived(b)
			return b
		}
	}
	return nil
}

// Send takes a frame, and gives it to the device. It has one caller at a time.
func (p *Polled) Send(b *packet.Buffer) { p.send(b) }

// Close closes the device, and takes away what Open has made. It may be called
// from any goroutine, and waits for a turn to end.
func (p *Polled) Close() error {
	p.part()
	err := p.file.Close()
	p.undo()
	return err
}
