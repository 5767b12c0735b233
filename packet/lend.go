package packet

import "sync/atomic"

// A Buffer whose text must outlive its way to the network, because it may have
// to be sent again, is lent: whoever it is sent to holds it as any other, and
// its last holder's Release gives it back to the lender. Until then the lender
// reads its own text, and touches nothing else.

// States of a Buffer.
const (
	owned uint32 = iota // by one holder, as most are
	lent                // by the lender, and by a holder who has borrowed it
	left                // one of the two has released it
)

// Lend makes the first n bytes behind the headroom a packet that may be sent,
// while the caller keeps them to read and must call Release besides. The marks
// are those of a new Buffer. The caller must be the only holder: see Home.
func (b *Buffer) Lend(n int) {
	b.check.alive()
	mem, chk := b.mem, b.check
	*b = Buffer{mem: mem, check: chk, network: Headroom, front: Headroom, end: Headroom + n}
	atomic.StoreUint32(&b.holders, lent)
}

// Home says whether the caller is the only holder: a Buffer that it has lent was
// released by the other holder, or was never lent.
func (b *Buffer) Home() bool { return atomic.LoadUint32(&b.holders) != lent }

// Lent says whether there is another holder, who reads the text as well, so that
// it must not be changed.
func (b *Buffer) Lent() bool { return !b.Home() }

// Own returns a packet whose text the holder may change: b itself, or a clone
// in place of one that is lent.
func (b *Buffer) Own() *Buffer {
	if !b.Lent() {
		return b
	}
	defer b.Release()
	return b.Clone()
}

// leave ends the holding of one of two, and says whether the other goes on.
func (b *Buffer) leave() bool {
	return atomic.LoadUint32(&b.holders) != owned && atomic.CompareAndSwapUint32(&b.holders, lent, left)
}
