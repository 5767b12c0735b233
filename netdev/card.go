package netdev

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// redial is how long it takes until the next virtual machine is looked for, when
// there was none.
const redial = 100 * time.Millisecond

// A port is what a card is plugged into: where virtual machines come from.
type port interface {
	// next waits for a virtual machine.
	next(context.Context) (wire, error)

	// close wakes who waits in next, and ends the port.
	close()
}

// A wire is the way to one virtual machine. One goroutine receives and another one
// sends; any may close it.
type wire interface {
	// receive waits for frames. What it returns stays valid until the next call.
	receive() error

	// frame is the next of those that were received; false: there is no other.
	frame() (p []byte, ok bool, err error)

	// add has a frame sent with the next flush.
	add(frame []byte)

	// full says that no frame may be added before a flush.
	full() bool

	// flush sends what was added, until a deadline. It says how many frames are
	// lost for good; os.ErrDeadlineExceeded means that the others wait.
	flush(deadline time.Time) (lost int, err error)

	io.Closer
}

// A card is a link over wires, of which there is one at a time.
type card struct {
	cfg   Config
	stats *link.Stats
	rx    chan *packet.Buffer
	wires chan wire     // to who sends
	ended chan struct{} // closed when tx was, and the port
}

// start makes a link of a port.
func start(cfg Config, p port) link.Link {
	c := &card{cfg: cfg, stats: new(link.Stats), rx: make(chan *packet.Buffer, link.QueueLen), wires: make(chan wire), ended: make(chan struct{})}
	tx := make(chan *packet.Buffer, link.QueueLen)
	ctx, cancel := context.WithCancel(context.Background())
	go c.attach(ctx, p)
	go c.transmit(tx, func() { cancel(); p.close(); close(c.ended) })
	return link.Link{Name: cfg.Name, Rx: c.rx, Tx: tx, MTU: cfg.MTU, MAC: cfg.MAC, Stats: c.stats}
}

// attach serves virtual machines, one after another, until ctx ends.
//
// Owns: the receiving half of a wire.
// Reads: ctx, ended.
// Writes: wires; rx, which it closes when the socket is gone.
// Blocks on: a virtual machine that is to come, or to send; rx.
func (c *card) attach(ctx context.Context, p port) {
	defer func() { <-c.ended; close(c.rx) }()
	for ctx.Err() == nil {
		w, err := p.next(ctx)
		if err != nil {
			if ctx.Err() == nil {
				c.cfg.Report(err)
			}
			pause(ctx)
			continue
		}
		select {
		case c.wires <- w:
			if err := c.receive(ctx, w); ctx.Err() == nil && !hasGone(err) {
				c.cfg.Report(err)
			}
		case <-ctx.Done():
		}
		w.Close()
	}
}

// hasGone says whether a virtual machine has ended, or this side has left it.
func hasGone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET)
}

// pause waits for a while, or until ctx ends.
func pause(ctx context.Context) {
	timer := time.NewTimer(redial)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// receive brings frames to rx until the virtual machine goes. Those that have come
// together are joined, where they fit.
func (c *card) receive(ctx context.Context, w wire) error {
	var train link.Train
	for {
		if err := w.receive(); err != nil {
			return err
		}
		now := time.Now()
		var open *packet.Buffer // the frame that train has
		for {
			p, ok, err := w.frame()
			if ok && open != nil && train.Open() && train.Join(p) {
				c.stats.Joined.Add(1)
				continue
			}
			if open != nil {
				open = nil
				if !c.deliver(ctx, train.End()) {
					return ctx.Err()
				}
			}
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if open = c.take(p, now); open != nil {
				train.Begin(open)
			}
		}
	}
}

// take makes a Buffer of a frame, or counts why not.
func (c *card) take(p []byte, now time.Time) *packet.Buffer {
	switch {
	case len(p) < ethernetLen:
		c.stats.DropMalformed.Add(1)
		return nil
	case len(p) > c.cfg.maxLen():
		c.stats.DropTooLong.Add(1)
		return nil
	}
	b := packet.From(p)
	b.Arrived = now
	return b
}

// deliver puts a frame on rx, and returns false when the card has ended.
func (c *card) deliver(ctx context.Context, b *packet.Buffer) bool {
	n := uint64(b.Len())
	select {
	case c.rx <- b:
		c.stats.RxFrames.Add(1)
		c.stats.RxBytes.Add(n)
		return true
	case <-ctx.Done():
		c.stats.DropClosed.Add(1)
		b.Release()
		return false
	}
}

// patience is how long a virtual machine that takes nothing is waited for. Then
// frames are dropped, and at that interval it is tried again.
const patience = 5 * time.Millisecond

// A transmitter is what sends, while there is a virtual machine.
type transmitter struct {
	*card
	wire  wire // nil: there is no carrier
	stuck bool // what was added before waits
	retry *time.Timer
	emit  func(*packet.Buffer)
}

// transmit sends the frames of tx until that is closed, and then ends the card.
//
// Owns: the sending half of a wire.
// Reads: tx, wires, a timer.
// Writes: nothing but the wire.
// Blocks on: tx and wires; the wire, for patience.
func (c *card) transmit(tx <-chan *packet.Buffer, end func()) {
	t := &transmitter{card: c, retry: time.NewTimer(time.Hour)}
	t.emit = t.put
	defer t.retry.Stop()
	for {
		select {
		case b, ok := <-tx:
			if ok {
				ok = t.sendAll(b, tx)
			}
			if !ok {
				end()
				t.drop()
				return
			}
		case w := <-c.wires:
			t.drop()
			t.wire = w
		case <-t.retry.C:
			if t.stuck {
				t.flush()
			}
		}
	}
}

// sendAll sends b and what waits behind it, and returns false when that is all.
func (t *transmitter) sendAll(b *packet.Buffer, tx <-chan *packet.Buffer) bool {
	defer t.flushFree()
	for range link.QueueLen {
		t.send(b)
		select {
		case next, ok := <-tx:
			if !ok {
				return false
			}
			b = next
		default:
			return true
		}
	}
	t.send(b)
	return true
}

// send adds one frame to what is sent, as segments if it is a train.
func (t *transmitter) send(b *packet.Buffer) {
	switch {
	case t.wire == nil:
		t.stats.DropTxError.Add(1) // there is no carrier
		b.Release()
	case b.SegmentSize == 0 && b.Len() > t.cfg.maxLen():
		t.stats.DropTooLong.Add(1)
		b.Release()
	case b.SegmentSize > 0 || b.Checksum == packet.ChecksumPartial:
		if !link.Cut(b, t.emit) {
			t.stats.DropMalformed.Add(1)
		}
	default:
		t.put(b)
	}
}

// put adds a frame that is complete.
func (t *transmitter) put(b *packet.Buffer) {
	defer b.Release()
	if t.wire != nil && !t.stuck && t.wire.full() {
		t.flush()
	}
	switch {
	case t.wire == nil:
		t.stats.DropTxError.Add(1)
	case t.stuck:
		t.stats.DropTxFull.Add(1)
	default:
		packet.CountCopy(b.Len())
		t.wire.add(b.Bytes())
		t.stats.TxFrames.Add(1)
		t.stats.TxBytes.Add(uint64(b.Len()))
	}
}

// flushFree is flush unless that waits for its time.
func (t *transmitter) flushFree() {
	if t.wire != nil && !t.stuck {
		t.flush()
	}
}

// flush sends what was added, and leaves a virtual machine that has gone.
func (t *transmitter) flush() {
	lost, err := t.wire.flush(time.Now().Add(patience))
	t.stats.DropTxError.Add(uint64(lost))
	t.stuck = errors.Is(err, os.ErrDeadlineExceeded)
	switch {
	case t.stuck:
		t.retry.Reset(patience)
	case err != nil:
		t.drop()
	}
}

// drop leaves the virtual machine, if there is one.
func (t *transmitter) drop() {
	if t.wire != nil {
		t.wire.Close()
	}
	t.wire, t.stuck = nil, false
}
