package block

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// FileConfig says how a file is opened. The zero value opens one that is there, for
// reading and writing, and locks it against others.
type FileConfig struct {
	ReadOnly bool
	Create   bool  // makes the file if there is none
	Size     int64 // makes the file at least so many bytes long
	Shared   bool  // does not lock the file
	Direct   bool  // goes past the page cache; Linux only

	// ClaimLater has Claim lock the file, and Unclaim give the lock up. Before that the
	// file is not locked.
	ClaimLater bool
}

// File is a device in a regular file or block special file.
//
// A File that is open for writing is locked against others that open it, and one
// that is open for reading against writers: by flock(2), and for block special files
// on Linux by O_EXCL, which keeps mounted ones out. Programs that do not ask for
// locks are not hindered.
//
// On Linux, Trim punches holes, WriteZeroes punches holes or converts the range to
// unwritten blocks, Extents asks for SEEK_DATA and SEEK_HOLE (what is allocated but
// unwritten counts as a hole), FUA is RWF_DSYNC, and Prefetch POSIX_FADV_WILLNEED.
// Where a file system lacks one of these, and elsewhere, [Disk] does it by other
// means.
//
// When fsync has failed once, the kernel takes the pages that it could not write
// for written, and a second fsync succeeds with the data lost. So a Sync or a write
// with FUA that has failed makes all later ones of this File fail too. What to do is
// to open the file anew and write again what was not durable.
type File struct {
	ResizeNotices
	f        *os.File
	size     atomic.Int64
	special  bool // a block special file
	readOnly bool
	direct   bool
	claims   bool // the lock comes and goes
	sizes    BlockSizes
	sys      fileSystem // what the operating system needs besides

	// Those that make data durable hold it for reading.
	durable  sync.RWMutex
	failed   atomic.Pointer[MediumError] // of Sync and FUA
	datasync func() error
}

// OpenFile opens the file.
func OpenFile(name string, c FileConfig) (*File, error) {
	_, err := os.Stat(name)
	isNew := errors.Is(err, fs.ErrNotExist)
	flags := os.O_RDWR
	if c.ReadOnly {
		flags = os.O_RDONLY
	} else if c.Create {
		flags |= os.O_CREATE // and not O_EXCL: a block special file is asked for that below
	}
	f, err := openFile(name, flags, c)
	if err != nil {
		return nil, err
	}
	d, err := newFile(f, c)
	if err == nil && isNew && !c.ReadOnly {
		err = d.makeNameDurable()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return d, nil
}

// NewFile makes a device of an open file, which belongs to it from then on. Create
// and Direct of the config mean nothing: it is as the file was opened.
func NewFile(f *os.File, c FileConfig) (*File, error) { return newFile(f, c) }

func newFile(f *os.File, c FileConfig) (*File, error) {
	d := &File{f: f, readOnly: c.ReadOnly, direct: c.Direct, claims: c.ClaimLater && !c.Shared}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch mode := info.Mode(); {
	case mode.IsRegular():
	case mode&os.ModeDevice != 0 && mode&os.ModeCharDevice == 0:
		d.special = true
	default:
		return nil, fmt.Errorf("block: %s is neither a regular file nor a block device: %w", f.Name(), ErrNotSupported)
	}
	if !c.Shared && !c.ClaimLater {
		if err := lockFile(f, c.ReadOnly); err != nil {
			return nil, fmt.Errorf("block: %s: %w", f.Name(), err)
		}
	}
	size, err := d.sizeNow()
	if err != nil {
		return nil, err
	}
	if size < c.Size {
		if d.special || c.ReadOnly {
			return nil, fmt.Errorf("block: %s has %d bytes, and %d are asked for: %w", f.Name(), size, c.Size, ErrNoSpace)
		}
		if err := f.Truncate(c.Size); err != nil {
			return nil, err
		}
		size = c.Size
	}
	d.size.Store(size)
	if err := d.open(); err != nil {
		return nil, fmt.Errorf("block: %s: %w", f.Name(), err)
	}
	if n := int64(max(d.sizes.Minimum, 1)); size%n != 0 {
		return nil, fmt.Errorf("block: %s has %d bytes, which is no multiple of the %d that direct I/O needs: %w", f.Name(), size, n, ErrAlignment)
	}
	return d, nil
}

// sizeNow asks for the size.
func (d *File) sizeNow() (int64, error) {
	info, err := d.f.Stat()
	if err != nil {
		return 0, err
	}
	if !d.special {
		return info.Size(), nil
	}
	size, err := specialSize(d.f)
	if err != nil {
		return 0, fmt.Errorf("block: the size of %s: %w", d.f.Name(), err)
	}
	return size, nil
}

// Claim locks a file that was opened with ClaimLater. Others may have changed its size
// meanwhile.
func (d *File) Claim() error {
	if !d.claims {
		return nil
	}
	if err := lockFile(d.f, d.readOnly); err != nil {
		return fmt.Errorf("block: %s: %w", d.f.Name(), err)
	}
	size, err := d.sizeNow()
	if err == nil && size != d.size.Swap(size) {
		d.Tell(size)
	}
	return err
}

// Unclaim gives that lock up.
func (d *File) Unclaim() error {
	if !d.claims {
		return nil
	}
	return unlockFile(d.f)
}

// makeNameDurable writes the entry of a new file in its directory.
func (d *File) makeNameDurable() error {
	if err := d.f.Sync(); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(d.f.Name()))
}

// Name is the name that the file was opened by.
func (d *File) Name() string { return d.f.Name() }

// ReadOnly says whether the file was opened for reading only.
func (d *File) ReadOnly() bool { return d.readOnly }

// BlockSizes tells what direct I/O needs.
func (d *File) BlockSizes() BlockSizes { return d.sizes }

// Info says that a block special file cannot change its size.
func (d *File) Info() Info {
	i := infoOfMethods(d)
	i.Resize = !d.special
	return i
}

// Size is the size of the file when it was opened, or that of the last Resize.
func (d *File) Size() (int64, error) { return d.size.Load(), nil }

// ReadAt reads len(p) bytes at off.
func (d *File) ReadAt(p []byte, off int64) (int, error) {
	n, err := d.f.ReadAt(p, off)
	return n, d.wrap("read", off, err)
}

// WriteAt writes p at off.
func (d *File) WriteAt(p []byte, off int64) (int, error) {
	n, err := d.f.WriteAt(p, off)
	return n, d.wrap("write", off, err)
}

// wrap says where an error was. io.EOF stays.
func (d *File) wrap(op string, off int64, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if errors.Is(err, fs.ErrClosed) || err == ErrClosed {
		return ErrClosed
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return &MediumError{op, off, err}
}

// Sync makes all that was written durable.
func (d *File) Sync() error {
	d.durable.RLock()
	var err error
	if failed := d.failed.Load(); failed != nil {
		err = failed
	} else {
		err = d.fail("sync", 0, d.datasync())
	}
	d.durable.RUnlock()
	return d.settled(err)
}

// fail notes an error of what should have made data durable. The caller holds
// durable for reading.
func (d *File) fail(op string, off int64, err error) error {
	if err == nil {
		return nil
	}
	err = d.wrap(op, off, err)
	if failure, ok := err.(*MediumError); ok {
		d.failed.CompareAndSwap(nil, failure)
	}
	return err
}

// settled is the result of a call that made data durable, if err is nil. The kernel
// tells an error of writing back to one caller only: of several at the same time,
// the others succeed. So one that has succeeded waits for those that were under way
// meanwhile, and fails if one of them has.
func (d *File) settled(err error) error {
	if err != nil {
		return err
	}
	d.durable.Lock()
	failed := d.failed.Load()
	d.durable.Unlock()
	if failed != nil {
		return failed
	}
	return nil
}

// Resize changes the size of a regular file.
func (d *File) Resize(size int64) error {
	if d.special {
		return ErrNotSupported
	}
	if size < 0 {
		return ErrRange
	}
	if size < d.size.Load() {
		d.size.Store(size)
	}
	if err := d.f.Truncate(size); err != nil {
		return d.wrap("resize", size, err)
	}
	d.size.Store(size)
	d.Tell(size)
	return nil
}

// Close closes the file and gives up the lock. It does not Sync.
func (d *File) Close() error {
	return d.wrap("close", 0, d.f.Close())
}
