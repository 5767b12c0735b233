package netns

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/netlink"
)

// An NS is a network namespace. It lives until it is closed and the last
// process and socket in it are gone.
type NS struct {
	file *os.File
}

// New makes a namespace in which lo is up.
func New() (*NS, error) {
	ns := new(NS)
	err := away(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		var err error
		ns.file, err = os.Open(current)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("netns: no new network namespace: %w", err)
	}
	if err := ns.SetUp("lo"); err != nil {
		return nil, errors.Join(fmt.Errorf("netns: lo: %w", err), ns.Close())
	}
	return ns, nil
}

// current is the network namespace of the calling thread.
const current = "/proc/thread-self/ns/net"

// Close gives up the namespace.
func (ns *NS) Close() error { return ns.file.Close() }

// Do calls fn on a thread that is in the namespace, in the goroutine of the
// caller. See the package comment for what fn may make. Calls may nest.
func (ns *NS) Do(fn func() error) error {
	return away(func() error {
		if err := unix.Setns(int(ns.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("setns", err)
		}
		return fn()
	})
}

// away locks the thread, calls fn, which may change the thread's network
// namespace, and puts the thread back where it was.
func away(fn func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open(current)
	if err != nil {
		return err
	}
	defer home.Close()
	goHome := func() error { return os.NewSyscallError("setns", unix.Setns(int(home.Fd()), unix.CLONE_NEWNET)) }
	if err := goHome(); err != nil { // who has no right to come back must not leave
		return err
	}
	defer func() { // also when fn panics, or ends its test
		if err := goHome(); err != nil {
			panic(fmt.Sprintf("netns: no way back: %v", err)) // the thread must not go on in the wrong place
		}
	}()
	return fn()
}

// host calls fn with the index of an interface and a netlink socket, both of
// the namespace.
func (ns *NS) host(name string, fn func(c *netlink.Conn, index int) error) error {
	return ns.Do(func() error {
		c, err := netlink.Dial()
		if err != nil {
			return err
		}
		defer c.Close()
		index, err := indexOf(name)
		if err != nil {
			return err
		}
		return fn(c, index)
	})
}
