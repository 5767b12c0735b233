package vnet

import (
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/virtionet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/vhost"
	"github.com/seed-012105e5/gonet/vhost/memory"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// The memory that a front end shares: two rings, then buffers for what it
// receives, then for what it sends.
const (
	ringSize = 256
	ringRoom = 0x4000 // for each ring
	sendSize = 64     // of the ring for sending

	receiveRoom = 0x1000
	sendRoom    = 0x11000 // headerLen and packet.MaxSize, in whole pages

	receiveAt = 2 * ringRoom
	sendAt    = receiveAt + ringSize*receiveRoom
	shared    = sendAt + sendSize*sendRoom

	guestBase = 0x10000
)

// A device is what a driver needs of a back end, of vhost-user or of the kernel's.
type device interface {
	// negotiate takes features of virtio-net and of rings, and returns those that
	// there are.
	negotiate(features uint64) (uint64, error)
	// share has the back end use memory of ours.
	share(t *memory.Table, fd int) error
	StartRing(i int, c vhost.RingConfig) error
	Close() error
}

// A leaver is a device that may go, which Wait waits for.
type leaver interface{ Wait() }

// A userDevice is a device behind a unix socket.
type userDevice struct{ *vhost.Frontend }

func (d userDevice) negotiate(features uint64) (uint64, error) {
	err := d.Negotiate(features, vhost.ProtocolReplyAck|vhost.ProtocolMQ, needed)
	return d.Features, err
}

func (d userDevice) share(t *memory.Table, fd int) error {
	return d.SetMemory(t.Regions(), []int{fd})
}

// needed are the features without which a driver does not work.
const needed = virtqueue.FeatureVersion1 | featureMrgRxbuf

// A driver is the other side of a card: a link whose frames a back end takes and
// brings, as a virtual machine's driver does it.
type driver struct {
	cfg      Config
	stats    *link.Stats
	device   device
	features uint64 // that were negotiated
	table    *memory.Table
	user     uint64 // where the shared memory lies in this process
	receive  *virtqueue.Driver
	send     *virtqueue.Driver
	offered  [1]virtqueue.Span // of one buffer, while it is added to receive
	given    [1]virtqueue.Span // and to send
	events   []*vhost.Event    // kick and call of receive, and of send
	rx       chan *packet.Buffer
	quit     chan struct{} // closed when tx was, or the back end has gone
	received chan struct{} // closed when nothing more is received
}

// Dial returns a link over a back end of vhost-user, such as a switch, that listens
// to a unix socket. It ends with the back end. Closing Tx ends it as well.
func Dial(path string, cfg Config) (link.Link, error) {
	front, err := vhost.Dial(path)
	if err != nil {
		return link.Link{}, err
	}
	return drive(userDevice{front}, cfg)
}

// drive returns a link over a device, which belongs to it.
func drive(back device, cfg Config) (link.Link, error) {
	d := &driver{
		cfg: cfg, stats: new(link.Stats), device: back, rx: make(chan *packet.Buffer, link.QueueLen),
		quit: make(chan struct{}), received: make(chan struct{}),
	}
	if d.cfg.MAC == [6]byte{} {
		d.cfg.MAC = [6]byte{2, 0, 0, 0, 0, 2}
	}
	if d.cfg.MTU == 0 {
		d.cfg.MTU = 1500
	}
	if err := d.setUp(); err != nil {
		d.close()
		return link.Link{}, err
	}
	tx := make(chan *packet.Buffer, link.QueueLen)
	go d.receiveAll()
	go d.sendAll(tx)
	if l, ok := back.(leaver); ok {
		go d.watch(l)
	}
	return link.Link{Name: cfg.Name, Rx: d.rx, Tx: tx, MTU: d.cfg.MTU, MAC: d.cfg.MAC, Stats: d.stats}, nil
}

// setUp shares memory, and starts both rings.
func (d *driver) setUp() error {
	features := uint64(virtqueue.Features | featureMrgRxbuf)
	if !d.cfg.NoOffload {
		features |= featureCsum | featureGuestCsum | featureGuestTSO4 | featureHostTSO4 | featureGuestECN | featureHostECN
	}
	var err error
	if d.features, err = d.device.negotiate(features); err != nil {
		return err
	}
	fd, err := memory.Create("vnet", shared)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	mapping, err := memory.MapOwn(memory.Region{Guest: guestBase, Size: shared}, fd)
	if err != nil {
		return err
	}
	defer mapping.Release()
	d.user = mapping.User
	if d.table, err = memory.NewTable(mapping); err != nil {
		return err
	}
	if err := d.device.share(d.table, fd); err != nil {
		return err
	}
	for i, size := range []int{ringSize, sendSize} {
		if err := d.startRing(i, size); err != nil {
			return err
		}
	}
	return nil
}

func (d *driver) startRing(i, size int) error {
	at := d.user + uint64(i*ringRoom)
	c := virtqueue.Config{Size: size, Features: d.features, Descriptors: at, Driver: at + 0x1000, Device: at + 0x2000}
	if c.Features&virtqueue.FeaturePacked != 0 {
		c.Base = virtqueue.NewPackedBase
	}
	ring, err := virtqueue.NewDriver(d.table, c)
	if err != nil {
		return err
	}
	for range 2 {
		e, err := vhost.NewEvent()
		if err != nil {
			return err
		}
		d.events = append(d.events, e)
	}
	if i == 0 {
		d.receive = ring
		for n := range ringSize {
			d.offer(n)
		}
		ring.Publish() // the back end looks when the ring starts
		d.events[0].Signal()
	} else {
		d.send = ring
		ring.Disarm()
	}
	return d.device.StartRing(i, vhost.RingConfig{Config: c, Kick: d.events[2*i].FD(), Call: d.events[2*i+1].FD()})
}

// offer offers the n-th buffer for what is received. Names of chains are those of
// buffers, as there is one for each descriptor.
func (d *driver) offer(n int) {
	// There is room: as many are offered as were.
	d.offered[0] = virtqueue.Span{Addr: guestBase + receiveAt + uint64(n)*receiveRoom, Len: receiveRoom}
	d.receive.Add(d.offered[:], 0)
}

// buffer is n bytes of the shared memory.
func (d *driver) buffer(at, n int) []byte {
	b, _ := d.table.Slice(guestBase+uint64(at), uint64(n)) // it has no bounds that others set
	return b
}

func (d *driver) close() {
	d.device.Close()
	for _, e := range d.events {
		e.Close()
	}
	if d.table != nil {
		d.table.Release()
	}
}

// watch waits for the back end to go.
//
// Owns: what the back end sends.
// Reads: the socket.
// Writes: quit, by waking who closes it.
// Blocks on: the socket.
func (d *driver) watch(l leaver) {
	l.Wait()
	d.events[1].SetDeadline(time.Unix(1, 0))
}

// receiveAll brings frames from the back end to rx, until it goes or tx is closed.
//
// Owns: the ring for receiving, the frame that it puts together.
// Reads: the ring, quit.
// Writes: rx, which it closes; received.
// Blocks on: a ring without frames, rx.
func (d *driver) receiveAll() {
	defer close(d.received)
	defer close(d.rx)
	for {
		id, n, ok, err := d.receive.Take()
		switch {
		case err != nil:
			return
		case ok:
			b := d.take(int(id), n)
			d.offer(int(id))
			if b == nil {
				continue
			}
			select {
			case d.rx <- b:
			case <-d.quit:
				b.Release()
				return
			}
		default:
			if d.receive.Publish() {
				d.events[0].Signal()
			}
			if !d.receive.Arm() && d.events[1].Wait() != nil {
				return
			}
			d.receive.Disarm()
		}
	}
}

// take makes a Buffer of the frame that begins in the buffer id, with n bytes.
func (d *driver) take(id, n int) *packet.Buffer {
	first := d.buffer(receiveAt+id*receiveRoom, receiveRoom)[:min(n, receiveRoom)]
	if len(first) < headerLen {
		d.stats.DropMalformed.Add(1)
		return nil
	}
	h, more := virtionet.Parse(first), int(binary.LittleEndian.Uint16(first[virtionet.Len:]))-1
	room := min(len(first)-headerLen+more*receiveRoom, packet.MaxSize)
	b := packet.Get(max(room, 0))
	b.Append(first[headerLen:])
	for ; more > 0; more-- { // they came together (VIRTIO 1.2 section 5.1.6.4)
		id, n, ok, err := d.receive.Take()
		if !ok || err != nil {
			break
		}
		b.Append(d.buffer(receiveAt+int(id)*receiveRoom, receiveRoom)[:min(n, receiveRoom)])
		d.offer(int(id))
	}
	b.Arrived = time.Now()
	if b.Len() < ethernetLen || h.Mark(b, ethernetLen) != nil {
		d.stats.DropMalformed.Add(1)
		b.Release()
		return nil
	}
	d.stats.RxFrames.Add(1)
	d.stats.RxBytes.Add(uint64(b.Len()))
	return b
}

// sendAll brings frames of tx to the back end until tx is closed, and then ends
// the link.
//
// Owns: the ring for sending.
// Reads: tx.
// Writes: the ring; quit.
// Blocks on: tx.
func (d *driver) sendAll(tx <-chan *packet.Buffer) {
	for b := range tx {
		d.sendOne(b)
		for more := true; more; {
			select {
			case b, ok := <-tx:
				if more = ok; ok {
					d.sendOne(b)
				}
			default:
				more = false
			}
		}
		if d.send.Publish() {
			d.events[2].Signal()
		}
	}
	close(d.quit)
	d.events[1].SetDeadline(time.Unix(1, 0))
	<-d.received
	d.close()
}

// sendOne puts a frame into the ring, and drops it when that is full.
func (d *driver) sendOne(b *packet.Buffer) {
	offload := d.features&featureHostTSO4 != 0 && d.features&featureCsum != 0
	if !offload && (b.SegmentSize > 0 || b.Checksum == packet.ChecksumPartial) {
		if !link.Cut(b, d.put) {
			d.stats.DropMalformed.Add(1)
		}
		return
	}
	d.put(b)
}

func (d *driver) put(b *packet.Buffer) {
	defer b.Release()
	h, ok := virtionet.For(b, ethernetLen)
	if !ok || b.Len() > sendRoom-headerLen {
		d.stats.DropMalformed.Add(1)
		return
	}
	for { // what was sent makes room
		if _, _, ok, err := d.send.Take(); err != nil {
			d.stats.DropClosed.Add(1)
			return
		} else if !ok {
			break
		}
	}
	if d.send.Free() == 0 {
		d.stats.DropTxFull.Add(1)
		return
	}
	at := sendAt + d.send.NextID()*sendRoom
	p := d.buffer(at, sendRoom)
	copy(p, headerOf(h, 0))
	packet.CountCopy(copy(p[headerLen:], b.Bytes()))
	d.given[0] = virtqueue.Span{Addr: guestBase + uint64(at), Len: uint32(headerLen + b.Len())}
	if _, err := d.send.Add(d.given[:], 1); err != nil {
		d.stats.DropTxError.Add(1)
		return
	}
	d.stats.TxFrames.Add(1)
	d.stats.TxBytes.Add(uint64(b.Len()))
}
