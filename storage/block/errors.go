package block

import (
	"fmt"
	"syscall"
)

// Errors of devices. Each is, by errors.Is, also the errno that a kernel would
// give, and servers translate by that: EPERM, EIO, ENOMEM, EINVAL, ENOSPC,
// EOVERFLOW, EOPNOTSUPP, ESHUTDOWN. What is none of these is EIO.
var (
	ErrReadOnly     = fmt.Errorf("block: the device is read-only: %w", syscall.EPERM)
	ErrRange        = fmt.Errorf("block: beyond the end of the device: %w", syscall.EINVAL)
	ErrAlignment    = fmt.Errorf("block: not aligned to the block size: %w", syscall.EINVAL)
	ErrNoSpace      = fmt.Errorf("block: no space left: %w", syscall.ENOSPC)
	ErrNotSupported = fmt.Errorf("block: the device cannot do this: %w", syscall.EOPNOTSUPP)
	ErrInUse        = fmt.Errorf("block: another program uses it: %w", syscall.EBUSY)
	ErrClosed       = fmt.Errorf("block: the device is closed: %w", syscall.ESHUTDOWN)
)

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
