package direct

import (
	"bytes"
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/machine"
)

// A cardDevice is a link as a Device, for tests in virtual time. Here, and not
// in the loop, there are channels.
type cardDevice struct {
	link.Link
	first *packet.Buffer // that Poll has met while it waited
}

func (d *cardDevice) Send(b *packet.Buffer) { d.Tx <- b }

func (d *cardDevice) Receive() *packet.Buffer {
	if b := d.first; b != nil {
		d.first = nil
		return b
	}
	select {
	case b := <-d.Rx:
		return b // nil when it is closed
	default:
		return nil
	}
}

func (d *cardDevice) Poll(turn func() (time.Time, bool)) error {
	defer close(d.Tx)
	for {
		next, idle := turn()
		if !idle {
			continue
		}
		var timeUp <-chan time.Time
		if !next.IsZero() {
			timeUp = time.After(time.Until(next))
		}
		select {
		case b, ok := <-d.Rx:
			if !ok {
				return net.ErrClosed
			}
			d.first = b
		case <-timeUp:
		}
	}
}

// withStack runs fn in virtual time with a stack in one loop, and GoNet at the
// other end of a cable, on which m is. It looks for what is left.
func withStack(t *testing.T, m link.Middleware, serve func(*Stack) error, fn func(t *testing.T, s *Stack, client *gonet.Stack)) {
	before := packet.Live()
	synctest.Test(t, func(t *testing.T) {
		theirs, ours := link.Pipe(link.PipeConfig{})
		if m != nil {
			theirs = m(theirs)
		}
		client, err := gonet.New(gonet.Config{Link: theirs, Addr: netip.MustParsePrefix("10.0.0.1/24"), Rand: zeros{}})
		if err != nil {
			t.Fatal(err)
		}
		s, err := New(&cardDevice{Link: ours}, Config{
			MAC: ours.MAC, MTU: ours.MTU, Addr: netip.MustParsePrefix("10.0.0.2/24"), Random: rand.New(rand.NewPCG(1, 2)).Uint64,
		})
		if err == nil {
			err = serve(s)
		}
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() { ended <- s.Run() }()
		fn(t, s, client)
		client.Close()
		if err := <-ended; err != net.ErrClosed {
			t.Errorf("the loop ends with %v", err)
		}
	})
	if live := packet.Live() - before; live != 0 {
		t.Errorf("%d buffers leaked", live)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func dial(t *testing.T, client *gonet.Stack, port string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := client.DialContext(ctx, "tcp", "10.0.0.2:"+port)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(time.Hour))
	return c
}

// TestEcho has many connections made, used and closed.
func TestEcho(t *testing.T) {
	var requests atomic.Uint64
	serve := func(s *Stack) error { return s.Listen(7, Echo(&requests)) }
	withStack(t, nil, serve, func(t *testing.T, s *Stack, client *gonet.Stack) {
		for i := range 100 {
			c := dial(t, client, "7")
			want := bytes.Repeat([]byte{byte(i)}, 1+i%40)
			if _, err := c.Write(want); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(want))
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%x came back for %x: %v", got, want, err)
			}
			c.Close()
		}
		time.Sleep(time.Second)
		if n := s.Stats()["tcp.Closed"]; n != 100 || requests.Load() < 100 {
			t.Errorf("%d closed after %d requests", n, requests.Load())
		}
	})
}

// TestBulk sends both ways, through losses too.
func TestBulk(t *testing.T) {
	impair := link.Impairment{Rate: 1e9, Delay: time.Millisecond, Loss: 0.01, Reorder: 0.01, Seed: 1}
	for name, m := range map[string]link.Middleware{"clean": nil, "impaired": impair.Middleware()} {
		t.Run(name, func(t *testing.T) {
			var sunk, discarded, sent atomic.Uint64
			serve := func(s *Stack) error {
				for port, serve := range map[uint16]machine.Service{9: Sink(&sunk), 10: Discard(&discarded), 19: Source(&sent)} {
					if err := s.Listen(port, serve); err != nil {
						return err
					}
				}
				return nil
			}
			withStack(t, m, serve, func(t *testing.T, s *Stack, client *gonet.Stack) {
				const n = 2_000_000
				for port, counter := range map[string]*atomic.Uint64{"9": &sunk, "10": &discarded} {
					c := dial(t, client, port)
					if _, err := c.Write(make([]byte, n)); err != nil {
						t.Fatal(err)
					}
					c.Close()
					for range 1000 {
						time.Sleep(100 * time.Millisecond)
						if counter.Load() == n {
							break
						}
					}
					if counter.Load() != n {
						t.Errorf("port %s: %d bytes of %d", port, counter.Load(), n)
					}
				}
				c := dial(t, client, "19")
				if _, err := io.CopyN(io.Discard, c, n); err != nil {
					t.Error(err)
				}
				c.Close()
				if sent.Load() < n {
					t.Errorf("%d sent", sent.Load())
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

// TestNoChannels: the loop has neither channels nor goroutines, and nothing of
// the graph.
func TestNoChannels(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		read++
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			if strings.HasSuffix(i.Path.Value, `/gonet"`) {
				t.Errorf("%s imports the graph", f.Name())
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt, *ast.SendStmt, *ast.SelectStmt, *ast.ChanType:
				t.Errorf("%v: a channel or a goroutine", set.Position(n.Pos()))
			case *ast.UnaryExpr:
				if n.Op == token.ARROW {
					t.Errorf("%v: a channel", set.Position(n.Pos()))
				}
			}
			return true
		})
	}
	if read < 2 {
		t.Errorf("%d files", read)
	}
}
