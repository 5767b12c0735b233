package memory

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Guard calls f, which may touch the memory of t, and returns ErrFault if it
// touched some that has nothing behind it any more: the front end has truncated
// the file. What f had done until then stays done. Any other panic goes on.
//
// The kernel raises SIGBUS for such an access, in the thread that made it. The
// runtime ends the process unless the goroutine has asked for a panic
// (debug.SetPanicOnFault), which holds for that goroutine only: code that f
// starts elsewhere needs a guard of its own. System calls that read or write
// such memory fail with EFAULT and need none.
func (t *Table) Guard(f func()) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			if err = t.fault(r); err == nil {
				panic(r)
			}
		}
	}()
	f()
	return nil
}

// fault makes an error of a panic at an address in the memory of t, or returns
// nil.
func (t *Table) fault(r any) error {
	e, ok := r.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok {
		return nil
	}
	for _, m := range t.guest {
		if at, ok := offsetOf(m.mem, e.Addr()); ok {
			return fmt.Errorf("%w: at %#x", ErrFault, m.Guest+uint64(at))
		}
	}
	return nil
}
