package usb

import (
	"context"
	"io"

	"github.com/seed-012105e5/gonet/storage/scsi"
)

const (
	// maxTransfer bounds the data of one transfer that a host sends, in bytes.
	maxTransfer = 16 << 20
	// maxAnswers bounds the answers that the transport has not taken yet: with more,
	// nothing is taken from it.
	maxAnswers = 2 * maxPending
)

// A Session is a device that is attached to a host. A transport has one goroutine call
// Transfer, Buffer and Submit, and one that reads Completed, which may be the same only
// if it never waits in Submit.
type Session struct {
	device    *Device
	received  budget // bytes of the host's data
	free      chan *Transfer
	submitted chan *Transfer
	completed chan *Transfer
	quit      chan struct{} // closed to end the session
	closing   chan struct{} // has one: may close quit
	ended     chan struct{} // closed when all has ended
}

// Attach attaches the device to a host, until the session is closed. It fails with
// ErrAttached if it is attached already.
func (d *Device) Attach() (*Session, error) {
	select {
	case d.held <- struct{}{}:
	default:
		return nil, ErrAttached
	}
	s := &Session{
		device: d, free: make(chan *Transfer, 256), submitted: make(chan *Transfer, 16), completed: make(chan *Transfer, 16),
		quit: make(chan struct{}), closing: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	s.closing <- struct{}{}
	aborted := make(chan struct{}, 1)
	nexus := d.config.Units.Attach(scsi.NexusConfig{
		Initiator: scsi.InitiatorPort{Protocol: scsi.ProtocolUSB, Name: "host"},
		Port:      scsi.TargetPort{Protocol: scsi.ProtocolUSB, Device: d.config.Serial, Name: d.config.Serial, Relative: 1, Group: 1},
		Notify: func(e scsi.Event) {
			if e.Kind == scsi.EventAborted {
				select {
				case aborted <- struct{}{}:
				default:
				}
			}
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	o := &owner{session: s, nexus: nexus, cancel: cancel, aborted: aborted, work: make(chan *command), executed: make(chan *command, maxCommands)}
	o.used.freed = make(chan struct{}, 1)
	o.function = newFunction(d.config, nexus, &d.pool, &o.used)
	for range d.config.Workers {
		go o.executes(ctx)
	}
	go o.run()
	return s, nil
}

// Transfer is a transfer to be filled and submitted, or released.
func (s *Session) Transfer() *Transfer {
	select {
	case t := <-s.free:
		return t
	default:
		return &Transfer{session: s}
	}
}

// Buffer makes Data of t memory for n bytes that the host sends. It returns false if the
// device does not take so much; who submits the transfer all the same, without data,
// gets the answer that says so.
func (s *Session) Buffer(t *Transfer, n int) bool {
	if n > maxTransfer || s.received.Load()+int64(n) > int64(max(s.device.config.MaxMemory, maxTransfer)) {
		t.Status = StatusTooMuch
		return false
	}
	t.hold = newMemory(&s.device.pool, n, &s.received)
	t.Data = t.hold.bytes
	return true
}

// Submit gives a transfer to the device. It waits while too many answers wait for the
// transport; io.EOF is that the session has ended.
func (s *Session) Submit(t *Transfer) error {
	select {
	case <-s.quit: // though there may be room in the channel
		return io.EOF
	default:
	}
	select {
	case s.submitted <- t:
		return nil
	case <-s.quit:
		return io.EOF
	}
}

// Completed gives transfers back that have ended. It is closed after the session has
// ended.
func (s *Session) Completed() <-chan *Transfer { return s.completed }

// Close detaches the device: commands under way are aborted. It returns when they have
// ended.
func (s *Session) Close() {
	select {
	case <-s.closing:
		close(s.quit)
	default:
	}
	<-s.ended
}

// An owner is the goroutine that owns the function of a session, and what it needs.
type owner struct {
	session  *Session
	function *function
	nexus    *scsi.Nexus
	used     budget
	cancel   context.CancelFunc // cuts off calls of the disk
	aborted  chan struct{}      // has one when others have aborted commands
	work     chan *command      // to those who execute
	executed chan *command      // back from them
}

// executes executes commands.
//
//	owns:   nothing but the command at hand
//	reads:  work, until it is closed
//	writes: executed, which has room for all commands
//	blocks: in the disk, until ctx ends
func (o *owner) executes(ctx context.Context) {
	for c := range o.work {
		c.task.Execute(ctx, c.out, c.in)
		o.executed <- c
	}
}

// run moves what goes into the function and out of it.
//
//	owns:   the function
//	reads:  submitted (while there is room for answers), executed, aborted, used.freed
//	writes: completed, work
//	blocks: in all of them together, until quit is closed
func (o *owner) run() {
	s, f := o.session, o.function
	var answer *Transfer // the next
	for {
		submitted := s.submitted
		if f.done.n >= maxAnswers {
			submitted = nil
		}
		if answer == nil {
			answer = f.done.pop()
		}
		var completed chan *Transfer
		if answer != nil {
			completed = s.completed
		}
		var work chan *command
		if f.next() != nil {
			work = o.work
		}
		select {
		case t := <-submitted:
			if t.Status != StatusOK { // refused by Buffer
				f.done.push(t)
				continue
			}
			f.submit(t)
		case completed <- answer:
			answer = nil
		case work <- f.next():
			f.begun()
		case c := <-o.executed:
			f.ended(c)
		case <-o.used.freed:
			f.advance()
		case <-o.aborted:
			f.sweep()
		case <-s.quit:
			if answer != nil {
				answer.Release()
			}
			o.end()
			return
		}
	}
}

// end ends all that is under way.
func (o *owner) end() {
	f := o.function
	o.cancel()
	f.reset()
	for f.executing > 0 {
		f.ended(<-o.executed)
	}
	close(o.work)
	<-o.nexus.Detach()
	for t := f.done.pop(); t != nil; t = f.done.pop() {
		t.Release()
	}
	close(o.session.completed)
	<-o.session.device.held
	close(o.session.ended)
}
