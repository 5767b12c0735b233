package machine

import (
	"io"
	"net"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// The user calls of RFC 9293 section 3.10, as far as they concern one
// connection.

// open is an active OPEN (section 3.10.1).
func (t *TCB) open(now time.Time) {
	t.state = SynSent
	t.lastHeard = now
	t.submitted(now) // our SYN
	t.stats.ActiveOpens.Add(1)
}

// Writable says whether write would take something, or say an error. A queue
// that is nearly full takes nothing, so that a fast writer is not served byte
// by byte.
func (t *TCB) Writable() bool {
	if t.finQueued {
		return true
	}
	if t.state == SynSent || t.state == SynReceived && !t.acceptedEarly() {
		return false
	}
	return !t.canSend() || t.sendq.room() >= t.sendq.limit/4
}

// WriteNothing is a write of no bytes: it waits for nothing, but says what another
// would fail with.
func (t *TCB) WriteNothing(now time.Time) (err error) {
	if t.finQueued || t.state == Closed {
		_, err = t.Write(now, nil)
	}
	return err
}

// HasRoom says whether write would take something at all, even where it is not
// writable.
func (t *TCB) HasRoom() bool { return t.Writable() || t.sendq.room() > 0 }

// Hold says whether more text follows at once: whole segments only, until then.
func (t *TCB) Hold(on bool) { t.held = on }

// canSend says whether the text that the user queues may go out.
func (t *TCB) canSend() bool { return t.state.canSend() || t.acceptedEarly() }

// Write is SEND (section 3.10.2): it queues what there is room for.
func (t *TCB) Write(now time.Time, p []byte) (int, error) {
	switch {
	case t.state == Closed && t.err == syscall.ECONNRESET && t.finTaken:
		return 0, syscall.EPIPE // as in Linux, where the reset of who has closed before says that nobody reads
	case t.state == Closed && t.err != nil:
		return 0, t.err
	}
	if t.finQueued || !t.canSend() {
		return 0, syscall.EPIPE
	}
	if idle := now.Sub(t.lastSent); t.flightEmpty() && t.sendq.len == 0 && !t.lastSent.IsZero() && idle > t.rtt.rto() {
		t.cc.Idled(now, idle)
	}
	n := t.sendq.append(p)
	if n > 0 {
		t.submitted(now)
	}
	return n, nil
}

// Readable says whether read would return something, or say an error.
func (t *TCB) Readable() bool {
	return t.recvq.readyLen > 0 || t.finTaken || t.noReader || t.state == Closed
}

// Read is RECEIVE (section 3.10.3).
func (t *TCB) Read(p []byte) (int, error) {
	if t.recvq.readyLen == 0 {
		return 0, t.readError()
	}
	n := t.recvq.read(p)
	t.afterRead()
	return n, nil
}

// ReadBuffer hands over a whole Buffer of text, which the caller then owns.
func (t *TCB) ReadBuffer() (*packet.Buffer, error) {
	b := t.recvq.take()
	if b == nil {
		return nil, t.readError()
	}
	t.afterRead()
	return b, nil
}

// Peek is what waits to be read, n bytes at most, which stays; and what comes behind
// that: io.EOF, an error, or nil when nothing is known to.
func (t *TCB) Peek(n int) (text []byte, end error) {
	text = t.recvq.peek(n)
	if len(text) == t.recvq.readyLen {
		end = t.readError()
	}
	return text, end
}

func (t *TCB) afterRead() {
	if t.urgentSeen && !t.rcv.urgent.After(t.readNxt()) {
		t.urgentSeen = false // all of it has been read
	}
	if t.state.canReceive() && t.updateDue() {
		t.ackNow = true
	}
}

// readNxt is the sequence number of the next byte to be read.
func (t *TCB) readNxt() segment.Seq {
	q := t.rcv.nxt.Add(-t.recvq.readyLen)
	if t.finTaken {
		q--
	}
	return q
}

// readError is what a reader gets when no text is left.
func (t *TCB) readError() error {
	switch {
	case t.finTaken || t.noReader:
		return io.EOF
	case t.err != nil:
		return t.err
	case t.state == Closed:
		return net.ErrClosed
	}
	return nil
}

// CloseWrite is CLOSE (section 3.10.4): no more text will come from the user,
// and what is queued is followed by a FIN.
func (t *TCB) CloseWrite(now time.Time) {
	if t.finQueued {
		return
	}
	switch t.state {
	case SynSent:
		t.fail(net.ErrClosed)
	case SynReceived:
		t.finQueued = true
		t.submitted(now)
	case Established:
		t.finQueued = true
		t.state = FinWait1
		t.submitted(now)
	case CloseWait:
		t.finQueued = true
		t.submitted(now)
		t.state = LastAck
	}
}

// CloseRead tells that the user will read no more. Text that comes is thrown
// away.
func (t *TCB) CloseRead() {
	freed := t.recvq.readyLen > 0
	t.recvq.clearReady() // what lies ahead of a hole was promised to be kept, by SACK
	t.noReader = true
	if freed { // otherwise the peer has nothing new to be told
		t.afterRead()
	}
}

// Close is a CLOSE of both directions, as close(2) has it. When text was left
// unread the peer is told by a reset (RFC 9293 section 3.6.1, SHLD-3), and when the
// user has so decided by the option of the linger time.
func (t *TCB) Close(now time.Time) {
	unread := t.recvq.readyLen > 0 && (t.state.synchronized() && t.state != TimeWait || t.acceptedEarly())
	if unread || t.opts.Linger == 0 {
		t.Abandon(nil)
		return
	}
	t.CloseRead()
	t.CloseWrite(now)
	t.orphaned(now)
}
