package agent

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// onCPU calls fn on a thread that runs on one CPU only, as a process does that
// fn starts; -1 means on any.
func onCPU(cpu int, fn func() error) error {
	if cpu < 0 {
		return fn()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return os.NewSyscallError("sched_getaffinity", err)
	}
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return os.NewSyscallError("sched_setaffinity", err)
	}
	defer unix.SchedSetaffinity(0, &before) // it was so before
	return fn()
}
