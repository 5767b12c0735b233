package stack

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp"
	"github.com/seed-012105e5/gonet/udp"
)

// A pair is two stacks, a at 10.0.0.1 and b at 10.0.0.2, joined by a link.
type pair struct{ a, b *gonet.Stack }

// newPair joins two stacks by a pipe that middleware changes at a's end.
func newPair(t testing.TB, middleware ...link.Middleware) pair {
	t.Helper()
	la, lb := link.Pipe(link.PipeConfig{})
	for _, m := range middleware {
		la = m(la)
	}
	return pair{newHost(t, la, "10.0.0.1/24", 1), newHost(t, lb, "10.0.0.2/24", 2)}
}

func newHost(t testing.TB, l link.Link, addr string, seed byte) *gonet.Stack {
	t.Helper()
	s, err := gonet.New(gonet.Config{Link: l, Addr: netip.MustParsePrefix(addr), Rand: repeat(seed)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// repeat is a reader of one byte again and again.
type repeat byte

func (r repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r)
	}
	return len(p), nil
}

func (p pair) close() {
	p.a.Close()
	p.b.Close()
}

// inBubble runs f with virtual time, and checks that no packet is left.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	before := packet.Live()
	synctest.Test(t, f)
	if after := packet.Live(); after != before {
		t.Errorf("%d packets are left", after-before)
	}
}

// inRealTime runs f, and checks that no packet is left some time later.
func inRealTime(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	before := packet.Live()
	t.Run("RealTime", f)
	for range 100 {
		if packet.Live() == before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d packets are left", packet.Live()-before)
}

// payload is n bytes that repeat late.
func payload(n int) []byte {
	p := make([]byte, n)
	rnd := rand.NewChaCha8([32]byte{7})
	rnd.Read(p)
	return p
}

// echo serves an echo on l until it is closed.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			io.Copy(c, c)
		}()
	}
}

// connect opens a TCP connection from a to b, and returns both ends.
func (p pair) connect(t testing.TB) (ca, cb *tcp.Conn) {
	t.Helper()
	return connect(t, p.a, p.b, "10.0.0.2:0")
}

// connect opens a TCP connection from one stack to an address of another. Both
// ends are closed when the test is over, also those that a reset has ended by
// then: what nobody has read of them still holds its packets.
func connect(t testing.TB, from, to *gonet.Stack, address string) (dialled, accepted *tcp.Conn) {
	t.Helper()
	l := listen(t, to, address)
	defer l.Close()
	dialled = dial(t, from, l.Addr().String())
	c, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		dialled.Close()
		c.Close()
	})
	return dialled, c
}

func listen(t testing.TB, s *gonet.Stack, address string) *tcp.Listener {
	t.Helper()
	l, err := s.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l.(*tcp.Listener)
}

func dial(t testing.TB, s *gonet.Stack, address string) *tcp.Conn {
	t.Helper()
	c, err := s.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*tcp.Conn)
}

func listenUDP(t testing.TB, s *gonet.Stack, address string) *udp.Conn {
	t.Helper()
	c, err := s.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*udp.Conn)
}

func dialUDP(t testing.TB, s *gonet.Stack, address string) *udp.Conn {
	t.Helper()
	c, err := s.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*udp.Conn)
}

// A cable is middleware that can be cut: what is sent is lost from then on,
// and nobody is told.
type cable struct{ cut atomic.Bool }

func (c *cable) plug(l link.Link) link.Link {
	tx, rx := make(chan *packet.Buffer, link.QueueLen), make(chan *packet.Buffer, link.QueueLen)
	go c.carry(tx, l.Tx)
	go c.carry(l.Rx, rx)
	l.Tx, l.Rx = tx, rx
	return l
}

func (c *cable) carry(from <-chan *packet.Buffer, to chan<- *packet.Buffer) {
	defer close(to)
	for b := range from {
		if c.cut.Load() {
			b.Release()
		} else {
			to <- b
		}
	}
}

// wakes checks that call waits, and that it ends with the error want as soon as
// wake is called.
func wakes(t *testing.T, call func() error, wake func(), want error) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- call() }()
	synctest.Wait()
	select {
	case err := <-ended:
		t.Errorf("did not wait, but returned %v", err)
		return
	default:
	}
	start := time.Now()
	wake()
	if err := <-ended; !errors.Is(err, want) || time.Since(start) != 0 {
		t.Errorf("ended with %v after %v, want %v at once", err, time.Since(start), want)
	}
}

// expire is a wake that sets a deadline to now.
func expire(deadline func(time.Time) error) func() {
	return func() { deadline(time.Now()) }
}
