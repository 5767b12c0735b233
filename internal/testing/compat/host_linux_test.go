package compat

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/tap"
)

func TestMain(m *testing.M) { netns.Main(m) }

const (
	kernel = "10.0.0.1"
	ours   = "10.0.0.2"
)

// A host is a stack on a tap, and the namespace on whose kernel the other end of
// the tap is.
type host struct {
	*gonet.Stack
	ns *netns.NS
}

// newHost starts a stack, which is closed when the test is over.
func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{ns: netns.Test(t)}
	netns.NeedTun(t)
	var card link.Link
	must(t, h.ns.Do(func() (err error) {
		card, err = tap.Open(tap.Config{Name: "tap0", HostAddr: netip.MustParsePrefix(kernel + "/24")})
		return err
	}))
	var err error
	h.Stack, err = gonet.New(gonet.Config{Link: card, Addr: netip.MustParsePrefix(ours + "/24")})
	must(t, err)
	t.Cleanup(func() {
		h.Close()
		if t.Failed() {
			t.Logf("counters:\n%v", h.Stats())
		}
	})
	return h
}

// listen is Listen that cannot fail.
func (h *host) listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := h.Listen("tcp", address)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// listenKernel listens in the kernel of the other end.
func (h *host) listenKernel(t *testing.T, address string) net.Listener {
	t.Helper()
	var l net.Listener
	must(t, h.ns.Do(func() (err error) { l, err = net.Listen("tcp", address); return err }))
	t.Cleanup(func() { l.Close() })
	return l
}

// packetsKernel is a UDP socket of the kernel of the other end.
func (h *host) packetsKernel(t *testing.T, address string) *net.UDPConn {
	t.Helper()
	var c net.PacketConn
	must(t, h.ns.Do(func() (err error) { c, err = net.ListenPacket("udp", address); return err }))
	t.Cleanup(func() { c.Close() })
	return c.(*net.UDPConn)
}

// output runs a program at the other end, and returns all that it prints.
func (h *host) output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := h.ns.Output(command(t, name, args...))
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// start runs a program at the other end until the test is over, as that user, or as
// this one. What it prints is in the log of a test that fails.
func (h *host) start(t *testing.T, as, name string, args ...string) {
	t.Helper()
	cmd := command(t, name, args...)
	if as != "" {
		cmd.SysProcAttr.Credential = credential(t, as)
	}
	log, err := os.CreateTemp(t.TempDir(), "log")
	must(t, err)
	cmd.Stdout, cmd.Stderr = log, log
	must(t, h.ns.Start(cmd))
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		ended := time.AfterFunc(5*time.Second, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		cmd.Wait()
		ended.Stop()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s has printed:\n%s", name, text)
		}
		log.Close()
	})
}

// command is a program that is ended with all that it starts after a minute.
func command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	need(t, name)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

// credential is that of a user, by name. Servers of databases refuse to run as root.
func credential(t *testing.T, name string) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil || os.Geteuid() != 0 || netns.AsUser() {
		unable(t, "only root can run a server as the user %s", name)
	}
	uid, err := strconv.Atoi(u.Uid)
	must(t, err)
	gid, err := strconv.Atoi(u.Gid)
	must(t, err)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// need skips the test where a program is missing, or fails it when the environment
// has CI=true.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		unable(t, "there is no %s here; scripts/test installs it", program)
	}
}

func unable(t *testing.T, format string, args ...any) {
	t.Helper()
	report := t.Skipf
	if os.Getenv("CI") == "true" {
		report = t.Fatalf
	}
	report("SKIPPED, NOT TESTED: %s", fmt.Sprintf(format, args...))
}

// await waits until a condition holds, half a minute at most.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within half a minute", what)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// get asks the stack for a page.
func get(client *http.Client) (string, error) {
	response, err := client.Get("http://" + ours + "/")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}
