package vnet

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	gonet "github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/internal/testing/qmp"
)

// backEndPath names, in the environment of this test's own program, the socket that it
// is to connect to as a back end: a process that can be killed.
const backEndPath = "GONET_TEST_VNET_SOCKET"

// runBackEnd is that process: a card, and a stack behind it that serves HTTP and pings
// the guest all the time. It says when the first answer has come.
func runBackEnd(path string) error {
	card, err := Connect(path, Config{Queues: 2})
	if err != nil {
		return err
	}
	stack, err := gonet.New(gonet.Config{Link: card, Addr: netip.MustParsePrefix("10.0.0.1/24")})
	if err != nil {
		return err
	}
	l, err := stack.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	go http.Serve(l, http.HandlerFunc(digest))
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		_, err := stack.Ping(ctx, netip.MustParseAddr("10.0.0.2"))
		cancel()
		if err == nil {
			fmt.Println(answered)
			select {}
		}
	}
}

const answered = "answered"

// A process is a back end in a process of its own.
type process struct {
	cmd   *exec.Cmd
	lines *bufio.Reader
}

func startProcess(t *testing.T, path string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(self)}
	p.cmd.Env = append(os.Environ(), backEndPath+"="+path)
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

// kill ends it as a crash does.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// answered waits until the guest has answered a ping.
func (p *process) answered(t *testing.T) {
	t.Helper()
	late := time.AfterFunc(patient, func() { p.cmd.Process.Kill() })
	defer late.Stop()
	if line, err := p.lines.ReadString('\n'); strings.TrimSpace(line) != answered {
		t.Fatalf("%q, %v", line, err)
	}
}

// loaded is how many requests of the guest's load were answered, and how long none was
// at most since it was told to forget.
func (c *commanded) loaded() (n int, worst time.Duration, failed string) {
	c.t.Helper()
	fields := strings.SplitN(c.do("loaded"), " ", 3)
	n, _ = strconv.Atoi(fields[0])
	ms, _ := strconv.Atoi(fields[1])
	return n, time.Duration(ms) * time.Millisecond, fields[2]
}

// goesOn waits until the load has got more answers than it had.
func (c *commanded) goesOn() {
	c.t.Helper()
	n, _, _ := c.loaded()
	waitFor(c.t, "traffic goes on", func() bool { now, _, _ := c.loaded(); return now > n+2 })
}

// TestProcesses has a guest whose card is served by another process, under load: that is
// killed and another one comes, again and again; then the guest migrates to another
// QEMU, and to the process that serves the card there.
func TestProcesses(t *testing.T) {
	for _, packed := range kinds("off", "on") {
		t.Run("packed-"+packed, func(t *testing.T) { testProcesses(t, packed) })
	}
}

func testProcesses(t *testing.T, packed string) {
	guest.Need(t)
	dir := t.TempDir()
	config := func(name string, more ...string) guest.Config {
		qemu := append(cardOf(dir+"/"+name, ",server=on,wait=off", ",packed="+packed), qmp.Args(dir+"/"+name+".qmp")...)
		copy(qemu, qmp.Memory(dir+"/memory"))
		return guest.Config{Job: "agent", Modules: []string{"virtio_net"}, QEMU: append(qemu, more...)}
	}
	p := startProcess(t, dir+"/a")
	started := guest.Start(t, config("a"))
	g := &commanded{t, started, started.Lines}
	g.booted()
	g.do("up", "10.0.0.2/24")
	p.answered(t)
	g.do("load", "http://10.0.0.1/")
	g.goesOn()
	kills := 3
	if packed == "on" {
		// Where a packed ring goes on, its memory does not say, and QEMU's card asks for
		// no memory of what is in flight, which would.
		kills = 0
	}
	for range kills {
		g.do("forget")
		p.kill()
		begun := time.Now()
		p = startProcess(t, dir+"/a")
		p.answered(t)
		took := time.Since(begun)
		g.goesOn()
		_, worst, failed := g.loaded()
		t.Logf("killed: the guest answers after %v; its load had no answer for %v (%s)", took, worst, failed)
	}

	there := startProcess(t, dir+"/b")
	next := guest.Start(t, config("b", "-incoming", "defer"))
	var monitors [2]*qmp.Client
	for i, name := range []string{"a", "b"} {
		q, err := qmp.Dial(dir + "/" + name + ".qmp")
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		monitors[i] = q
	}
	g.do("forget")
	down, err := qmp.MoveShared(monitors[0], monitors[1], dir+"/migration")
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	there.answered(t)
	took := time.Since(begun)
	g = &commanded{t, next, next.Lines}
	g.goesOn()
	_, worst, failed := g.loaded()
	t.Logf("migrated: the guest stood still for %v, and answers %v after that; its load had no answer for %v (%s)", down, took, worst, failed)
	g.end()
}
