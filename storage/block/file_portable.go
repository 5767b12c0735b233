//go:build !linux

package block

import (
	"fmt"
	"io"
	"os"
)

// fileSystem is what a File needs besides.
type fileSystem struct{}

func openFile(name string, flags int, c FileConfig) (*os.File, error) {
	if c.Direct {
		return nil, fmt.Errorf("block: %s: direct I/O: %w", name, ErrNotSupported)
	}
	return os.OpenFile(name, flags, 0o644)
}

func specialSize(f *os.File) (int64, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil && size == 0 {
		err = fmt.Errorf("the system does not tell it: %w", ErrNotSupported)
	}
	return size, err
}

func (d *File) open() error {
	d.datasync = d.f.Sync
	return nil
}
