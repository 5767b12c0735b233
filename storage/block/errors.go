package block

import (
	"fmt"
	"syscall"
)

// Errors of devices. Each is, by errors.Is, also the errno that a kernel would
// give, and servers translate by that: EPERM, EIO, ENOMEM, EINVAL, ENOSPC,
// EOVERFLOW, EOPNOTSUPP, ESHUTDOWN. What is none of these is EIO.
var (
	ErrReadOnly     error = &deviceError{"the device is read-only", syscall.EPERM}
	ErrRange        error = &deviceError{"beyond the end of the device", syscall.EINVAL}
	ErrAlignment    error = &deviceError{"not aligned to the block size", syscall.EINVAL}
	ErrNoSpace      error = &deviceError{"no space left", syscall.ENOSPC}
	ErrNotSupported error = &deviceError{"the device cannot do this", syscall.EOPNOTSUPP}
	ErrInUse        error = &deviceError{"another program uses it", syscall.EBUSY}
	ErrWouldWait    error = &deviceError{"it is not there at once", syscall.EAGAIN}
	ErrClosed       error = &deviceError{"the device is closed", syscall.ESHUTDOWN}
)

// A deviceError is an errno with a sentence for people.
type deviceError struct {
	text  string
	errno syscall.Errno
}

func (e *deviceError) Error() string { return "block: " + e.text }
func (e *deviceError) Unwrap() error { return e.errno }

// A MediumError says at which offset a device failed.
type MediumError struct {
	Op  string // "read", "write", "sync", "trim", "zero", ...
	Off int64
	Err error
}

func (e *MediumError) Error() string {
	return fmt.Sprintf("block: %s at byte %d: %v", e.Op, e.Off, e.Err)
}

func (e *MediumError) Unwrap() error { return e.Err }
