package rootless

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/internal/netlink"
	"github.com/seed-012105e5/gonet/tap"
)

// insideEnv marks the second process.
const insideEnv = "GONET_ROOTLESS_INSIDE"

// firstFD is the first descriptor that exec.Cmd.ExtraFiles become.
const firstFD = 3

// Run starts this program a second time, in a private network, and stays until
// it has ended: inside is false then, and there is nothing more to do. In the
// second process it returns at once: inside is true, the connections of the
// forwards come in, and what follows runs in the private network. So a program
// calls it before it does anything else:
//
//	inside, err := rootless.Run(ctx, forwards)
//	if err != nil {
//		log.Fatal(err)
//	}
//	if !inside {
//		return
//	}
//
// When ctx is done the second process gets an interrupt (SIGINT), and is
// killed when it has not ended after 5 seconds; it is killed too when the
// first one dies. Ctrl-C reaches the first one only, so ctx must come from
// signal.NotifyContext for an orderly end.
//
// An error says what to do: where the system forbids user namespaces, where
// there is no /dev/net/tun, where an address cannot be listened on. When the
// second process has failed by itself the error is an *exec.ExitError.
func Run(ctx context.Context, forwards []Forward) (inside bool, err error) {
	if os.Getenv(insideEnv) != "" {
		return true, enter(ctx, forwards)
	}
	return false, outside(ctx, forwards)
}

// outside is Run in the first process.
func outside(ctx context.Context, forwards []Forward) error {
	if err := errors.Join(ctx.Err(), tap.Available()); err != nil {
		return err
	}
	files, err := listen(forwards)
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if err != nil {
		return err
	}
	cmd := again(ctx)
	cmd.ExtraFiles = files

	runtime.LockOSThread() // Pdeathsig comes when the thread that forked ends
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return explain(err, readSysctl)
	}
	err = cmd.Wait()
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil // it has ended in order, because it was told to
	}
	return err
}

// again is this program, to be run with the same arguments as root of a user
// namespace, which the kernel takes for the user outside.
func again(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
		Setpgid:     true, // a terminal's Ctrl-C is for the first process, which tells the second once
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// listen opens the outer ends of the forwards, which the second process
// inherits: a socket stays in the network where it was made. It returns what
// it has opened on error too.
func listen(forwards []Forward) (files []*os.File, err error) {
	for _, f := range forwards {
		var config net.ListenConfig
		config.SetMultipathTCP(false)
		l, err := config.Listen(context.Background(), "tcp", f.Listen)
		if err != nil {
			return files, fmt.Errorf("rootless: %w (choose another address)", err)
		}
		file, err := l.(*net.TCPListener).File()
		l.Close() // file is a descriptor of its own
		if err != nil {
			return files, fmt.Errorf("rootless: %s: %w", f.Listen, err)
		}
		files = append(files, file)
	}
	return files, nil
}

// enter is Run in the second process.
func enter(ctx context.Context, forwards []Forward) error {
	os.Unsetenv(insideEnv) // programs that this one starts are not it
	if err := loopbackUp(); err != nil {
		return explain(err, readSysctl)
	}
	for i, f := range forwards {
		file := os.NewFile(uintptr(firstFD+i), f.Listen)
		l, err := net.FileListener(file)
		file.Close()
		if err != nil {
			return fmt.Errorf("rootless: the listener for %s has not come through: %w", f.Listen, err)
		}
		go forward(ctx, l, f.To)
	}
	return nil
}

func loopbackUp() error {
	c, err := netlink.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		return err
	}
	return c.SetUp(lo.Index)
}
