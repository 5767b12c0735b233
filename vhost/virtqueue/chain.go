package virtqueue

import (
	"fmt"
	"math"

	"github.com/seed-012105e5/gonet/vhost/memory"
)

// A Chain is a buffer that the driver offers: memory that the device reads, and
// memory that it writes, each in order. It may be used for one after another, and
// then allocates nothing. It stays valid until it is put back.
type Chain struct {
	Readable [][]byte
	Writable [][]byte

	// ReadLen and WriteLen are how many bytes those have.
	ReadLen, WriteLen int

	at    []uint64 // of each of Writable, in the guest
	id    uint16   // the first descriptor of a split queue; the buffer id of a packed one
	slots int      // descriptors in the ring of a packed queue
	entry uint16   // in the memory for what is in flight, of a packed queue
	state chainState
}

type chainState uint8

const (
	chainIdle  chainState = iota
	chainTaken            // by Next; Put ends it
)

func (c *Chain) reset() {
	c.Readable, c.Writable, c.at = c.Readable[:0], c.Writable[:0], c.at[:0]
	c.ReadLen, c.WriteLen = 0, 0
}

// Values of flags of descriptors (VIRTIO 1.2 sections 2.7.5, 2.8.21).
const (
	flagNext     = 1
	flagWrite    = 2
	flagIndirect = 4
	flagAvail    = 1 << 7  // of packed ones
	flagUsed     = 1 << 15 // of packed ones
)

// A descriptor is one, as it was read, once. It is struct virtq_desc or struct
// pvirtq_desc. With one field more the compiler would keep it in memory and not in
// registers, which costs a quarter of the packets (vhost/measured.md).
type descriptor struct {
	addr  uint64
	len   uint32
	flags uint16
	link  uint16 // the next one of a split queue; the buffer id of a packed one
}

func (p *parts) splitDescriptor(table []byte, i int) descriptor {
	addr, rest := memory.Load64(table, 16*i), memory.Load64(table, 16*i+8)
	return descriptor{addr: addr, len: uint32(rest), flags: uint16(rest >> 32), link: uint16(rest >> 48)}
}

// packedDescriptor reads what says that the descriptor is available first.
func (p *parts) packedDescriptor(table []byte, i int) descriptor {
	rest := memory.Load64(table, 16*i+8)
	addr := memory.Load64(table, 16*i)
	return descriptor{addr: addr, len: uint32(rest), link: uint16(rest >> 32), flags: uint16(rest >> 48)}
}

// add checks the memory that one descriptor names, and appends it to c.
func (p *parts) add(c *Chain, d descriptor) error {
	if d.flags&flagWrite == 0 && len(c.Writable) > 0 {
		return ErrOrder
	}
	for addr, n := d.addr, uint64(d.len); n > 0; {
		b, err := p.table.Slice(addr, n)
		if err != nil {
			return fmt.Errorf("%w: %#x, %d bytes", ErrAddress, d.addr, d.len)
		}
		if len(c.Readable)+len(c.Writable) >= 2*max(p.size, maxIndirect) {
			return fmt.Errorf("%w: it is in too many pieces", ErrLength)
		}
		if d.flags&flagWrite == 0 {
			c.Readable = append(c.Readable, b)
			c.ReadLen += len(b)
		} else {
			c.Writable, c.at = append(c.Writable, b), append(c.at, addr)
			c.WriteLen += len(b)
		}
		if c.ReadLen > math.MaxUint32 || c.WriteLen > math.MaxUint32 {
			return ErrLength // VIRTIO 1.2 section 2.7.5.2
		}
		addr, n = addr+uint64(len(b)), n-uint64(len(b))
	}
	return nil
}

// indirect returns the table that a descriptor names. Where its address does not
// suit, that is a copy.
func (p *parts) indirect(d descriptor) ([]byte, error) {
	most := uint32(16 * max(p.size, maxIndirect))
	switch {
	case !p.mayIndirect:
		return nil, fmt.Errorf("%w: it was not negotiated", ErrIndirect)
	case d.flags&flagNext != 0:
		return nil, fmt.Errorf("%w: another descriptor follows it", ErrIndirect)
	case d.len == 0 || d.len%16 != 0 || d.len > most:
		return nil, fmt.Errorf("%w: %d bytes", ErrIndirect, d.len)
	}
	b, err := p.table.Slice(d.addr, uint64(d.len))
	if err != nil || len(b) != int(d.len) {
		return nil, fmt.Errorf("%w: it lies outside of the guest's memory", ErrIndirect)
	}
	if !memory.Aligned(b, 8) {
		b = append([]byte(nil), b...)
	}
	return b, nil
}

// addPacked appends all of a table of a packed queue, in which flags say only
// whether a descriptor is to be written (VIRTIO 1.2 section 2.8.7).
func (p *parts) addPacked(c *Chain, d descriptor) error {
	table, err := p.indirect(d)
	if err != nil {
		return err
	}
	for i := range len(table) / 16 {
		d := p.packedDescriptor(table, i)
		if d.flags&flagIndirect != 0 {
			return fmt.Errorf("%w: in a table", ErrIndirect)
		}
		if err := p.add(c, d); err != nil {
			return err
		}
	}
	return nil
}

// addSplit appends the chain that begins with a descriptor of a table, which may
// be the queue's own.
func (p *parts) addSplit(c *Chain, table []byte, i int, inTable bool) error {
	n := len(table) / 16
	for range n {
		d := p.splitDescriptor(table, i)
		if d.flags&flagIndirect != 0 {
			if inTable {
				return fmt.Errorf("%w: in a table", ErrIndirect)
			}
			next, err := p.indirect(d)
			if err != nil {
				return err
			}
			return p.addSplit(c, next, 0, true)
		}
		if err := p.add(c, d); err != nil {
			return err
		}
		if d.flags&flagNext == 0 {
			return nil
		}
		if i = int(d.link); i >= n {
			return ErrNext
		}
	}
	return ErrLoop
}

// markWritten notes in the log the first n bytes that were written of c.
func (p *parts) markWritten(c *Chain, n uint32) {
	if p.log == nil {
		return
	}
	left := int(n)
	for i, b := range c.Writable {
		if left <= 0 {
			return
		}
		p.log.Mark(c.at[i], uint64(min(len(b), left)))
		left -= len(b)
	}
}
