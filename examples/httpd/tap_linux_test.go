package main

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-012105e5/gonet/examples/internal/testing/exampletest"
	"github.com/seed-012105e5/gonet/internal/testing/netns"
)

// programEnv has the test run itself as httpd: "root" in a mount namespace
// becomes "nobody", a user without rights.
const programEnv = "GONET_HTTPD_PROGRAM"

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

// becomeNobody runs the program again as a user who may open /dev/net/tun,
// and no more. It returns only when it fails.
func becomeNobody() error {
	if err := netns.MakeTun(); err != nil {
		return err
	}
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
		return err
	}
	os.Setenv(programEnv, "nobody")
	return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
}

// TestTap serves the page to the kernel.
func TestTap(t *testing.T) {
	for _, args := range [][]string{nil, {"-tls"}, {"-quiet=false", "-forward", "127.0.0.1:8080", "-dir", "."}} {
		p := exampletest.Start(t, nil, run, args...)
		text := p.Await("serving on ")
		scheme := "http"
		if strings.Contains(text, "https://") {
			scheme = "https"
		}
		client := p.Client()
		if status, body := exampletest.Get(t, client, scheme+"://10.0.0.2/"); status != http.StatusOK || len(body) == 0 {
			t.Errorf("%q: status %d, %d bytes", args, status, len(body))
		}
		client.CloseIdleConnections()
		if err := p.Interrupt(); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// TestAddressTaken asks for an address that the kernel has.
func TestAddressTaken(t *testing.T) {
	p := exampletest.Start(t, nil, run, "-addr", "127.0.0.1/24", "-host", "127.0.0.5/24")
	out, err := p.Wait()
	if err == nil || !strings.Contains(err.Error(), "-addr 127.0.0.1 is this machine's own address, on lo") || out != "" {
		t.Errorf("%v, printed %q", err, out)
	}
}

// TestNobody runs the program as an ordinary user, and looks at the page from
// outside of its private network.
func TestNobody(t *testing.T) {
	ns := netns.Test(t)
	netns.NeedTun(t)
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-forward", "127.0.0.1:8081", "-stats")
	if netns.AsUser() { // it is that of an ordinary user already, though root by name
		cmd.Args = append(cmd.Args, "-rootless")
		cmd.Env = append(os.Environ(), programEnv+"=nobody")
	} else {
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
	for line := ""; line != "serving on http://127.0.0.1:8081/\n"; {
		if line, err = out.ReadString('\n'); err != nil {
			t.Fatalf("%v, %v", err, cmd.Wait())
		}
	}
	client := &http.Client{Transport: &http.Transport{DialContext: ns.Dial}}
	if status, body := exampletest.Get(t, client, "http://127.0.0.1:8081/"); status != http.StatusOK || body != string(pageHTML) {
		t.Errorf("status %d, %d bytes", status, len(body))
	}
	client.CloseIdleConnections()
	cmd.Process.Signal(os.Interrupt)
	rest, _ := io.ReadAll(out)
	if !strings.Contains(string(rest), "tcp.PassiveOpens                 1") {
		t.Errorf("printed at the end:\n%s", rest)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
