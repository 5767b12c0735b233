package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/link"
)

func TestOpenAndClose(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		time.Sleep(time.Minute)
		p.close()
		p.close()
	})
}

func TestPing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		for _, to := range []string{"10.0.0.2", "10.0.0.1", "127.0.0.1"} {
			if _, err := p.a.Ping(t.Context(), netip.MustParseAddr(to)); err != nil {
				t.Errorf("ping %s: %v", to, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := p.a.Ping(ctx, netip.MustParseAddr("10.0.0.3")); !errors.Is(err, syscall.EHOSTUNREACH) {
			t.Errorf("ping of nobody: %v", err)
		}
	})
}

func TestEcho(t *testing.T) {
	for _, n := range []int{1, 1000, 1460, 100_000, 3_000_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(t *testing.T) { testEcho(t, newPair(t), n) })
		})
	}
	t.Run("Impaired", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			impair := link.Impairment{Rate: 100e6, Delay: 5 * time.Millisecond, Loss: 0.02, Reorder: 0.02, Duplicate: 0.01, Corrupt: 0.01, Seed: 1}
			testEcho(t, newPair(t, impair.Middleware()), 300_000)
		})
	})
}

// testEcho sends n bytes there and back, and closes p.
func testEcho(t *testing.T, p pair, n int) {
	defer p.close()
	l, err := p.b.Listen("tcp", ":7")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go echo(l)
	c, err := p.a.Dial("tcp", "10.0.0.2:7")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := payload(n)
	go func() {
		if _, err := c.Write(want); err != nil {
			t.Error(err)
		}
		c.(interface{ CloseWrite() error }).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Error(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes came back, want the %d that were sent", len(got), len(want))
	}
	if t.Failed() {
		t.Logf("a:\n%vb:\n%v", p.a.Stats(), p.b.Stats())
	}
}

func TestConnectionRefused(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		_, err := p.a.Dial("tcp", "10.0.0.2:80")
		if !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), "10.0.0.2:80") {
			t.Errorf("error %v", err)
		}
	})
}

// TestCloseResetsConnections closes a stack whose connections are idle.
func TestCloseResetsConnections(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		l, err := p.b.Listen("tcp", ":7")
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if _, err := p.a.Dial("tcp", "10.0.0.2:7"); err != nil {
				t.Fatal(err)
			}
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		p.a.Close()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("Read after the peer's stack has closed: %v", err)
		}
	})
}
