package tap

import (
	"io"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/virtionet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// A frameFile is a queue of a tap as its two goroutines see it: a frame a call.
type frameFile interface {
	io.Reader                      // waits until there is a frame
	tryRead(p []byte) (int, error) // does not wait: EAGAIN
	writeFrame(p []byte) error     // does not wait
	attach(on bool) error          // lets the kernel send frames this way, or not
	io.Closer                      // wakes a Read
}

// A card is a tap and the goroutines around it: one that reads and one that
// writes, and the same two for each further queue.
type card struct {
	queues  []*queue
	bulk    chan byte // what flows have brought long trains: entries of a fan
	vnet    bool      // each frame has a virtio-net header
	header  int       // bytes of the link layer in a frame: Ethernet's, or 0 of a tun
	maxLen  int       // of a frame that is not a train, in bytes
	stats   *link.Stats
	closing chan struct{}   // closed when Tx was
	closed  chan struct{}   // closed when the device was, too, and all is undone
	kernel  chan *kernelEnd // the other end, while nobody uses it, or nil; closed when the device is
	undo    func()          // takes away what Open has made
}

// A queue is one of the ways between a card and the kernel.
type queue struct {
	*card
	file frameFile
	emit func(*packet.Buffer)
	gone bool // the device has; of who writes
}

// newCard returns a card with a queue for each file.
func newCard[F frameFile](files []F, vnet, ip bool, mtu int) *card {
	c := &card{
		vnet: vnet, header: ethernetLen, maxLen: mtu + ethernetLen + vlanLen, stats: new(link.Stats), undo: func() {}, kernel: make(chan *kernelEnd, 1),
		closing: make(chan struct{}), closed: make(chan struct{}),
	}
	if ip {
		c.header, c.maxLen = 0, mtu
	}
	c.kernel <- nil // nobody, until Open knows better
	if len(files) > 1 {
		c.bulk = make(chan byte, link.QueueLen)
	}
	for _, f := range files {
		q := &queue{card: c, file: f}
		q.emit = q.transmit
		c.queues = append(c.queues, q)
	}
	return c
}

// start starts the goroutines, and returns the ends of their channels.
func (c *card) start() (rx <-chan *packet.Buffer, tx chan<- *packet.Buffer) {
	in := make(chan *packet.Buffer, link.QueueLen)
	out := make(chan *packet.Buffer, link.QueueLen)
	go c.read(in)
	go c.write(out)
	return in, out
}

// read brings the frames of all queues to rx, each queue in a goroutine, and
// closes rx when there is no device any more.
//
// Owns: nothing but what its queues own.
// Reads: closing, closed.
// Writes: rx.
// Blocks on: its queues; closed at the end.
func (c *card) read(rx chan<- *packet.Buffer) {
	defer close(rx)
	var others sync.WaitGroup
	for _, q := range c.queues[1:] {
		others.Go(func() { q.read(rx) })
	}
	c.queues[0].read(rx)
	others.Wait()
	c.awaitClose()
}

// write brings the frames of tx to the device until tx is closed, and then
// closes the device.
//
// Owns: the device's end.
// Reads: tx.
// Writes: the device, closing, closed.
// Blocks on: tx, or on its queues.
func (c *card) write(tx <-chan *packet.Buffer) {
	if len(c.queues) == 1 {
		c.queues[0].write(tx)
	} else {
		c.spread(tx)
	}
	close(c.closing)
	c.part()
	for _, q := range c.queues {
		q.file.Close() // of no use any more, whatever it says
	}
	c.undo()
	close(c.closed)
}

// refresh counts what the kernel has dropped until now; after the end, until
// then.
func (c *card) refresh() {
	if k, ok := <-c.kernel; ok {
		k.count()
		c.kernel <- k
	}
}

// part counts for the last time.
func (c *card) part() {
	if k, ok := <-c.kernel; ok {
		k.count()
		close(c.kernel)
	}
}

// read brings the frames of one queue to rx, and ends when there is no device
// any more. While nobody takes them the kernel's queue fills, and the kernel
// drops what does not fit.
//
// Owns: the buffer that the next frame is read into, and the train that is made of frames.
// Reads: the device, closing.
// Writes: rx, bulk (which when full is told the next time).
// Blocks on: a device without frames, rx.
func (q *queue) read(rx chan<- *packet.Buffer) {
	r := newReader(q)
	defer r.release()
	for {
		b, err := r.next()
		if err != nil {
			return
		}
		q.arrived(b)
		q.tellBulk(b)
		select {
		case rx <- b:
		case <-q.closing:
			q.stats.DropClosed.Add(1)
			b.Release()
			return
		}
	}
}

// awaitClose waits until a close that has begun is done: who sees the end of
// Rx after closing Tx may open the same tap again.
func (c *card) awaitClose() {
	select {
	case <-c.closing:
		<-c.closed
	default: // the device is gone, and Tx is open
	}
}

// write brings the frames of tx to one queue of the device until tx is closed.
//
// Owns: the frames that it has taken together.
// Reads: tx.
// Writes: the device.
// Blocks on: tx.
func (q *queue) write(tx <-chan *packet.Buffer) {
	var batch [link.QueueLen]*packet.Buffer
	for b := range tx {
		batch[0] = b
		for _, b := range batch[:1+takeBatch(tx, batch[1:])] {
			q.send(b)
		}
	}
}

// takeBatch takes the frames that wait in tx, as many as fit into batch, and says how
// many. So a sender that waits for room is woken once per batch, not once per frame.
func takeBatch(tx <-chan *packet.Buffer, batch []*packet.Buffer) (n int) {
	for n < len(batch) {
		select {
		case b, ok := <-tx:
			if !ok {
				return n
			}
			batch[n] = b
			n++
		default:
			return n
		}
	}
	return n
}

// send gives one frame to the device, which cuts trains and completes
// checksums if it has a virtio-net header.
func (q *queue) send(b *packet.Buffer) {
	if b.SegmentSize == 0 && b.Len() > q.maxLen {
		q.stats.DropTooLong.Add(1)
		b.Release()
		return
	}
	if q.vnet {
		if h, ok := virtionet.For(b, q.header); ok {
			q.put(b, h)
			return
		}
	}
	cut := link.Cut
	if q.header == 0 {
		cut = link.CutIP
	}
	if !cut(b, q.emit) {
		q.stats.DropMalformed.Add(1)
	}
}

// transmit gives the device a frame as it goes on the wire.
func (q *queue) transmit(b *packet.Buffer) { q.put(b, virtionet.Header{}) }

// put writes a frame behind its virtio-net header, and counts what becomes of
// it. Nothing is tried twice: a device that is full drops, as hardware does.
func (q *queue) put(b *packet.Buffer, h virtionet.Header) {
	defer b.Release()
	if q.gone {
		q.stats.DropClosed.Add(1)
		return
	}
	frameLen := b.Len()
	if q.vnet {
		h.Put(b.Push(virtionet.Len))
	}
	switch err := q.file.writeFrame(b.Bytes()); err {
	case nil:
		q.stats.TxFrames.Add(1)
		q.stats.TxBytes.Add(uint64(frameLen))
	case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
		q.stats.DropTxFull.Add(1)
	case unix.EBADFD: // the device was deleted
		q.gone = true
		q.stats.DropClosed.Add(1)
	default: // EIO: the device is down
		q.stats.DropTxError.Add(1)
	}
}
