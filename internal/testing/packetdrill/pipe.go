package packetdrill

import (
	"fmt"
	"syscall"
)

// A pipe is one end of a pipe of pipe(2), which splice needs. It holds only how
// many bytes there are: what came from a socket was compared when it was read,
// and what goes to one is that socket's own text.
type pipe struct {
	*pipeBuffer
	writes bool // which end it is
}

type pipeBuffer struct {
	len     int
	writers bool // that end is open
	readers bool
}

// pipeSize is how much a pipe holds, as in Linux.
const pipeSize = 65536

// callPipe makes the two ends of "pipe([5, 6])".
func (r *run) callPipe(c *call) (work, deadline, error) {
	ends := c.args[0].list
	if len(ends) != 2 || !ends[0].isNum || !ends[1].isNum || ends[0].number == ends[1].number {
		return nil, nil, fmt.Errorf("pipe has the two descriptors that it makes: [5, 6]")
	}
	b := &pipeBuffer{readers: true, writers: true}
	for i, end := range ends {
		if err := r.free(end.number); err != nil {
			return nil, nil, err
		}
		r.pipes[end.number] = &pipe{b, i == 1}
	}
	return atOnce(0, nil), nil, nil
}

func (p *pipe) close() {
	if p.writes {
		p.writers = false
	} else {
		p.readers = false
	}
}

// take takes up to n bytes out of the pipe. Nothing waits for the other end:
// it is the same script's.
func (p *pipe) take(n int) (int, error) {
	switch {
	case p.writes:
		return 0, syscall.EBADF
	case p.len == 0 && p.writers && n > 0:
		return 0, syscall.EAGAIN
	}
	n = min(n, p.len)
	p.len -= n
	return n, nil
}

// put puts up to n bytes into the pipe.
func (p *pipe) put(n int) (int, error) {
	switch room := pipeSize - p.len; {
	case !p.writes:
		return 0, syscall.EBADF
	case !p.readers:
		return 0, syscall.EPIPE
	case room == 0 && n > 0:
		return 0, syscall.EAGAIN
	default:
		n = min(n, room)
	}
	p.len += n
	return n, nil
}

func (r *run) readPipe(p *pipe, c *call) (work, deadline, error) {
	t, err := c.transfer()
	if err != nil {
		return nil, nil, err
	}
	return atOnce(p.take(t.n)), nil, nil
}

func (r *run) writePipe(p *pipe, c *call) (work, deadline, error) {
	t, err := c.transfer()
	if err != nil {
		return nil, nil, err
	}
	return atOnce(p.put(t.n)), nil, nil
}

// callSplice is "splice(4, NULL, 6, NULL, 99, 0)": between a socket and a pipe,
// in either direction.
func (r *run) callSplice(c *call) (work, deadline, error) {
	n := c.args[4].number
	if !c.args[1].is("NULL") || !c.args[3].is("NULL") || n < 0 || n > pipeSize {
		return nil, nil, fmt.Errorf("splice has NULL for both offsets, and a length up to %d", pipeSize)
	}
	s, in := r.sockets[c.args[0].number], r.pipes[c.args[0].number]
	t, out := r.sockets[c.args[2].number], r.pipes[c.args[2].number]
	switch {
	case s != nil && out != nil:
		return r.spliceIn(s, out, int(n), c)
	case in != nil && t != nil:
		n, err := in.take(int(n))
		if err != nil {
			return atOnce(0, err), nil, nil
		}
		return onSocket(callWrite)(r, &call{name: "write", args: []value{c.args[2], {rest: true}, {number: int64(n), isNum: true}}})
	}
	return nil, nil, fmt.Errorf("splice moves from a socket to a pipe, or from a pipe to a socket")
}

// spliceIn reads from a socket into a pipe.
func (r *run) spliceIn(s *socket, p *pipe, n int, c *call) (work, deadline, error) {
	n = min(n, pipeSize-p.len)
	read, giveUp, err := onSocket(callRead)(r, &call{name: "read", args: []value{c.args[0], {rest: true}, {number: int64(n), isNum: true}}})
	if err != nil {
		return nil, nil, err
	}
	if c.args[5].has("SPLICE_F_NONBLOCK") && s.conn != nil {
		giveUp = s.conn.SetReadDeadline
	}
	return func() outcome {
		o := read()
		if o.err == nil {
			_, o.err = p.put(o.n)
		}
		return o
	}, giveUp, nil
}
