package vnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/seed-012105e5/gonet/internal/virtionet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/vhost"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// headerLen is the length of the header of a frame: struct virtio_net_hdr with
// num_buffers, which is there always since version 1 (VIRTIO 1.2 section 5.1.6).
const headerLen = virtionet.Len + 2

const ethernetLen = 14 // of its header

// Features are those of the card (vhost.Device).
func (c *card) Features() uint64 {
	f := uint64(featureMrgRxbuf | featureStatus | featureMTU | featureGuestAnnounce)
	if !c.cfg.NoOffload {
		f |= featureCsum | featureGuestCsum | featureGuestTSO4 | featureGuestECN | featureHostTSO4 | featureHostECN
	}
	if c.cfg.Queues > 1 {
		f |= featureMQ
	}
	return f
}

// Queues is how many rings there are: of each pair the even one is for what the
// guest receives, the odd one for what it sends.
func (c *card) Queues() int { return 2 * c.cfg.Queues }

// Config is struct virtio_net_config: the guest's address, which the virtual
// machine chooses, the state, which is up, the number of pairs and the MTU.
func (c *card) Config() []byte {
	p := make([]byte, 12)
	binary.LittleEndian.PutUint16(p[6:], 1)
	binary.LittleEndian.PutUint16(p[8:], uint16(c.cfg.Queues))
	binary.LittleEndian.PutUint16(p[10:], uint16(c.mtu.Load()))
	return p
}

// SetConfig refuses: a driver of version 1 changes nothing.
func (c *card) SetConfig(int, []byte) error {
	return errors.New("vnet: the configuration is read-only")
}

// SetMTU takes an MTU of the virtual machine's.
func (c *card) SetMTU(mtu int) error {
	if mtu < minMTU || mtu > maxMTU {
		return fmt.Errorf("vnet: an MTU of %d", mtu)
	}
	c.mtu.Store(int64(mtu))
	return nil
}

// Announce brings a request of RARP from the guest, which tells a network where it
// is (RFC 903).
func (c *card) Announce(mac [6]byte) {
	b := packet.Get(60)
	p := b.Extend(60)
	clear(p)
	copy(p, "\xff\xff\xff\xff\xff\xff")
	copy(p[6:], mac[:])
	copy(p[12:], "\x80\x35\x00\x01\x08\x00\x06\x04\x00\x03")
	copy(p[22:], mac[:])
	copy(p[32:], mac[:])
	c.stats.RxFrames.Add(1)
	c.stats.RxBytes.Add(60)
	select {
	case c.rx <- b:
	default:
		c.stats.DropRxFull.Add(1)
		b.Release()
	}
}

// Serve serves a ring.
func (c *card) Serve(q *vhost.Queue) {
	if q.Index()%2 == 0 {
		c.serveReceive(q)
	} else {
		c.serveSend(q)
	}
}

// serveSend brings the frames that the guest sends to rx.
func (c *card) serveSend(q *vhost.Queue) {
	var chain virtqueue.Chain
	for q.Wait() {
		for q.Next(&chain) {
			b := c.copyIn(&chain)
			q.Put(&chain, 0)
			if b == nil {
				continue
			}
			select {
			case c.rx <- b:
			default: // the guest learns what it has sent, and then waits with us
				q.Flush()
				select {
				case c.rx <- b:
				case <-q.Stopped():
					c.stats.DropClosed.Add(1)
					b.Release()
				}
			}
		}
	}
}

// copyIn makes a Buffer of a frame that the guest sends, or counts why not.
func (c *card) copyIn(chain *virtqueue.Chain) *packet.Buffer {
	n := chain.ReadLen - headerLen
	switch {
	case n < ethernetLen:
		c.stats.DropMalformed.Add(1)
		return nil
	case n > packet.MaxSize:
		c.stats.DropTooLong.Add(1)
		return nil
	}
	b := packet.Get(n)
	var head [headerLen]byte
	have := 0
	for _, p := range chain.Readable {
		if have < headerLen {
			k := copy(head[have:], p)
			have, p = have+k, p[k:]
		}
		b.Append(p)
	}
	b.Arrived = time.Now()
	if err := virtionet.Parse(head[:]).Mark(b, ethernetLen); err != nil {
		c.stats.DropMalformed.Add(1)
		b.Release()
		return nil
	}
	c.stats.RxFrames.Add(1)
	c.stats.RxBytes.Add(uint64(n))
	return b
}

// A receiver is the ring of what the guest receives, while it runs.
type receiver struct {
	*card
	q       *vhost.Queue
	chains  []*virtqueue.Chain // for a frame in several buffers
	held    int                // the first of them, which are taken
	frame   *packet.Buffer     // that it is sending
	emit    func(*packet.Buffer)
	mergeOK bool
	csumOK  bool
	tsoOK   bool
	starved bool // the guest had no buffers for a while: frames are dropped until it has
}

// patience is how long frames wait for the guest to have buffers, before they are
// dropped.
const patience = 5 * time.Millisecond

// maxMerged is how many buffers a frame lies in at most: the smallest ones that
// drivers offer have 1 KB or more.
const maxMerged = 256

// serveReceive brings frames of tx to the guest. Of several rings one has tx.
func (c *card) serveReceive(q *vhost.Queue) {
	var tx <-chan *packet.Buffer
	select {
	case tx = <-c.lend:
	case <-q.Stopped():
		return
	}
	open := true
	r := &receiver{
		card: c, q: q,
		mergeOK: q.Features()&featureMrgRxbuf != 0, csumOK: q.Features()&featureGuestCsum != 0, tsoOK: q.Features()&featureGuestTSO4 != 0,
	}
	r.emit = r.put
	defer func() { // also when the guest's memory is gone
		if r.frame != nil {
			c.stats.DropTxError.Add(1)
			r.frame.Release()
		}
		if q.Err() == nil {
			r.giveBack()
		}
		c.back <- open
	}()
	for q.Err() == nil {
		select {
		case b, ok := <-tx:
			if !ok {
				open = false
				return
			}
			r.send(b)
			r.sendMore(tx, &open)
			q.Flush()
			if !open {
				return
			}
		case <-q.Stopped():
			return
		}
	}
}

// sendMore sends what else waits: the guest is told once for all.
func (r *receiver) sendMore(tx <-chan *packet.Buffer, open *bool) {
	for range link.QueueLen {
		select {
		case b, ok := <-tx:
			if !ok {
				*open = false
				return
			}
			r.send(b)
		default:
			return
		}
	}
}

// send brings one frame to the guest, as segments where its driver takes no
// trains.
func (r *receiver) send(b *packet.Buffer) {
	if b.SegmentSize == 0 && b.Len() > r.cfg.MTU+ethernetLen+4 {
		r.stats.DropTooLong.Add(1)
		b.Release()
		return
	}
	if b.SegmentSize > 0 && !r.tsoOK || b.Checksum == packet.ChecksumPartial && !r.csumOK {
		if !link.Cut(b, r.emit) {
			r.stats.DropMalformed.Add(1)
		}
		return
	}
	r.put(b)
}

// put copies a frame to buffers of the guest's.
func (r *receiver) put(b *packet.Buffer) {
	h, ok := virtionet.For(b, ethernetLen)
	if !ok {
		r.stats.DropMalformed.Add(1)
		b.Release()
		return
	}
	r.frame = b
	if n := r.collect(headerLen + b.Len()); n == 0 {
		r.stats.DropTxFull.Add(1)
	} else {
		r.fill(h, b.Bytes(), n)
		r.stats.TxFrames.Add(1)
		r.stats.TxBytes.Add(uint64(b.Len()))
	}
	r.frame = nil
	b.Release()
}

// collect has chains with room for n bytes, and returns how many those are; 0 when
// the guest has not enough. Those that it has are kept for the next frame.
func (r *receiver) collect(n int) int {
	for k := 0; k < maxMerged; k++ {
		if k == len(r.chains) {
			r.chains = append(r.chains, new(virtqueue.Chain))
		}
		if k == r.held {
			if !r.next(r.chains[k]) {
				return 0
			}
			r.held++
		}
		if n -= r.chains[k].WriteLen; n <= 0 {
			return k + 1
		}
		if !r.mergeOK {
			break
		}
	}
	r.giveBack() // they are too small for any frame like this one
	return 0
}

// giveBack returns the chains that were kept, each with a header and no frame,
// which the driver drops.
func (r *receiver) giveBack() {
	head := headerOf(virtionet.Header{}, 1)
	for _, c := range r.chains[:r.held] {
		r.q.Put(c, scatter(c, 0, head))
	}
	r.held = 0
}

// next takes a chain, for which it waits for a while.
func (r *receiver) next(c *virtqueue.Chain) bool {
	if r.q.Next(c) {
		r.starved = false
		return true
	}
	if r.starved {
		return false
	}
	for deadline := time.Now().Add(patience); r.q.WaitUntil(deadline); {
		if r.q.Next(c) {
			return true
		}
	}
	r.starved = true
	return false
}

func headerOf(h virtionet.Header, buffers int) []byte {
	var p [headerLen]byte
	h.Put(p[:])
	binary.LittleEndian.PutUint16(p[virtionet.Len:], uint16(buffers))
	return p[:]
}

// fill writes header and frame to the first n chains, and returns them.
func (r *receiver) fill(h virtionet.Header, frame []byte, n int) {
	head := headerOf(h, n)
	for i, c := range r.chains[:n] {
		at := 0
		if i == 0 {
			at = scatter(c, 0, head)
		}
		k := scatter(c, at, frame)
		frame = frame[k-at:]
		r.q.Put(c, k)
	}
	for i := n; i < r.held; i++ { // what is kept stands in front
		r.chains[i-n], r.chains[i] = r.chains[i], r.chains[i-n]
	}
	r.held -= n
}

// scatter copies as much of p as fits to a chain, from byte at on, and returns
// where it ends.
func scatter(c *virtqueue.Chain, at int, p []byte) int {
	skip := at
	for _, b := range c.Writable {
		if skip >= len(b) {
			skip -= len(b)
			continue
		}
		n := copy(b[skip:], p)
		skip, at, p = 0, at+n, p[n:]
		if len(p) == 0 {
			break
		}
	}
	return at
}
