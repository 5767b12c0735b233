// Package programtest has the tests of a program run it as a process of its own, in a
// network namespace and as an ordinary user.
//
//	func TestMain(m *testing.M) { programtest.Main(m, main) }
package programtest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/seed-012105e5/gonet/internal/testing/netns"
)

// env has the test run itself as the program: "root" in a mount namespace of its own
// becomes "program" as a user without rights.
const env = "GONET_TEST_PROGRAM"

// Main runs the tests of a package as netns.Main does, and exits. In a process that Command
// has made it is the program.
func Main(m *testing.M, main func()) {
	switch os.Getenv(env) {
	case "root":
		println(becomeNobody().Error())
		os.Exit(1)
	case "program":
		main()
		os.Exit(0)
	}
	netns.Main(m)
}

// becomeNobody runs the program again as a user who may open /dev/net/tun, and no more.
// It returns only when it fails.
func becomeNobody() error {
	err := errors.Join(netns.MakeTun(), syscall.Setgroups(nil), syscall.Setgid(Nobody), syscall.Setuid(Nobody))
	if err != nil {
		return err
	}
	os.Setenv(env, "program")
	return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
}

// Nobody is the user that AsUser makes of root, and its group.
const Nobody = 65534

// Command is the program with arguments. Its errors go to those of the test.
func Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), env+"=program")
	cmd.Stderr = os.Stderr
	return cmd
}

// AsUser has a command run as an ordinary user, who has no files; what it is to write to
// must be Nobody's, or everybody's.
func AsUser(cmd *exec.Cmd) {
	if netns.AsUser() { // it is that of an ordinary user already, though root by name
		return
	}
	cmd.Env = append(cmd.Env, env+"=root")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
}
