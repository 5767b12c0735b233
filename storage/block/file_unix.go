//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package block

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// flock locks the file, for reading only if shared, or fails with ErrInUse.
func flock(f *os.File, shared bool) error {
	how := unix.LOCK_EX | unix.LOCK_NB
	if shared {
		how = unix.LOCK_SH | unix.LOCK_NB
	}
	err := control(f, func(fd int) error { return unix.Flock(fd, how) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrInUse
	}
	return err
}

// unlockFile gives the lock of flock up.
func unlockFile(f *os.File) error {
	return control(f, func(fd int) error { return unix.Flock(fd, unix.LOCK_UN) })
}

// control calls f with the descriptor of the file, until it is not interrupted.
func control(file *os.File, f func(fd int) error) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = conn.Control(func(fd uintptr) {
		for result = f(int(fd)); result == unix.EINTR; {
			result = f(int(fd))
		}
	})
	if err != nil {
		return err
	}
	return result
}

func syncDirectory(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
