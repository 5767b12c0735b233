package stack

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// slow makes a card of l that sends a frame each interval, and makes its owner
// wait.
func slow(l link.Link, interval time.Duration) link.Link {
	tx, inner := make(chan *packet.Buffer), l.Tx
	go func() {
		for b := range tx {
			time.Sleep(interval)
			inner <- b
		}
		close(inner)
	}()
	l.Tx = tx
	return l
}

// TestRepliesUnderLoad: a host whose connections fill all of the way out still
// answers: its replies wait for their turn, as everybody does.
func TestRepliesUnderLoad(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		la, lb := link.Pipe(link.PipeConfig{})
		p := pair{newHost(t, la, "10.0.0.1/24", 1), newHost(t, slow(lb, time.Millisecond), "10.0.0.2/24", 2)}
		defer time.Sleep(time.Second) // until the slow card has sent what it had
		defer p.close()
		l, err := p.b.Listen("tcp", ":19")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go c.(io.ReaderFrom).ReadFrom(endless{})
			}
		}()
		receive := func(c net.Conn) { go io.Copy(io.Discard, c) }
		for range 100 {
			c, err := p.a.Dial("tcp", "10.0.0.2:19")
			if err != nil {
				t.Fatalf("%v\na:\n%vb:\n%v", err, p.a.Stats(), p.b.Stats())
			}
			receive(c)
		}
		time.Sleep(5 * time.Second)
		for range 20 {
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
			if _, err := p.a.Ping(ctx, netip.MustParseAddr("10.0.0.2")); err != nil {
				t.Errorf("ping: %v after %v", err, time.Since(start))
			}
			c, err := p.a.DialContext(ctx, "tcp", "10.0.0.2:19")
			if err != nil {
				t.Errorf("dial: %v after %v", err, time.Since(start))
			} else {
				receive(c)
			}
			cancel()
		}
		if t.Failed() {
			t.Log(p.b.Stats())
		}
	})
}

// endless is a reader without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
