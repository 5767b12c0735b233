package nbd

import (
	"errors"
	"fmt"
	"syscall"
)

// An Errno is an error as replies carry it: the numbers of the specification,
// which are those of Linux whatever system the ends run on. By errors.Is it is
// also the errno of the system that has its name.
type Errno uint32

const (
	EPERM     Errno = 1
	EIO       Errno = 5
	ENOMEM    Errno = 12
	EINVAL    Errno = 22
	ENOSPC    Errno = 28
	EOVERFLOW Errno = 75
	ENOTSUP   Errno = 95
	ESHUTDOWN Errno = 108
)

// errnos joins the numbers of the wire with the system's, the first of a number
// being its own.
var errnos = [...]struct {
	wire Errno
	sys  syscall.Errno
	text string
}{
	{EPERM, syscall.EPERM, "operation not permitted"},
	{EPERM, syscall.EROFS, ""},
	{EPERM, syscall.EACCES, ""},
	{ENOMEM, syscall.ENOMEM, "cannot allocate memory"},
	{EINVAL, syscall.EINVAL, "invalid argument"},
	{ENOSPC, syscall.ENOSPC, "no space left on device"},
	{ENOSPC, syscall.EFBIG, ""},
	{ENOSPC, syscall.EDQUOT, ""},
	{EOVERFLOW, syscall.EOVERFLOW, "value too large"},
	{ENOTSUP, syscall.EOPNOTSUPP, "operation not supported"},
	{ENOTSUP, syscall.ENOTSUP, ""},
	{ESHUTDOWN, syscall.ESHUTDOWN, "server is shutting down"},
	{EIO, syscall.EIO, "input/output error"},
}

func (e Errno) Error() string {
	for _, n := range errnos {
		if n.wire == e && n.text != "" {
			return "nbd: " + n.text
		}
	}
	return fmt.Sprintf("nbd: error %d", uint32(e))
}

// Is says whether target is the system's errno of the same name.
func (e Errno) Is(target error) bool {
	sys, ok := target.(syscall.Errno)
	if !ok {
		return false
	}
	for _, n := range errnos {
		if n.wire == e && n.text != "" {
			return n.sys == sys
		}
	}
	return false
}

// errnoOf is the number that tells err to a client: its own where it has one,
// and otherwise EIO. EDQUOT and EFBIG become ENOSPC (specification, Error
// values).
func errnoOf(err error) Errno {
	if err == nil {
		return 0
	}
	e, _ := errors.AsType[Errno](err)
	for _, n := range errnos {
		if n.wire == e || errors.Is(err, n.sys) {
			return n.wire
		}
	}
	return EIO
}
