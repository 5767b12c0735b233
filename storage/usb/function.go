package usb

import (
	"context"

	"github.com/seed-012105e5/gonet/storage/internal/buffers"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// maxPending bounds the transfers that wait at the endpoints of a function.
const maxPending = 1024

// An endpoint is the queue of what the host asks of it.
type endpoint struct {
	EndpointInfo
	pending queue
	halted  bool
}

// A function is the device as one host sees it from attachment to detachment: a machine
// to which transfers and ends of commands come, and from which answers (done) and
// commands to be executed (ready) go. It waits for nothing; its owner moves what goes in
// and out.
type function struct {
	config Config
	nexus  *scsi.Nexus
	pool   *buffers.Pool
	used   *budget // bytes of data-in that commands and answers hold, and of data-out that are expected

	configured byte // bConfigurationValue
	setting    byte // bAlternateSetting
	endpoints  []endpoint
	pending    int   // transfers at endpoints
	done       queue // answers

	bot bot
	uas uas
	commandTable
}

func newFunction(c Config, nexus *scsi.Nexus, pool *buffers.Pool, used *budget) *function {
	f := &function{config: c, nexus: nexus, pool: pool, used: used}
	f.bot.f, f.uas.f = f, f
	return f
}

// bulkOnly says whether the host has chosen Bulk-Only Transport.
func (f *function) bulkOnly() bool { return f.configured != 0 && f.setting == alternateBulkOnly }

// endpoint is the one of an address in the present setting, or nil.
func (f *function) endpoint(address uint8) *endpoint {
	for i := range f.endpoints {
		if f.endpoints[i].Address == address {
			return &f.endpoints[i]
		}
	}
	return nil
}

// submit takes what the host asks for.
func (f *function) submit(t *Transfer) {
	switch {
	case t.Cancel:
		f.cancel(t)
	case t.Reset:
		f.reset()
		f.configured, f.endpoints = 0, nil
		f.complete(t)
	case t.Endpoint&0x7f == 0:
		f.control(t)
	default:
		f.enqueue(t)
	}
	f.advance()
}

func (f *function) enqueue(t *Transfer) {
	e := f.endpoint(t.Endpoint)
	switch {
	case e == nil:
		t.Status = StatusInvalid
	case e.halted:
		t.Status = StatusStall
	case f.pending >= maxPending:
		t.Status = StatusTooMuch
	default:
		f.pending++
		e.pending.push(t)
		return
	}
	f.complete(t)
}

// cancel ends the transfer that t names, if it waits at an endpoint.
func (f *function) cancel(t *Transfer) {
	t.Status = StatusInvalid
	for i := range f.endpoints {
		c := f.take(&f.endpoints[i], func(o *Transfer) bool { return o.ID == t.ID })
		if c != nil {
			c.Status = StatusCanceled
			f.complete(c)
			t.Status = StatusOK
			break
		}
	}
	f.complete(t)
}

// pop takes the first transfer that waits at an endpoint, or returns nil.
func (f *function) pop(address uint8) *Transfer {
	return f.take(f.endpoint(address), func(*Transfer) bool { return true })
}

func (f *function) take(e *endpoint, fits func(*Transfer) bool) *Transfer {
	t := e.pending.take(fits)
	if t != nil {
		f.pending--
	}
	return t
}

// complete gives the answer to a transfer.
func (f *function) complete(t *Transfer) {
	if t.Endpoint&0x80 == 0 && t.Endpoint != 0 { // what the host has sent is of no use any more
		t.hold.release()
		t.hold, t.Data = nil, nil
	}
	f.done.push(t)
}

// halt has an endpoint answer by STALL until the host clears that.
func (f *function) halt(e *endpoint) {
	e.halted = true
	f.flush(e, StatusStall)
}

func (f *function) flush(e *endpoint, s Status) {
	for t := f.take(e, anyTransfer); t != nil; t = f.take(e, anyTransfer) {
		t.Status = s
		f.complete(t)
	}
}

func anyTransfer(*Transfer) bool { return true }

// reset ends all that is under way, as a change of the configuration or setting does
// (USB 2.0 9.1.1.5, 9.4.10).
func (f *function) reset() {
	for i := range f.endpoints {
		f.flush(&f.endpoints[i], StatusReset)
	}
	f.bot.reset()
	f.uas.reset()
}

// enable makes the endpoints those of the setting.
func (f *function) enable() {
	f.endpoints = f.endpoints[:0]
	if f.configured == 0 {
		return
	}
	for _, info := range f.config.alternate(int(f.setting)) {
		f.endpoints = append(f.endpoints, endpoint{EndpointInfo: info})
	}
}

// advance does what can be done by now.
func (f *function) advance() {
	for f.configured != 0 {
		f.grant()
		went := false
		if f.setting == alternateBulkOnly {
			went = f.bot.advance()
		} else {
			went = f.uas.advance()
		}
		if !went {
			return
		}
	}
}

// start has a command executed, at once if that waits for nothing.
func (f *function) start(c *command) {
	if c.task.Inline() {
		c.task.Execute(context.Background(), c.out, c.in)
		f.executed(c)
		return
	}
	c.phase = phaseReady
	f.ready.push(c)
}

// next is a command to be executed, or nil. It may be given away by begun.
func (f *function) next() *command { return f.ready.first }

// begun says that the first command of ready is being executed by somebody, who
// calls ended.
func (f *function) begun() {
	c := f.ready.pop()
	c.phase = phaseExecuting
	f.executing++
}

// ended takes a command back that was executed.
func (f *function) ended(c *command) {
	f.executing--
	if c.left {
		f.forsake(c)
	} else {
		f.executed(c)
	}
	f.advance()
}

// forsake is the end of a command of which the host will not hear.
func (f *function) forsake(c *command) {
	cause := c.cause
	f.drop(c)
	if cause != nil {
		f.uas.aborted(cause)
	}
}

func (f *function) executed(c *command) {
	if f.setting == alternateBulkOnly {
		f.bot.executed(c)
	} else {
		f.uas.executed(c)
	}
}

// sweep ends the commands that others have aborted and that wait for the host.
func (f *function) sweep() {
	for i := 0; i < len(f.active); {
		c := f.active[i]
		if a, _ := c.task.Aborted(); a && c.answer == noAnswer && (c.phase == phaseMemory || c.phase == phaseDataOut) {
			f.leave(c)
			c.task.Abandon()
			f.executed(c)
		}
		if i < len(f.active) && f.active[i] == c {
			i++
		}
	}
	f.advance()
}

// leave takes a command out of where it waits.
func (f *function) leave(c *command) {
	switch c.phase {
	case phaseMemory:
		f.waiting.remove(c)
	case phaseReady:
		f.ready.remove(c)
	case phaseDataOut, phaseDataIn, phaseStatus:
		f.uas.leave(c)
	}
}

// abandon ends a command whatever it does. by is the task management function that
// wants that, or nil; abandon reports whether the command has ended.
func (f *function) abandon(c *command, by *command) bool {
	if c.phase == phaseExecuting {
		c.left, c.cause = true, by
		c.task.Abort()
		return false
	}
	f.leave(c)
	if c.phase == phaseMemory || c.phase == phaseReady || c.phase == phaseDataOut {
		c.task.Abandon()
	}
	f.drop(c)
	return true
}
