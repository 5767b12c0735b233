//go:build !linux

package imagestore

import (
	"errors"
	"io/fs"
	"math"
	"os"
)

const nonBlocking = 0

// Rename looks before it renames: the store's table of uses keeps others of this process
// away meanwhile.
func (t *osTree) Rename(from, to string) error {
	if _, err := t.root.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrExist}
	}
	return t.root.Rename(from, to)
}

// SyncDir does nothing where directories cannot be synced.
func (t *osTree) SyncDir(name string) error {
	f, err := t.root.Open(name)
	if err != nil {
		return err
	}
	f.Sync()
	return f.Close()
}

func (t *osTree) Space(name string) (space, error) {
	return space{size: math.MaxInt64, free: math.MaxInt64, writable: true}, nil
}

func (f osFile) Reserve(size int64) error      { return f.Truncate(size) }
func (f osFile) Punch(off, length int64) error { return errors.ErrUnsupported }
func (f osFile) Lock(alone bool) error         { return nil }
