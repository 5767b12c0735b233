package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/dns"
	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tap"
	"github.com/seed-012105e5/gonet/tcp"
)

func TestMain(m *testing.M) { netns.Main(m) }

const (
	kernel = "10.0.0.1"
	ours   = "10.0.0.2"

	kernelMAC = "02:00:00:00:00:01"
	ourMAC    = "02:00:00:00:00:02"
)

// long says whether the tests that take long shall run as well.
func long() bool { return os.Getenv("GONET_LONG") != "" }

// A cable is what lies between the kernel and the stack. The zero value is a
// tap with offloads that loses nothing.
type cable struct {
	plain  bool            // no offloads
	mtu    int             // 0 means 1500
	wire   link.Impairment // of each direction
	router link.Middleware // on the wire; nil for none
	queue  int             // frames that wait in the kernel for the tap; 0 means what tap.Open gives
	limit  int             // bytes that are captured of all that passes; 0 means all
	route  bool            // the kernel is the gateway to everywhere
	tcp    tcp.Config
	dns    dns.Config
}

// A host is a stack on a tap, and the namespace on whose kernel the other end
// of the tap is.
type host struct {
	*gonet.Stack
	ns      *netns.NS
	capture *capture
}

// running is about all hosts that are open, in this process.
var running hosts

type hosts struct {
	sync.Mutex
	open int
	left int64 // packets that earlier ones did not release
}

// begin notes that one more host is about to open.
func (h *hosts) begin() {
	h.Lock()
	defer h.Unlock()
	h.open++
}

// end notes that a host is closed, and after the last one looks whether all have
// released their packets.
func (h *hosts) end(t *testing.T) {
	t.Helper()
	h.Lock()
	defer h.Unlock()
	h.open--
	if n := packet.Live(); h.open == 0 && n != h.left {
		t.Errorf("all stacks are closed, and %d packets have not been released", n-h.left)
		h.left = n
	}
}

// newHost starts a stack behind c. When the test is over it is closed, its
// capture is inspected, and what must never happen is looked for in its
// counters.
func newHost(t *testing.T, c cable) *host {
	t.Helper()
	need(t, "tshark")
	h := &host{ns: netns.Test(t)}
	netns.NeedTun(t)
	must(t, h.ns.Sysctl("net.ipv4.tcp_congestion_control", "reno")) // everywhere the same
	h.capture = newCapture(t, c.limit)
	running.begin() // before the tap is open: it has packets from then on
	t.Cleanup(func() { running.end(t) })

	var card link.Link
	must(t, h.ns.Do(func() (err error) {
		card, err = tap.Open(tap.Config{
			Name: "tap0", MTU: c.mtu, DisableOffload: c.plain, TxQueue: c.queue, MAC: [6]byte(mac(ourMAC)),
			HostAddr: netip.MustParsePrefix(kernel + "/24"), HostMAC: [6]byte(mac(kernelMAC)),
		})
		return err
	}))
	if c.wire != (link.Impairment{}) {
		card = link.Impair(card, c.wire)
	}
	if c.router != nil {
		card = c.router(card)
	}
	// The capture is on our side of the wire: it has all that the stack sends
	// and only what it gets.
	card = link.Tee(card, func(err error) { t.Errorf("capture: %v", err) }, h.capture)
	cfg := gonet.Config{Link: card, Addr: netip.MustParsePrefix(ours + "/24"), TCP: c.tcp, DNS: c.dns}
	if c.route {
		cfg.Gateway = netip.MustParseAddr(kernel)
	}
	var err error
	h.Stack, err = gonet.New(cfg)
	must(t, err)
	t.Cleanup(func() { h.finish(t) })
	return h
}

// finish closes the host, and looks at what is left of it.
func (h *host) finish(t *testing.T) {
	h.Stack.Close()
	h.capture.inspect(t)
	for name, n := range h.Stats().Drops() {
		if _, reason, _ := strings.Cut(name, ".Drop"); isFault[reason] {
			t.Errorf("%d packets were dropped as %s", n, name)
		}
	}
	if t.Failed() {
		t.Logf("counters:\n%v", h.Stats())
	}
}

// isFault has the reasons to drop that a kernel without faults never gives.
var isFault = map[string]bool{
	"Malformed": true, "Checksum": true, "BadChecksum": true, "Length": true, "Version": true, "Options": true,
	"TooLong": true, "TooBig": true, "TxError": true, "Source": true, "NoRoute": true, "Runt": true, "Overlap": true,
	"Fragment": true, "BadACK": true, "BadAddress": true,
}

// listen is Listen that cannot fail; handle serves each connection, which is
// closed when it returns.
func (h *host) listen(t *testing.T, address string, handle func(*tcp.Conn)) {
	t.Helper()
	l, err := h.Listen("tcp", address)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.(*tcp.Listener).AcceptTCP()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				handle(c)
			}()
		}
	}()
}

// dial connects a socket of the kernel's, which is closed after the test and
// does nothing any more after some seconds.
func (h *host) dial(t *testing.T, network, address string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := h.ns.Dial(ctx, network, address)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(2*time.Minute)))
	return c
}

// output runs a program in the namespace, and returns all that it prints. It
// may take as long as limit.
func (h *host) output(t *testing.T, limit time.Duration, name string, args ...string) string {
	t.Helper()
	out, err := h.ns.Output(command(t, limit, name, args...))
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// command is a program that is ended, with all processes that it starts, after
// limit.
func command(t *testing.T, limit time.Duration, name string, args ...string) *exec.Cmd {
	t.Helper()
	need(t, name)
	ctx, cancel := context.WithTimeout(context.Background(), limit) // in clean-ups too
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

// need skips the test where a program is missing, or fails it when the
// environment has CI=true.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	report := t.Skipf
	if os.Getenv("CI") == "true" {
		report = t.Fatalf
	}
	report("SKIPPED, NOT TESTED: there is no %s here; what to do: see the comment of the package", program)
}

func mac(s string) net.HardwareAddr {
	a, err := net.ParseMAC(s)
	if err != nil {
		panic(err)
	}
	return a
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError checks that err is one of the kind of want, from package syscall.
func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

// inTempDir makes a file for one test.
func inTempDir(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), name))
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func (c cable) String() string {
	kind, mtu, state := "offload", c.mtu, "clean"
	if c.plain {
		kind = "plain"
	}
	if mtu == 0 {
		mtu = link.DefaultMTU
	}
	if c.wire != (link.Impairment{}) {
		state = "impaired"
	}
	return fmt.Sprintf("%s/%d/%s", kind, mtu, state)
}
