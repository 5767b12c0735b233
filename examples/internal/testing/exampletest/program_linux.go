package exampletest

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/goroutines"
	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/packet"
)

// patience is how long a test waits for what ought to come at once.
const patience = 10 * time.Second

// A Program is an example program that runs in a network namespace.
type Program struct {
	NS *netns.NS

	t      testing.TB
	cancel context.CancelFunc
	lines  *io.PipeReader
	ended  chan error
}

// Start starts a program in a namespace of its own, or in ns. The test fails
// when it leaves its tap, a packet or a goroutine behind.
func Start(t testing.TB, ns *netns.NS, run func(context.Context, []string, io.Writer) error, args ...string) *Program {
	t.Helper()
	if ns == nil {
		ns = netns.Test(t)
	}
	netns.NeedTun(t)
	live, routines := packet.Live(), goroutines.Count()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	p := &Program{NS: ns, t: t, cancel: cancel, lines: r, ended: make(chan error, 1)}
	go func() {
		err := ns.Do(func() error { return run(ctx, args, w) })
		w.Close()
		p.ended <- err
	}()
	t.Cleanup(func() {
		cancel()
		r.Close()
		eventually(t, "no goroutine is left", func() bool { return goroutines.Count() <= routines })
		if left := packet.Live() - live; left != 0 {
			t.Errorf("%d packets are left", left)
		}
		err := ns.Do(func() error { _, err := net.InterfaceByName("tap0"); return err })
		if err == nil {
			t.Error("tap0 is still there")
		}
	})
	return p
}

// Await waits until the program has printed want, and returns what it printed.
func (p *Program) Await(want string) string {
	p.t.Helper()
	timer := time.AfterFunc(patience, func() { p.lines.CloseWithError(context.DeadlineExceeded) })
	defer timer.Stop()
	var text strings.Builder
	for buf := make([]byte, 4096); !strings.Contains(text.String(), want); {
		n, err := p.lines.Read(buf)
		text.Write(buf[:n])
		if err != nil {
			p.t.Fatalf("%v before it printed %q, but:\n%s", err, want, text.String())
		}
	}
	go io.Copy(io.Discard, p.lines)
	return text.String()
}

// Wait waits until the program ends by itself, and returns all that it has
// printed.
func (p *Program) Wait() (string, error) {
	timer := time.AfterFunc(patience, p.cancel)
	defer timer.Stop()
	text, _ := io.ReadAll(p.lines)
	return string(text), <-p.ended
}

// Interrupt is Ctrl-C. It returns what the program returns.
func (p *Program) Interrupt() error {
	p.cancel()
	return <-p.ended
}

// Client is a web client in the kernel of the namespace.
func (p *Program) Client() *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		DialContext:       p.NS.Dial,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2: true,
	}}
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%s: it is not so\n%s", what, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
