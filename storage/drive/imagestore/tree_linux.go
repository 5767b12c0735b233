package imagestore

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"syscall"

	"golang.org/x/sys/unix"
)

const nonBlocking = unix.O_NONBLOCK

// Rename is renameat2 with RENAME_NOREPLACE. File systems that lack it get a look before
// the rename: there the store's table of uses keeps others of this process away.
func (t *osTree) Rename(from, to string) error {
	a, err := t.root.Open(path.Dir(from))
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := t.root.Open(path.Dir(to))
	if err != nil {
		return err
	}
	defer b.Close()
	err = unix.Renameat2(int(a.Fd()), path.Base(from), int(b.Fd()), path.Base(to), unix.RENAME_NOREPLACE)
	if err == unix.EINVAL || err == unix.ENOSYS || err == unix.EOPNOTSUPP {
		if _, err := t.root.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrExist}
		}
		return t.root.Rename(from, to)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

func (t *osTree) SyncDir(name string) error {
	f, err := t.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // some file systems have none for directories
		return err
	}
	return nil
}

func (t *osTree) Space(name string) (space, error) {
	f, err := t.root.Open(name)
	if err != nil {
		return space{}, err
	}
	defer f.Close()
	var s unix.Statfs_t
	var info unix.Stat_t
	if err := errors.Join(unix.Fstatfs(int(f.Fd()), &s), unix.Fstat(int(f.Fd()), &info)); err != nil {
		return space{}, err
	}
	return space{
		place:    place{uint64(info.Dev), mountOf(int(f.Fd()))},
		size:     int64(s.Blocks) * int64(s.Frsize),
		free:     int64(s.Bavail) * int64(s.Frsize),
		writable: s.Flags&unix.ST_RDONLY == 0 && info.Mode&0o222 != 0,
	}, nil
}

// mountOf tells mounts apart. Before Linux 5.8 it is zero.
func mountOf(fd int) uint64 {
	var x unix.Statx_t
	if unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &x) != nil || x.Mask&unix.STATX_MNT_ID == 0 {
		return 0
	}
	return x.Mnt_id
}

func (f osFile) Reserve(size int64) error {
	if size == 0 {
		return nil
	}
	err := f.control(func(fd int) error { return unix.Fallocate(fd, 0, 0, size) })
	if errors.Is(err, errors.ErrUnsupported) {
		return f.Truncate(size)
	}
	return err
}

func (f osFile) Punch(off, length int64) error {
	return f.control(func(fd int) error {
		return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, length)
	})
}

// Sync is fdatasync, which writes the size too.
func (f osFile) Sync() error { return f.control(unix.Fdatasync) }

func (f osFile) Lock(alone bool) error {
	how := unix.LOCK_SH
	if alone {
		how = unix.LOCK_EX
	}
	err := f.control(func(fd int) error { return unix.Flock(fd, how|unix.LOCK_NB) })
	if err == unix.EWOULDBLOCK {
		return ErrBusy
	}
	return err
}

// control calls f with the descriptor until no signal interrupts it.
func (f osFile) control(call func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	err = unix.EINTR
	for err == unix.EINTR {
		if e := raw.Control(func(fd uintptr) { err = call(int(fd)) }); e != nil {
			return e
		}
	}
	return err
}
