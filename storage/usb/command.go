package usb

import "github.com/seed-012105e5/gonet/storage/scsi"

const (
	// maxCommands bounds the commands of a function, those included that a reset has
	// left behind in the workers, and functions of task management; maxTasks bounds
	// those that UAS lets run at once, which is as many as there are streams.
	maxCommands = 48
	maxTasks    = 1 << streamsExponent
)

// A phase is where a command is.
type phase uint8

const (
	phaseMemory    phase = iota // waits for memory
	phaseDataOut                // waits for data of the host's
	phaseReady                  // waits for somebody to execute it
	phaseExecuting              // is being executed
	phaseDataIn                 // gives its data to the host
	phaseStatus                 // gives its status to the host
)

// A command is a SCSI command on its way, or a function of task management.
type command struct {
	task scsi.Task
	tag  uint32
	lun  scsi.LUN

	out, in  []byte  // data-out so far; room for data-in, then what is left of it
	hold     *memory // what they are a part of
	need     int     // bytes that it wants
	reserved int     // bytes of data-out that are counted

	phase   phase
	left    bool     // of no interest to the host any more
	cause   *command // what aborted it
	ordered bool     // task attribute
	iu      byte     // of UAS: the information unit that it has to send
	ready   bool     // of UAS without streams: the host was told that data can flow
	answer  int      // response code of what is no command; noAnswer
	aborts  int      // of a function: commands that it waits for
	status  scsi.Status

	next *command
}

const noAnswer = -1

// A commandQueue is commands in their order. One is in one queue at a time.
type commandQueue struct{ first, last *command }

func (q *commandQueue) push(c *command) {
	c.next = nil
	if q.last == nil {
		q.first = c
	} else {
		q.last.next = c
	}
	q.last = c
}

func (q *commandQueue) pop() *command {
	c := q.first
	q.remove(c)
	return c
}

// remove takes c out, if it is there.
func (q *commandQueue) remove(c *command) {
	var before *command
	for at := q.first; at != nil; before, at = at, at.next {
		if at != c {
			continue
		}
		if before == nil {
			q.first = c.next
		} else {
			before.next = c.next
		}
		if q.last == c {
			q.last = before
		}
		c.next = nil
		return
	}
}

// A commandTable is the commands of a function.
type commandTable struct {
	made      int        // commands that there are
	free      *command   // those that are not in use
	active    []*command // those that are
	executing int
	waiting   commandQueue // for memory
	ready     commandQueue // to be executed
}

// canTake says whether there is a command for takeCommand.
func (f *function) canTake() bool { return f.free != nil || f.made < maxCommands }

// takeCommand returns a command for use.
func (f *function) takeCommand() *command {
	c := f.free
	if c == nil {
		c = new(command)
		f.made++
	} else {
		f.free = c.next
	}
	c.next, c.out, c.in, c.need, c.reserved, c.tag, c.lun = nil, nil, nil, 0, 0, 0, 0
	c.phase, c.left, c.cause, c.ordered, c.iu, c.ready, c.answer, c.aborts, c.status = phaseStatus, false, nil, false, 0, false, noAnswer, 0, 0
	f.active = append(f.active, c)
	return c
}

// drop ends the use of a command.
func (f *function) drop(c *command) {
	c.hold.release()
	c.hold = nil
	f.used.Add(-int64(c.reserved))
	for i, o := range f.active {
		if o == c {
			last := len(f.active) - 1
			f.active[i], f.active[last] = f.active[last], nil
			f.active = f.active[:last]
			break
		}
	}
	c.next, f.free = f.free, c
}

// want has c go on when there is memory for n bytes of data.
func (f *function) want(c *command, n int) {
	c.need, c.phase = n, phaseMemory
	f.waiting.push(c)
}

// grant gives memory to the commands that wait for it, in their order. One always has
// room.
func (f *function) grant() {
	for c := f.waiting.first; c != nil; c = f.waiting.first {
		if used := f.used.Load(); used > 0 && used+int64(c.need) > int64(f.config.MaxMemory) {
			return
		}
		f.waiting.pop()
		if c.task.DataIn > 0 {
			c.hold = newMemory(f.pool, c.need, f.used)
			c.in = c.hold.bytes
			f.start(c)
			continue
		}
		c.reserved = c.need
		f.used.Add(int64(c.need))
		c.phase = phaseDataOut
		if f.setting == alternateBulkOnly {
			f.bot.phase = botDataOut
		} else {
			f.uas.dataOut.push(c)
		}
	}
}

// receive takes data-out of a transfer, as far as the command takes any: all at once
// without a copy.
func (c *command) receive(f *function, t *Transfer) (n int) {
	n = min(len(t.Data), c.task.DataOut-len(c.out))
	switch {
	case n == 0:
	case n == c.task.DataOut:
		c.hold = t.hold.acquire()
		c.out = t.Data[:n]
	default:
		if c.hold == nil {
			c.hold = newMemory(f.pool, c.task.DataOut, nil)
			c.out = c.hold.bytes[:0]
		}
		c.out = append(c.out, t.Data[:n]...)
	}
	return n
}
