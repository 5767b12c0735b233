package agent

import (
	"fmt"
	"os"
	"syscall"
)

// RaiseLimit has this process open n files and some more.
func RaiseLimit(n int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	const more = 1000
	if limit.Cur >= uint64(n)+more {
		return nil
	}
	limit.Cur = uint64(n) + more
	limit.Max = max(limit.Max, limit.Cur)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("%d open files (see sysctl fs.nr_open, ulimit -n): %w", limit.Cur, err)
	}
	return nil
}
