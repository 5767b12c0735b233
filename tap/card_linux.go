package tap

import (
	"io"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// A frameFile is a tap as its two goroutines see it: a frame a call.
type frameFile interface {
	io.Reader                      // waits until there is a frame
	tryRead(p []byte) (int, error) // does not wait: EAGAIN
	writeFrame(p []byte) error     // does not wait
	io.Closer                      // wakes a Read
}

// A card is a tap and the two goroutines around it.
type card struct {
	file    frameFile
	vnet    bool // each frame has a virtio-net header
	maxLen  int  // of a frame that is not a train, in bytes
	stats   *link.Stats
	closing chan struct{} // closed when Tx was
	closed  chan struct{} // closed when the device was, too, and all is undone
	undo    func()        // takes away what Open has made
	emit    func(*packet.Buffer)
	gone    bool // the device has; of the writer
}

// start starts the goroutines, and returns the ends of their channels.
func (c *card) start() (rx <-chan *packet.Buffer, tx chan<- *packet.Buffer) {
	in := make(chan *packet.Buffer, link.QueueLen)
	out := make(chan *packet.Buffer, link.QueueLen)
	c.closing, c.closed = make(chan struct{}), make(chan struct{})
	c.emit = c.transmit
	go c.read(in)
	go c.write(out)
	return in, out
}

// read brings the frames of the device to rx, and ends when there is no
// device any more. While nobody takes them the kernel's queue fills, and the
// kernel drops what does not fit.
//
// Owns: the buffer that the next frame is read into, and the train that is made of frames.
// Reads: the device, closing, closed.
// Writes: rx.
// Blocks on: a device without frames, rx; closed at the end.
func (c *card) read(rx chan<- *packet.Buffer) {
	defer close(rx)
	defer c.awaitClose()
	r := reader{card: c, space: c.newSpace()}
	defer r.release()
	for {
		b, err := r.next()
		if err != nil {
			return
		}
		c.arrived(b)
		select {
		case rx <- b:
		case <-c.closing:
			c.stats.DropClosed.Add(1)
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

// write brings the frames of tx to the device until tx is closed, and then
// closes the device.
//
// Owns: the device's end, and the frames that it has taken together.
// Reads: tx.
// Writes: the device, closing, closed.
// Blocks on: tx.
func (c *card) write(tx <-chan *packet.Buffer) {
	var batch [link.QueueLen]*packet.Buffer
	for b := range tx {
		batch[0] = b
		for _, b := range batch[:1+takeUp(tx, batch[1:])] {
			c.send(b)
		}
	}
	close(c.closing)
	c.file.Close() // of no use any more, whatever it says
	c.undo()
	close(c.closed)
}

// takeUp takes the frames that wait in tx, as many as fit into batch, and says
// how many. Taken together they wake who waits for room once, and not each time.
func takeUp(tx <-chan *packet.Buffer, batch []*packet.Buffer) (n int) {
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
func (c *card) send(b *packet.Buffer) {
	if b.SegmentSize == 0 && b.Len() > c.maxLen {
		c.stats.DropTooLong.Add(1)
		b.Release()
		return
	}
	if c.vnet {
		if h, ok := vnetFor(b); ok {
			c.put(b, h)
			return
		}
	}
	if !link.Cut(b, c.emit) {
		c.stats.DropMalformed.Add(1)
	}
}

// transmit gives the device a frame as it goes on the wire.
func (c *card) transmit(b *packet.Buffer) { c.put(b, vnetHeader{}) }

// put writes a frame behind its virtio-net header, and counts what becomes of
// it. Nothing is tried twice: a device that is full drops, as hardware does.
func (c *card) put(b *packet.Buffer, h vnetHeader) {
	defer b.Release()
	if c.gone {
		c.stats.DropClosed.Add(1)
		return
	}
	frameLen := b.Len()
	if c.vnet {
		h.put(b.Push(vnetLen))
	}
	switch err := c.file.writeFrame(b.Bytes()); err {
	case nil:
		c.stats.TxFrames.Add(1)
		c.stats.TxBytes.Add(uint64(frameLen))
	case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
		c.stats.DropTxFull.Add(1)
	case unix.EBADFD: // the device was deleted
		c.gone = true
		c.stats.DropClosed.Add(1)
	default: // EIO: the device is down
		c.stats.DropTxError.Add(1)
	}
}
