package nbd

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/internal/buffers"
)

// A RequestError is an error by which a server answers a request. By errors.Is it
// is the errno that the server has told, and those errors of package block that
// mean the same.
type RequestError struct {
	Op     string // the command by its name in the specification
	Off    int64  // of the request, or of the failure where the server tells it
	Length int64
	Errno  Errno
	Text   string // the server's own words, if any
}

func (e *RequestError) Error() string {
	s := fmt.Sprintf("nbd: %s of %d bytes at %d: the server says %v", e.Op, e.Length, e.Off, syscallName(e.Errno))
	if e.Text != "" {
		s += fmt.Sprintf(" (%q)", e.Text)
	}
	return s
}

// syscallName is the text of an errno without the name of this package.
func syscallName(e Errno) string {
	for _, n := range errnos {
		if n.wire == e && n.text != "" {
			return n.text
		}
	}
	return fmt.Sprintf("error %d", uint32(e))
}

func (e *RequestError) Unwrap() error { return e.Errno }

// Is knows the errors of package block that servers mean by their errno.
func (e *RequestError) Is(target error) bool {
	switch target {
	case block.ErrNotSupported:
		return e.Errno == ENOTSUP
	case block.ErrNoSpace:
		return e.Errno == ENOSPC
	case block.ErrReadOnly:
		return e.Errno == EPERM
	}
	return false
}

// States of a call: who sees that it ends.
const (
	callWaits     int32 = iota // its caller waits
	callFinished               // the caller owns it again
	callAbandoned              // the caller has gone; whoever finishes it owns it
)

// A call is one request with what it needs and what comes of it. It passes from the
// caller to the writer of a link, which publishes it in the link's table; from then
// on the payload is lent to the writer, and the reply is the reader's; the second of
// the two to let go of it finishes it. When a link is lost, its calls pass to the
// supervisor.
type call struct {
	req     request         // without cookie
	payload []byte          // WRITE
	into    []byte          // READ
	buf     *buffers.Buffer // that payload or into lie in, where the caller may leave
	entry   *unflushedWrite

	reply    reply
	statuses []descriptor // of the context want
	want     string
	heads    []byte // scratch for the payload of chunks

	again   bool         // it has been answered by ESHUTDOWN once
	holders atomic.Int32 // writer and reader
	state   atomic.Int32
	stray   span // the range of an abandoned call that changes it
	err     error
	done    chan struct{} // capacity 1
}

// newCall takes a call from the pool.
func (c *Client) newCall(r request) *call {
	k, ok := c.calls.Get().(*call)
	if !ok {
		k = &call{done: make(chan struct{}, 1)}
	}
	k.req, k.err, k.again = r, nil, false
	k.state.Store(callWaits)
	return k
}

// free gives a call back to the pool.
func (c *Client) free(k *call) {
	c.buffers.Put(k.buf)
	k.payload, k.into, k.buf, k.entry = nil, nil, nil, nil
	k.statuses, k.want = k.statuses[:0], ""
	if cap(k.heads) > 16<<10 {
		k.heads = nil
	}
	if cap(k.statuses) > 1024 {
		k.statuses = nil
	}
	c.calls.Put(k)
}

// changes says whether a command may alter what is read later.
func changes(c command) bool {
	return c == cmdWrite || c == cmdTrim || c == cmdWriteZeroes
}

// do has a request done and waits for its reply, or until the context ends. The
// error of the reply is in k.err. After any other error k must not be touched.
func (c *Client) do(ctx context.Context, k *call) error {
	err := ctx.Err()
	if err == nil {
		err = c.strays.wait(ctx, k.req.offset, k.req.length, c.dead)
	}
	if err != nil {
		c.drop(k)
		return err
	}
	select {
	case c.submit <- k:
	case <-ctx.Done():
		c.drop(k)
		return ctx.Err()
	case <-c.dead:
		c.drop(k)
		return c.err
	}
	select {
	case <-k.done:
		return nil
	case <-ctx.Done():
	}
	if changes(k.req.cmd) {
		k.stray = span{k.req.offset, k.req.offset + k.req.length}
		c.strays.add(k.stray)
	}
	if !k.state.CompareAndSwap(callWaits, callAbandoned) {
		<-k.done
		if changes(k.req.cmd) {
			c.strays.remove(k.stray)
		}
		return nil
	}
	return ctx.Err()
}

// drop forgets a call that was never submitted.
func (c *Client) drop(k *call) {
	c.unflushed.ended(k.entry, errAbandoned)
	c.free(k)
}

// finish ends a call, by whoever holds it last.
func (c *Client) finish(k *call, err error) {
	k.err = err
	if k.state.Load() == callWaits {
		// Before the caller knows: a Sync that it makes next must cover the write.
		c.unflushed.ended(k.entry, err)
		k.entry = nil
	}
	if k.state.CompareAndSwap(callWaits, callFinished) {
		k.done <- struct{}{}
		return
	}
	// A write that was given up and is done all the same keeps its place among those
	// that are sent again: it must not be undone by an older one.
	c.unflushed.ended(k.entry, err)
	if changes(k.req.cmd) {
		c.strays.remove(k.stray)
	}
	c.free(k)
}

// answered is the error that a reply means.
func (k *call) answered() error {
	if k.reply.errno == 0 {
		return nil
	}
	e := &RequestError{k.req.cmd.String(), int64(k.req.offset), int64(k.req.length), k.reply.errno, k.reply.message}
	if k.reply.at {
		e.Off = int64(k.reply.failed)
		return &block.MediumError{Op: opName(k.req.cmd), Off: e.Off, Err: e}
	}
	return e
}

// opName is the command in the words of block.MediumError.
func opName(c command) string {
	switch c {
	case cmdRead:
		return "read"
	case cmdWrite:
		return "write"
	case cmdFlush:
		return "sync"
	case cmdTrim:
		return "trim"
	case cmdWriteZeroes:
		return "zero"
	}
	return c.String()
}
