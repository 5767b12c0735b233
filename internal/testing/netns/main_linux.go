package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inside marks the process that Main has started: "user" in a user namespace,
// "root" in a mount namespace only.
const inside = "GONET_NETNS_INSIDE"

// Main runs the tests of a package, and exits. Call it from TestMain.
//
// Tests of an ordinary user run in a second process, the same program again,
// where the user is root of a user namespace, and may make network namespaces
// in it. So do tests of root where /dev/net/tun is missing: in a mount
// namespace that has one. Where the system forbids that, the tests run as they
// are, and those that ask for a namespace skip.
func Main(m *testing.M) {
	switch os.Getenv(inside) {
	case "":
		if as, attr := attributes(); attr != nil {
			if code, err := again(as, attr); err == nil {
				os.Exit(code)
			}
		}
	case "root":
		_ = MakeTun() // NeedTun tells the tests whether there is one
	}
	os.Exit(m.Run())
}

// attributes says how the tests must be run again; nil: they need not.
func attributes() (as string, attr *syscall.SysProcAttr) {
	if os.Geteuid() == 0 {
		if errors.Is(tun(), fs.ErrNotExist) {
			return "root", &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		}
		return "", nil
	}
	return "user", &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
}

// again runs this program a second time, and returns its exit code. An error
// means that it did not start.
func again(as string, attr *syscall.SysProcAttr) (code int, err error) {
	runtime.LockOSThread() // Pdeathsig is sent when the thread that forked ends
	defer runtime.UnlockOSThread()
	attr.Pdeathsig = syscall.SIGKILL
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), inside+"="+as)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	signal.Ignore(os.Interrupt, syscall.SIGQUIT) // a terminal sends them to both
	_ = cmd.Wait()                               // the exit code says it all
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		return code, nil
	}
	return 2, nil // ended by a signal
}

// AsUser says whether Main runs the tests for an ordinary user, who is root in
// a user namespace only.
func AsUser() bool { return os.Getenv(inside) == "user" }

// Test returns a namespace that lives as long as the test. Where there is
// none to be had it skips the test, or fails it when the environment has
// CI=true.
func Test(t testing.TB) *NS {
	t.Helper()
	ns, err := New()
	if err != nil {
		unable(t, err, "run the tests as root, or allow user namespaces: sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000 kernel.apparmor_restrict_unprivileged_userns=0, as far as they exist")
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}

// Need skips the test where there can be no namespace with a tap in it, or fails it
// when the environment has CI=true. A table of tests calls it before its cases:
// else the cases would be skipped, and the table would pass.
func Need(t testing.TB) {
	t.Helper()
	Test(t)
	NeedTun(t)
}

// NeedTun skips the test where /dev/net/tun cannot be opened, or fails it
// when the environment has CI=true.
func NeedTun(t testing.TB) {
	t.Helper()
	if err := tun(); err != nil {
		unable(t, err, "sudo modprobe tun; sudo chmod 666 /dev/net/tun; or run the tests as root")
	}
}

func unable(t testing.TB, err error, advice string) {
	t.Helper()
	report := t.Skipf
	if os.Getenv("CI") == "true" {
		report = t.Fatalf
	}
	report("SKIPPED, NOT TESTED: %v; what to do: %s", err, advice)
}

func tun() error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
	}
	return unix.Close(fd)
}

// MakeTun puts a /dev/net/tun that everybody may open in place of the one
// that is there. The caller must be root, in a mount namespace of its own
// (syscall.SysProcAttr.Unshareflags CLONE_NEWNS makes one).
func MakeTun() error {
	if err := os.MkdirAll("/dev/net", 0o755); err != nil {
		return err
	}
	if err := unix.Mount("gonet", "/dev/net", "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("netns: mount a tmpfs on /dev/net: %w", err)
	}
	const node = "/dev/net/tun"
	if err := unix.Mknod(node, unix.S_IFCHR|0o666, int(unix.Mkdev(10, 200))); err != nil { // Linux's devices.txt
		return fmt.Errorf("netns: mknod %s: %w", node, err)
	}
	return os.Chmod(node, 0o666) // whatever the umask
}
