package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/storage/nbd"
)

// programEnv has the test run itself as nbd-serve: "root" in a mount namespace becomes
// "nobody", a user without rights.
const programEnv = "GONET_NBD_SERVE_PROGRAM"

func TestMain(m *testing.M) {
	switch os.Getenv(programEnv) {
	case "root":
		println(becomeNobody().Error())
		os.Exit(1)
	case "nobody":
		main()
	}
	netns.Main(m)
}

// becomeNobody runs the program again as a user who may open /dev/net/tun, and no more.
// It returns only when it fails.
func becomeNobody() error {
	err := errors.Join(netns.MakeTun(), syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534))
	if err != nil {
		return err
	}
	os.Setenv(programEnv, "nobody")
	return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
}

// TestRootless serves as an ordinary user, over a stack of the program's own, and is
// used from outside of its private network.
func TestRootless(t *testing.T) {
	ns := netns.Test(t)
	netns.NeedTun(t)
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-rootless", "-listen", "127.0.0.1:10809", "-stats", "-export", "m=memory:1M")
	cmd.Env = append(os.Environ(), programEnv+"=nobody")
	if !netns.AsUser() { // otherwise it is that of an ordinary user already, though root by name
		cmd.Env = append(os.Environ(), programEnv+"=root")
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	}
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(stdout)
	uri := ""
	for !strings.HasPrefix(uri, "nbd://") {
		if uri, err = out.ReadString('\n'); err != nil {
			t.Fatalf("%v, %v", err, cmd.Wait())
		}
	}
	uri = strings.Fields(uri)[0]
	d := nbd.Dialer{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return ns.Dial(ctx, network, address)
	}}
	c, err := d.Dial(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	text, got := bytes.Repeat([]byte("over the stack"), 1000), make([]byte, 14000)
	if _, err := c.WriteAt(text, 1000); err != nil {
		t.Error(err)
	}
	if _, err := c.ReadAt(got, 1000); err != nil || !bytes.Equal(got, text) {
		t.Errorf("read other bytes than were written, %v", err)
	}
	c.Close()
	cmd.Process.Signal(os.Interrupt)
	rest, _ := io.ReadAll(out)
	if uri != "nbd://127.0.0.1:10809/m" || !strings.Contains(string(rest), "Requests.WRITE                   1") {
		t.Errorf("%s; printed at the end:\n%s", uri, rest)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
