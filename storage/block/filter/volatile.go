package filter

import (
	"context"
	"math/rand/v2"
	"slices"

	"github.com/seed-012105e5/gonet/storage/block"
)

const (
	sectorSize = 512
	mostUndone = 256 << 20 // bytes that a Volatile keeps of writes since the last Sync
	undoPiece  = 1 << 20   // of one write
)

// Volatile is a device whose writes a power cut may undo until they are made
// durable, by Sync or by FUA, as those of a drive with a cache. Cut is the power
// cut: of the writes since, any subset is dropped or torn at 512 bytes. It is for
// tests of whatever must not lose what it has acknowledged as durable.
//
// Writes go to the device behind at once, and Volatile keeps what was there before.
// So the device behind is what the disk is after the cut, and can be opened anew.
// Writes are taken one at a time; of more than 256 MB without a Sync the oldest are
// made durable, as a drive does that writes back its cache.
type Volatile struct {
	*block.Disk
	state chan *volatileState // of capacity 1: whoever has received it owns it
}

type volatileState struct {
	undo  []undo
	bytes int
	off   bool // the power is
	cutAt int  // how many writes from now the power goes, or 0
	seed  uint64
}

// An undo is one write that is not durable: whole sectors, before and after.
type undo struct {
	off           int64
	before, after []byte
	durable       []bool // by sector: a later write with FUA has replaced it
}

// NewVolatile puts a volatile cache before the device, whose content is durable.
func NewVolatile(dev block.Device) (*Volatile, error) {
	d, err := block.NewDisk(dev)
	if err != nil {
		return nil, err
	}
	v := &Volatile{d, make(chan *volatileState, 1)}
	v.state <- &volatileState{}
	return v, nil
}

// Info says that what Volatile must see as writes is not done by the device.
func (v *Volatile) Info() block.Info {
	i := v.Disk.Info()
	i.FUA, i.Resize, i.BlockSizes = true, false, block.BlockSizes{}
	return i
}

// Pending is how many pieces of writes a cut may undo now.
func (v *Volatile) Pending() int {
	s := <-v.state
	defer v.give(s)
	return len(s.undo)
}

func (v *Volatile) give(s *volatileState) { v.state <- s }

// take waits for the state, and fails when the power is off.
func (v *Volatile) take(ctx context.Context) (*volatileState, error) {
	select {
	case s := <-v.state:
		if s.off {
			v.give(s)
			return nil, block.ErrClosed
		}
		return s, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ReadAt is ReadAtContext without a context.
func (v *Volatile) ReadAt(p []byte, off int64) (int, error) {
	return v.ReadAtContext(context.Background(), p, off)
}

// ReadAtContext reads what was written last, durable or not.
func (v *Volatile) ReadAtContext(ctx context.Context, p []byte, off int64) (int, error) {
	s, err := v.take(ctx)
	if err != nil {
		return 0, err
	}
	defer v.give(s)
	return v.Disk.ReadAtContext(ctx, p, off)
}

// WriteAt is WriteAtContext without a context and without FUA.
func (v *Volatile) WriteAt(p []byte, off int64) (int, error) {
	return v.WriteAtContext(context.Background(), p, off, false)
}

// WriteAtFUA is WriteAtContext without a context and with FUA.
func (v *Volatile) WriteAtFUA(p []byte, off int64) (int, error) {
	return v.WriteAtContext(context.Background(), p, off, true)
}

// WriteAtContext writes p. With fua it is durable, otherwise after the next Sync.
func (v *Volatile) WriteAtContext(ctx context.Context, p []byte, off int64, fua bool) (int, error) {
	n := 0
	for {
		part := p[n:min(len(p), n+undoPiece)]
		err := v.change(ctx, off+int64(n), int64(len(part)), fua, func() error {
			_, err := v.Disk.WriteAtContext(ctx, part, off+int64(n), fua)
			return err
		})
		if err != nil {
			return n, err
		}
		if n += len(part); n == len(p) {
			return n, nil
		}
	}
}

// Trim is TrimContext without a context.
func (v *Volatile) Trim(off, length int64) error {
	return v.TrimContext(context.Background(), off, length)
}

// TrimContext is a write, which a cut may undo.
func (v *Volatile) TrimContext(ctx context.Context, off, length int64) error {
	return v.inPieces(ctx, off, length, false, func(off, length int64) error {
		return v.Disk.TrimContext(ctx, off, length)
	})
}

// WriteZeroes is WriteZeroesContext without a context.
func (v *Volatile) WriteZeroes(off, length int64, flags block.ZeroFlags) error {
	return v.WriteZeroesContext(context.Background(), off, length, flags)
}

// WriteZeroesContext is a write, which a cut may undo unless it is made with FUA.
func (v *Volatile) WriteZeroesContext(ctx context.Context, off, length int64, flags block.ZeroFlags) error {
	return v.inPieces(ctx, off, length, flags&block.ZeroFUA != 0, func(off, length int64) error {
		return v.Disk.WriteZeroesContext(ctx, off, length, flags)
	})
}

// inPieces is change for ranges that may be long.
func (v *Volatile) inPieces(ctx context.Context, off, length int64, fua bool, f func(off, length int64) error) error {
	if length < 0 {
		return block.ErrRange
	}
	for {
		n := min(length, undoPiece)
		if err := v.change(ctx, off, n, fua, func() error { return f(off, n) }); err != nil {
			return err
		}
		if off, length = off+n, length-n; length == 0 {
			return nil
		}
	}
}

// change makes a write by f, and keeps what was there before.
func (v *Volatile) change(ctx context.Context, off, length int64, fua bool, f func() error) error {
	s, err := v.take(ctx)
	if err != nil {
		return err
	}
	defer v.give(s)
	size, err := v.Disk.Size()
	if err != nil || off < 0 || length == 0 || length > size || off > size-length {
		return f() // which fails
	}
	lo := off &^ (sectorSize - 1)
	hi := min(size, (off+length+sectorSize-1)&^(sectorSize-1))
	u := undo{off: lo, before: make([]byte, hi-lo), after: make([]byte, hi-lo), durable: make([]bool, (hi-lo+sectorSize-1)/sectorSize)}
	if _, err := v.Disk.ReadAt(u.before, lo); err != nil {
		return err
	}
	// Whatever f did before it failed may be there after a cut.
	err = f()
	if _, err := v.Disk.ReadAt(u.after, lo); err != nil {
		return err
	}
	if fua && err == nil {
		s.settle(lo, hi)
	} else {
		s.undo = append(s.undo, u)
		s.bytes += len(u.before)
	}
	// Without the oldest, those after it fall back to what they found, which is what
	// the oldest wrote.
	for ; s.bytes > mostUndone; s.undo = s.undo[1:] {
		s.bytes -= len(s.undo[0].before)
	}
	if s.cutAt > 0 {
		if s.cutAt--; s.cutAt == 0 {
			if err := v.cut(s); err != nil {
				return err
			}
			return block.ErrClosed
		}
	}
	return err
}

// settle notes that the range is durable as it is now.
func (s *volatileState) settle(lo, hi int64) {
	for _, u := range s.undo {
		for i := range u.durable {
			if at := u.off + int64(i)*sectorSize; lo <= at && at < hi {
				u.durable[i] = true
			}
		}
	}
}

// Sync is SyncContext without a context.
func (v *Volatile) Sync() error { return v.SyncContext(context.Background()) }

// SyncContext makes all writes durable.
func (v *Volatile) SyncContext(ctx context.Context) error {
	s, err := v.take(ctx)
	if err != nil {
		return err
	}
	defer v.give(s)
	if err := v.Disk.SyncContext(ctx); err != nil {
		return err
	}
	s.undo, s.bytes = nil, 0
	return nil
}

// Extents is ExtentsContext without a context.
func (v *Volatile) Extents(off, length int64, yield func(block.Extent) bool) error {
	return v.ExtentsContext(context.Background(), off, length, yield)
}

// ExtentsContext tells the extents as they are now, durable or not.
func (v *Volatile) ExtentsContext(ctx context.Context, off, length int64, yield func(block.Extent) bool) error {
	s, err := v.take(ctx)
	if err != nil {
		return err
	}
	v.give(s)
	return v.Disk.ExtentsContext(ctx, off, length, yield)
}

// Resize is refused.
func (v *Volatile) Resize(int64) error { return block.ErrNotSupported }

// Cut turns the power off: of the writes that are not durable, each is kept, lost
// or torn, as the seed decides. All calls fail with ErrClosed from then on; the
// device behind has what is left.
func (v *Volatile) Cut(seed uint64) error {
	s := <-v.state
	defer v.give(s)
	if s.off {
		return nil
	}
	s.seed = seed
	return v.cut(s)
}

// CutAfter has Cut happen after the next n writes, the last of which fails.
func (v *Volatile) CutAfter(n int, seed uint64) {
	s := <-v.state
	defer v.give(s)
	s.cutAt, s.seed = n, seed
}

// cut brings the device to what it is after the cut.
func (v *Volatile) cut(s *volatileState) error {
	s.off = true
	for _, u := range slices.Backward(s.undo) {
		if err := v.put(u, u.before, func(int) bool { return true }); err != nil {
			return err
		}
	}
	r := rand.New(rand.NewPCG(s.seed, 0))
	for _, u := range s.undo {
		kind := r.IntN(3)
		if kind == 0 {
			continue // lost
		}
		if err := v.put(u, u.after, func(int) bool { return kind == 1 || r.IntN(2) == 0 }); err != nil {
			return err
		}
	}
	s.undo = nil
	return v.Disk.Sync()
}

// put writes those sectors of p, which is before or after of u, that are not
// durable and that keep chooses. Runs of them are one write.
func (v *Volatile) put(u undo, p []byte, keep func(i int) bool) error {
	begin := -1
	for i := range len(u.durable) + 1 {
		if i < len(u.durable) && keep(i) && !u.durable[i] {
			if begin < 0 {
				begin = i
			}
			continue
		}
		if begin < 0 {
			continue
		}
		from := begin * sectorSize
		if _, err := v.Disk.WriteAt(p[from:min(len(p), i*sectorSize)], u.off+int64(from)); err != nil {
			return err
		}
		begin = -1
	}
	return nil
}
