package netns

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMainAsUser runs TestVeth of this program as an ordinary user.
func TestMainAsUser(t *testing.T) {
	if os.Getenv(inside) != "" {
		return // all tests run so already
	}
	if os.Geteuid() != 0 {
		t.Fatal("an ordinary user, and Main has not run the tests again: are user namespaces forbidden?")
	}
	out, err := asNobody(t, nil, "-test.run=^TestVeth$", "-test.v")
	if err != nil || !strings.Contains(out, "--- PASS: TestVeth") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestMainFails shows that the exit code of the second process is not lost,
// and that a test which cannot have what it needs fails in CI, and only there.
func TestMainFails(t *testing.T) {
	if os.Getenv(inside) != "" {
		return
	}
	for _, ci := range []string{"", "true"} {
		out, err := asNobody(t, []string{"GONET_NETNS_UNABLE=1", "CI=" + ci}, "-test.run=^TestUnable$", "-test.v")
		if failed := err != nil; failed != (ci == "true") {
			t.Errorf("with CI=%q: %v\n%s", ci, err, out)
		}
		if !strings.Contains(out, "SKIPPED, NOT TESTED: file does not exist; what to do: nothing") {
			t.Errorf("with CI=%q the reason is missing:\n%s", ci, out)
		}
	}
}

func TestUnable(t *testing.T) {
	if os.Getenv("GONET_NETNS_UNABLE") != "" {
		unable(t, fs.ErrNotExist, "nothing")
	}
}

// asNobody runs this program as the user nobody.
func asNobody(t *testing.T, env []string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestMakeTun makes a device node in a mount namespace that has none.
func TestMakeTun(t *testing.T) {
	switch {
	case os.Getenv("GONET_NETNS_MAKETUN") != "":
		must(t, MakeTun())
		must(t, tun())
		info, err := os.Stat("/dev/net/tun")
		if err != nil || info.Mode().Perm() != 0o666 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		return
	case AsUser():
		t.Skip("mknod needs root")
	}
	before, _ := os.Stat("/dev/net/tun")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "-test.run=^TestMakeTun$", "-test.v")
	cmd.Env = append(os.Environ(), "GONET_NETNS_MAKETUN=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}
	if after, _ := os.Stat("/dev/net/tun"); before != nil && !os.SameFile(before, after) {
		t.Error("the node outside has changed")
	}
}
