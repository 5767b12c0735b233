// Package block says what a disk is: [Device], four methods that anything can
// have that is read and written at an offset, and the optional powers that some
// have besides ([Trimmer], [ZeroWriter], [ExtentLister] and others, found by
// type assertion). [Disk] gives every device all powers, doing by other means
// what it lacks, so that a server needs no special cases.
//
// Offsets and lengths are bytes. A range lies in a device when 0 <= off,
// 0 <= length and off+length <= Size; calls with any other range change nothing
// and return an error that is [ErrRange]; [Disk] sees to it. All methods may be called at the same
// time from many goroutines; ranges that overlap and are under way at the same
// time have no order, but each block of the smallest size (BlockSizes.Minimum) is
// then either all of one write or all of another.
//
// A write is durable when a Sync that began after it has returned nil, or when it
// was made with FUA and has returned nil. Until then a power cut may undo or tear
// it. When Sync fails, all that was written since the last one that succeeded may
// be lost, and no later Sync may report it as durable without having written it
// anew.
package block

import "context"

// A Device is a disk. ReadAt and WriteAt are as io.ReaderAt and io.WriterAt: an
// error goes with any n < len(p). Size is in bytes. Sync returns when all that was
// written before is durable.
//
// The methods are those of a Backend of github.com/pojntfx/go-nbd, so one of those
// is a Device unchanged.
type Device interface {
	ReadAt(p []byte, off int64) (n int, err error)
	WriteAt(p []byte, off int64) (n int, err error)
	Size() (int64, error)
	Sync() error
}

// A Trimmer can forget data. After Trim the range reads as zeroes or as it did
// before, and takes less room if the device knows how. Ranges need no alignment;
// what does not fill whole units of the device is left as it is. ErrNotSupported
// says that nothing was done.
type Trimmer interface {
	Trim(off, length int64) error
}

// ZeroFlags say how WriteZeroes may work.
type ZeroFlags uint8

const (
	// ZeroNoHole keeps the room of the range allocated, so that later writes do
	// not fail for want of space.
	ZeroNoHole ZeroFlags = 1 << iota
	// ZeroFast fails with ErrNotSupported, at once, where writing zeroes as data
	// would be no slower.
	ZeroFast
	// ZeroFUA makes the zeroes durable before WriteZeroes returns.
	ZeroFUA
)

// A ZeroWriter can make a range read as zeroes without being sent them. The range
// is aligned as that of a write. What it cannot do it refuses with ErrNotSupported
// before it has changed anything, and [Disk] writes the zeroes as data.
type ZeroWriter interface {
	WriteZeroes(off, length int64, flags ZeroFlags) error
}

// An Extent is a range of a device of one kind. Neither flag is set where there is
// data.
type Extent struct {
	Off, Length int64
	Hole        bool // takes no room
	Zero        bool // reads as zeroes
}

// An ExtentLister knows where data is. Extents calls yield with adjacent,
// ascending, non-empty extents that cover the range exactly, until yield returns
// false. Neighbours may be of the same kind.
type ExtentLister interface {
	Extents(off, length int64, yield func(Extent) bool) error
}

// A FUAWriter can make one write durable without a Sync of all.
type FUAWriter interface {
	WriteAtFUA(p []byte, off int64) (n int, err error)
}

// A Prefetcher can bring data nearer that will be read soon. It is a hint:
// Prefetch may return before the data has come.
type Prefetcher interface {
	Prefetch(off, length int64) error
}

// A ReadOnlyDevice says whether it takes writes. A Device without the method does.
type ReadOnlyDevice interface {
	ReadOnly() bool
}

// BlockSizes are in bytes. Zero means no limit (Maximum), or 1 (the others).
type BlockSizes struct {
	Minimum   int // reads and writes are aligned to it, a power of two
	Preferred int // reads and writes aligned to it need no read before the write
	Maximum   int // the longest read or write
	Memory    int // the addresses of buffers are aligned to it, a power of two
}

// A BlockSizer cares how reads and writes are aligned. [Disk] hides it.
type BlockSizer interface {
	BlockSizes() BlockSizes
}

// A RotationalDevice says whether far seeks cost more than near ones.
type RotationalDevice interface {
	Rotational() bool
}

// A MultiWriter says whether Sync, by whichever user of the device, makes durable
// what all of them wrote, and each sees at once what others wrote. A Device
// without the method does so: only one that gives each connection a cache of its
// own would not.
type MultiWriter interface {
	MultiConn() bool
}

// A Resizer can change its size. What is added reads as zeroes.
type Resizer interface {
	Resize(size int64) error
}

// A ResizeNotifier tells when its size has changed. NotifyResize has f called with
// each new size until stop is called; f must not block and must not call the
// device.
type ResizeNotifier interface {
	NotifyResize(f func(size int64)) (stop func())
}

// A ContextDevice has calls that end early, with the error of the context. What a
// write has done until then is undefined within its range. With fua a write is
// durable when it returns nil.
type ContextDevice interface {
	ReadAtContext(ctx context.Context, p []byte, off int64) (n int, err error)
	WriteAtContext(ctx context.Context, p []byte, off int64, fua bool) (n int, err error)
	SyncContext(ctx context.Context) error
}

// A ContextTrimmer is a [Trimmer] whose calls end early.
type ContextTrimmer interface {
	TrimContext(ctx context.Context, off, length int64) error
}

// A ContextZeroWriter is a [ZeroWriter] whose calls end early.
type ContextZeroWriter interface {
	WriteZeroesContext(ctx context.Context, off, length int64, flags ZeroFlags) error
}

// A ContextExtentLister is an [ExtentLister] whose calls end early.
type ContextExtentLister interface {
	ExtentsContext(ctx context.Context, off, length int64, yield func(Extent) bool) error
}

// An InfoDevice knows better than its method set what it does by itself: a filter
// has all methods, and what they do is up to the device behind it. [NewDisk] asks
// it.
type InfoDevice interface {
	Info() Info
}

// An ImmediateDevice says whether its reads and writes never wait for anything: a
// caller that must not be held up may then make them itself. A device around
// another one that does wait, or may, must not have the method.
type ImmediateDevice interface {
	Immediate() bool
}
