package stack

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/rpc"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/tcp"
)

type Arithmetic struct{}

func (Arithmetic) Double(n int, result *int) error {
	*result = 2 * n
	return nil
}

func (Arithmetic) Fail(int, *int) error { return errors.New("it fails") }

func TestRPC(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		server := rpc.NewServer()
		if err := server.Register(Arithmetic{}); err != nil {
			t.Fatal(err)
		}
		c, accepted := p.connect(t)
		go server.ServeConn(accepted)
		client := rpc.NewClient(c)
		defer client.Close()
		var calls []*rpc.Call
		for i := range 100 {
			calls = append(calls, client.Go("Arithmetic.Double", i, new(int), nil))
		}
		for i, call := range calls {
			if <-call.Done; call.Error != nil || *call.Reply.(*int) != 2*i {
				t.Errorf("twice %d is %d, %v", i, *call.Reply.(*int), call.Error)
			}
		}
		if err := client.Call("Arithmetic.Fail", 1, new(int)); err != rpc.ServerError("it fails") {
			t.Errorf("error %v", err)
		}
	})
}

// TestTerminal is what ssh does: for a long time both ends write little at a
// time, with pauses; then one has no more to say, and hears the other out.
func TestTerminal(t *testing.T) {
	for name, middleware := range map[string][]link.Middleware{
		"Pipe": nil,
		"Impaired": {link.Impairment{
			Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.02, Reorder: 0.05, Duplicate: 0.02, Seed: 5,
		}.Middleware()},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				p := newPair(t, middleware...)
				defer p.close()
				testTerminal(t, p)
			})
		})
	}
}

func testTerminal(t *testing.T, p pair) {
	ca, cb := p.connect(t)
	keys, output := payload(10_000), payload(60_000)
	done := make(chan bool)
	go func() {
		typeOn(t, ca, keys, 1)
		ca.CloseWrite()
		done <- true
	}()
	go func() {
		got, err := io.ReadAll(cb)
		if err != nil || !bytes.Equal(got, keys) {
			t.Errorf("%d of %d keys arrived, %v", len(got), len(keys), err)
		}
		done <- true
	}()
	go func() {
		typeOn(t, cb, output[:50_000], 2)
		<-done
		<-done
		typeOn(t, cb, output[50_000:], 3) // after the other end has closed
		cb.CloseWrite()
	}()
	if got, err := io.ReadAll(ca); err != nil || !bytes.Equal(got, output) {
		t.Errorf("%d of %d bytes of output arrived, %v", len(got), len(output), err)
	}
	ca.Close()
	cb.Close()
}

// typeOn writes p in little pieces with pauses.
func typeOn(t *testing.T, c *tcp.Conn, p []byte, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	for len(p) > 0 {
		n := min(1+random.IntN(100), len(p))
		if _, err := c.Write(p[:n]); err != nil {
			t.Error(err)
			return
		}
		p = p[n:]
		if random.IntN(3) == 0 {
			time.Sleep(time.Duration(random.Int64N(int64(time.Second))))
		}
	}
}
