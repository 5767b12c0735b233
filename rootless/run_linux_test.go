package rootless

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/testing/echopeer"
	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/tap"
)

// The test runs itself again as the program that Run is for. These variables
// say what it is to do.
const (
	programEnv = "GONET_ROOTLESS_PROGRAM" // see program
	deviceEnv  = "GONET_ROOTLESS_DEVICE"  // see nobody
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(deviceEnv) != "":
		exit(nobody(os.Getenv(deviceEnv)))
	case os.Getenv(programEnv) != "":
		exit(program(os.Getenv(programEnv)))
	}
	netns.Main(m)
}

func exit(err error) {
	if err != nil {
		fmt.Println("error:", err)
		var child *exec.ExitError
		if errors.As(err, &child) {
			os.Exit(child.ExitCode())
		}
		os.Exit(1)
	}
	os.Exit(0)
}

// nobody makes root, in a mount namespace of its own, the user nobody with a
// device node of the kind that is asked for, and runs the program.
func nobody(device string) error {
	os.Unsetenv(deviceEnv)
	if err := netns.MakeTun(); err != nil {
		return err
	}
	switch device {
	case "missing":
		if err := os.Remove("/dev/net/tun"); err != nil {
			return err
		}
	case "forbidden":
		if err := os.Chmod("/dev/net/tun", 0o600); err != nil {
			return err
		}
	}
	err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534))
	if err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
}

var forwards = []Forward{
	{"127.0.0.1:8080", "10.0.0.2:80"},
	{"127.0.0.1:8081", "127.0.0.1:9"},
	{"127.0.0.1:8082", "127.0.0.1:7000"},
}

// program is what a user of Run does.
func program(what string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if what == "limited" { // this process is in a user namespace: let it have no other
		if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil {
			return err
		}
	}
	inside, err := Run(ctx, forwards)
	if err != nil || !inside {
		return err
	}
	if what == "fail" {
		os.Exit(42)
	}
	if what == "stubborn" {
		fmt.Println("inside", os.Getpid())
		signal.Ignore(os.Interrupt)
		time.Sleep(time.Minute)
	}
	resets, err := net.Listen("tcp", "127.0.0.1:7000")
	if err != nil {
		return err
	}
	go resetAll(resets)
	time.Sleep(100 * time.Millisecond) // connections come in before there is a tap
	card, err := tap.Open(tap.Config{HostAddr: netip.MustParsePrefix("10.0.0.1/24")})
	if err != nil {
		return err
	}
	fmt.Println("inside", os.Getpid())
	seen := echopeer.Serve(card, netip.MustParseAddr("10.0.0.2"), ctx.Done())
	fmt.Printf("seen %+v\n", seen)
	return nil
}

// resetAll resets each connection after its first byte.
func resetAll(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.ReadFull(c, make([]byte, 1))
		reset(c.(*net.TCPConn))
	}
}

// start runs the program as an ordinary user in ns.
func start(t *testing.T, ns *netns.NS, what, device string) (cmd *exec.Cmd, lines *bufio.Scanner) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	cmd = exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), programEnv+"="+what)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	switch {
	case what == "limited":
		id := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: id, GidMappings: id}
	case !netns.AsUser():
		cmd.Env = append(cmd.Env, deviceEnv+"="+device)
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	case device != "good":
		t.Skip("only root can make a device node")
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// next is the next line of the program that starts with prefix, without it.
func next(t *testing.T, lines *bufio.Scanner, prefix string) string {
	t.Helper()
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), prefix+" "); ok {
			return rest
		}
		t.Log(lines.Text())
	}
	t.Fatalf("the program did not print %q", prefix)
	return ""
}

// dialOuter connects as soon as somebody listens.
func dialOuter(t *testing.T, ns *netns.NS, address string) net.Conn {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		c, err := ns.Dial(t.Context(), "tcp", address)
		if err == nil {
			c.SetDeadline(time.Now().Add(10 * time.Second))
			return c
		}
		if !errors.Is(err, syscall.ECONNREFUSED) || time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func network(t *testing.T) *netns.NS {
	t.Helper()
	ns := netns.Test(t)
	netns.NeedTun(t)
	return ns
}

// TestRun goes through the forwarder, the kernel inside, the tap and the peer
// behind it, and ends the program as Ctrl-C does.
func TestRun(t *testing.T) {
	ns := network(t)
	cmd, lines := start(t, ns, "serve", "good")
	c := dialOuter(t, ns, "127.0.0.1:8080")
	defer c.Close()
	sent, received := bytes.Repeat([]byte("0123456789"), 5000), make([]byte, 50000)
	for range 10 {
		if _, err := c.Write(sent); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, received); err != nil || !bytes.Equal(sent, received) {
			t.Fatalf("what came back is not what was sent (%v)", err)
		}
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(received); n != 0 || err != io.EOF {
		t.Errorf("after the end: %d bytes, %v", n, err)
	}

	for _, address := range []string{"127.0.0.1:8081", "127.0.0.1:8082"} {
		if err := sendByte(ns, address); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v, want a reset", address, err)
		}
	}

	child := pid(t, next(t, lines, "inside"))
	cmd.Process.Signal(os.Interrupt)
	seen := next(t, lines, "seen")
	if strings.Contains(seen, "Trains:0") || !strings.Contains(seen, "BadChecksum:0") {
		t.Errorf("the peer has seen %s", seen)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after an interrupt: %v", err)
	}
	if !gone(child) {
		t.Error("the second process is still there")
	}
}

// sendByte connects, sends a byte, and waits for an answer. A reset may meet it
// at each of the three.
func sendByte(ns *netns.NS, address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := ns.Dial(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

func pid(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// gone waits until a process has ended; a zombie has.
func gone(pid int) bool {
	for range 1000 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || bytes.Contains(stat, []byte(") Z ")) {
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
	return false
}

// TestParentDies kills the first process.
func TestParentDies(t *testing.T) {
	cmd, lines := start(t, network(t), "stubborn", "good")
	child := pid(t, next(t, lines, "inside"))
	cmd.Process.Kill()
	cmd.Wait()
	if !gone(child) {
		unix.Kill(child, unix.SIGKILL)
		t.Error("the second process outlives the first")
	}
}

// TestChildFails shows that the exit code of the second process comes through.
func TestChildFails(t *testing.T) {
	cmd, _ := start(t, network(t), "fail", "good")
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 42 {
		t.Errorf("%v, want exit code 42", err)
	}
}

// TestRefused makes the errors of Run.
func TestRefused(t *testing.T) {
	for _, test := range []struct{ name, what, device, want string }{
		{"no device node", "serve", "missing", "/dev/net/tun is missing"},
		{"device node of root", "serve", "forbidden", "sudo chmod 666 /dev/net/tun"},
		{"no user namespaces", "limited", "good", "sudo sysctl user.max_user_namespaces=10000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd, lines := start(t, network(t), test.what, test.device)
			got := next(t, lines, "error:")
			if !strings.Contains(got, test.want) {
				t.Errorf("%s; want %q", got, test.want)
			}
			cmd.Wait()
		})
	}
	t.Run("address in use", func(t *testing.T) {
		ns := network(t)
		l, err := ns.Listen("tcp", forwards[1].Listen)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		cmd, lines := start(t, ns, "serve", "good")
		got := next(t, lines, "error:")
		if !strings.Contains(got, "address already in use") || !strings.Contains(got, "choose another") {
			t.Error(got)
		}
		cmd.Wait()
	})
}
