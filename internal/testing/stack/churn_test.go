package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/internal/testing/goroutines"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp"
)

// TestMixedChurn has two stacks do for a day, in virtual time, what hosts do,
// over a link that is not a good one and at times none at all; and then looks
// for what that has left behind.
func TestMixedChurn(t *testing.T) {
	length := 24 * time.Hour
	if testing.Short() {
		length = time.Hour
	}
	inBubble(t, func(t *testing.T) { (&churn{unit: time.Second, length: length}).run(t) })
}

// TestMixedChurnRealTime is the same in real time, a thousand times as fast.
func TestMixedChurnRealTime(t *testing.T) {
	length := 5 * time.Second
	if os.Getenv("GONET_LONG") != "" {
		length = 10 * time.Minute
	}
	inRealTime(t, func(t *testing.T) { (&churn{unit: time.Millisecond, length: length}).run(t) })
}

// A churn is many users of two stacks. All their times, but those of the link,
// are in units.
type churn struct {
	pair
	unit, length time.Duration

	cable cable
	end   time.Time
	tried []atomic.Int64 // how often each deed was
	done  []atomic.Int64 // and with success
}

// A deed is something that a user does, with dice of his own. An error says
// that the network was not there; what must never happen fails the test.
type deed struct {
	name string
	do   func(c *churn, t *testing.T, dice *rand.Rand) error
}

var deeds = [...]deed{
	{"exchange", (*churn).exchange},
	{"half close", (*churn).halfClose},
	{"abort", (*churn).abort},
	{"idle with keep-alive", (*churn).idle},
	{"read until a deadline", (*churn).readDeadline},
	{"dial where nobody listens", (*churn).refused},
	{"dial where nobody is", (*churn).nobody},
	{"a listener that comes and goes", (*churn).listener},
	{"datagrams", (*churn).datagrams},
	{"ping", (*churn).ping},
}

// stacks makes both stacks. The timeouts of TCP are so many units as they have
// seconds by default.
func (c *churn) stacks(t *testing.T) {
	la, lb := link.Pipe(link.PipeConfig{})
	la = c.cable.plug(link.Impair(la, link.Impairment{
		Rate: 100e6, Delay: time.Millisecond, Jitter: 100 * time.Microsecond,
		Loss: 0.005, Reorder: 0.01, Duplicate: 0.005, Corrupt: 0.001, Seed: 5,
	}))
	host := func(l link.Link, addr string, seed byte) *gonet.Stack {
		s, err := gonet.New(gonet.Config{Link: l, Addr: netip.MustParsePrefix(addr), Rand: repeat(seed), TCP: tcp.Config{
			Backlog: 16, SendBuffer: 64 << 10, ReceiveBuffer: 64 << 10, MSL: 30 * c.unit, FinWait2: 60 * c.unit,
			UserTimeout: max(300*c.unit, time.Second), ConnectTimeout: max(180*c.unit, time.Second),
		}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	c.a, c.b = host(la, "10.0.0.1/24", 1), host(lb, "10.0.0.2/24", 2)
}

// users is how many users there are.
const users = 40

func (c *churn) run(t *testing.T) {
	c.stacks(t)
	defer c.close()
	var servers sync.WaitGroup
	l := listen(t, c.b, ":7")
	u := listenUDP(t, c.b, ":7")
	servers.Go(func() { c.serve(l) })
	servers.Go(func() {
		for p := make([]byte, 2000); ; {
			n, from, err := u.ReadFrom(p)
			if err != nil {
				return
			}
			u.WriteTo(p[:n], from)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	c.a.Ping(ctx, netip.MustParseAddr("10.0.0.2")) // teaches ARP
	cancel()
	time.Sleep(10 * c.unit)
	routines, packets := goroutines.Count(), packet.Live()

	c.tried, c.done = make([]atomic.Int64, len(deeds)), make([]atomic.Int64, len(deeds))
	c.end = time.Now().Add(c.length)
	var all sync.WaitGroup
	for i := range users {
		all.Go(func() { c.user(t, rand.New(rand.NewPCG(1, uint64(i)))) })
	}
	all.Go(func() { c.outages(rand.New(rand.NewPCG(2, 0))) })
	all.Wait()
	c.cable.cut.Store(false)
	c.checkDeeds(t)

	// The longest that anything lasts is the user's timeout and TIME-WAIT.
	time.Sleep(max(600*c.unit, 3*time.Second))
	c.checkLeft(t, routines, packets)
	l.Close()
	u.Close()
	servers.Wait()
	c.checkPorts(t)
}

// serve is echo, for peers that may vanish.
func (c *churn) serve(l *tcp.Listener) {
	for {
		conn, err := l.AcceptTCP()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			conn.SetKeepAliveConfig(c.keepAlive())
			io.Copy(conn, conn)
		}()
	}
}

func (c *churn) keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: 120 * c.unit, Interval: max(10*c.unit, 100*time.Millisecond), Count: 9}
}

// user does one deed after the other.
func (c *churn) user(t *testing.T, dice *rand.Rand) {
	for {
		time.Sleep(time.Duration(dice.ExpFloat64() * float64(60*c.unit)))
		if !time.Now().Before(c.end) || t.Failed() {
			return
		}
		i := dice.IntN(len(deeds))
		c.tried[i].Add(1)
		err := deeds[i].do(c, t, dice)
		switch {
		case err == nil:
			c.done[i].Add(1)
		case !isNetworkError(err):
			t.Errorf("%s: %v", deeds[i].name, err)
		}
	}
}

// isNetworkError says whether err is what an outage may cause.
func isNetworkError(err error) bool {
	for _, e := range []error{
		os.ErrDeadlineExceeded, context.DeadlineExceeded,
		syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ECONNRESET, syscall.EPIPE,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// outages cuts the cable now and then: for longer than a connection lives, and
// for shorter.
func (c *churn) outages(dice *rand.Rand) {
	for {
		time.Sleep(time.Duration(dice.ExpFloat64() * float64(3600*c.unit)))
		if !time.Now().Before(c.end) {
			return
		}
		c.cable.cut.Store(true)
		time.Sleep(time.Duration(dice.IntN(600)) * c.unit)
		c.cable.cut.Store(false)
	}
}

// dialTo connects to b within some time, and gives the connection a deadline.
func (c *churn) dialTo(t *testing.T, address string) (*tcp.Conn, error) {
	ctx, cancel := context.WithTimeout(t.Context(), max(100*c.unit, 2*time.Second))
	defer cancel()
	conn, err := c.a.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(max(2000*c.unit, 5*time.Second)))
	return conn.(*tcp.Conn), nil
}

// echoed sends n bytes and reads them back.
func echoed(conn net.Conn, n int) error {
	want, got := payload(n), make([]byte, n)
	if _, err := conn.Write(want); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%d other bytes came back", n)
	}
	return nil
}

func (c *churn) exchange(t *testing.T, dice *rand.Rand) error {
	conn, err := c.dialTo(t, "10.0.0.2:7")
	if err != nil {
		return err
	}
	defer conn.Close()
	for range 1 + dice.IntN(3) {
		if err := echoed(conn, 1+dice.IntN(20_000)); err != nil {
			return err
		}
	}
	return nil
}

func (c *churn) halfClose(t *testing.T, dice *rand.Rand) error {
	conn, err := c.dialTo(t, "10.0.0.2:7")
	if err != nil {
		return err
	}
	defer conn.Close()
	want := payload(dice.IntN(20_000))
	if _, err := conn.Write(want); err != nil {
		return err
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	got, err := io.ReadAll(conn)
	if err == nil && !bytes.Equal(got, want) {
		return fmt.Errorf("%d bytes came back of %d", len(got), len(want))
	}
	return err
}

func (c *churn) abort(t *testing.T, dice *rand.Rand) error {
	conn, err := c.dialTo(t, "10.0.0.2:7")
	if err != nil {
		return err
	}
	if dice.IntN(2) == 0 {
		conn.SetLinger(0)
	} // otherwise the reset is for what was not read
	_, err = conn.Write(payload(dice.IntN(20_000)))
	time.Sleep(time.Duration(dice.IntN(20)) * time.Millisecond)
	conn.Close()
	return err
}

func (c *churn) idle(t *testing.T, dice *rand.Rand) error {
	conn, err := c.dialTo(t, "10.0.0.2:7")
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetKeepAliveConfig(c.keepAlive()); err != nil {
		return err
	}
	time.Sleep(time.Duration(dice.IntN(1800)) * c.unit)
	return echoed(conn, 1)
}

func (c *churn) readDeadline(t *testing.T, dice *rand.Rand) error {
	conn, err := c.dialTo(t, "10.0.0.2:7")
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(time.Duration(dice.IntN(100)) * c.unit))
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("read %d bytes that nobody sent: %w", n, err)
	}
	return nil
}

func (c *churn) refused(t *testing.T, _ *rand.Rand) error {
	conn, err := c.dialTo(t, "10.0.0.2:9")
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	if err == nil {
		conn.Close()
		return errors.New("a connection to where nobody listens")
	}
	return err
}

func (c *churn) nobody(t *testing.T, _ *rand.Rand) error {
	conn, err := c.dialTo(t, "10.0.0.99:7")
	if err == nil {
		conn.Close()
		return errors.New("a connection to where nobody is")
	}
	if isNetworkError(err) {
		return nil
	}
	return err
}

// listener has b listen for some connections, of which it accepts a part.
func (c *churn) listener(t *testing.T, dice *rand.Rand) error {
	l, err := c.b.Listen("tcp", "10.0.0.2:0")
	if err != nil {
		return err
	}
	defer l.Close()
	for i := range 1 + dice.IntN(4) {
		conn, err := c.dialTo(t, l.Addr().String())
		if err != nil {
			return err
		}
		defer conn.Close()
		if i%2 == 0 {
			continue // closing the listener resets it
		}
		l.(*tcp.Listener).SetDeadline(time.Now().Add(max(10*c.unit, time.Second)))
		accepted, err := l.Accept()
		if err != nil {
			return err
		}
		accepted.Close()
	}
	return nil
}

func (c *churn) datagrams(t *testing.T, dice *rand.Rand) error {
	u, err := c.a.Dial("udp", "10.0.0.2:7")
	if err != nil {
		return err
	}
	defer u.Close()
	u.SetDeadline(time.Now().Add(max(10*c.unit, 2*time.Second)))
	want, got := payload(1+dice.IntN(1400)), make([]byte, 2000)
	if _, err := u.Write(want); err != nil {
		return err
	}
	n, err := u.Read(got)
	if err == nil && !bytes.Equal(got[:n], want) {
		return fmt.Errorf("%d other bytes came back", n)
	}
	return err
}

func (c *churn) ping(t *testing.T, _ *rand.Rand) error {
	ctx, cancel := context.WithTimeout(t.Context(), max(10*c.unit, 2*time.Second))
	defer cancel()
	_, err := c.a.Ping(ctx, netip.MustParseAddr("10.0.0.2"))
	return err
}

// checkDeeds checks that outages were the exception.
func (c *churn) checkDeeds(t *testing.T) {
	var b strings.Builder
	for i := range deeds {
		tried, done := c.tried[i].Load(), c.done[i].Load()
		fmt.Fprintf(&b, "%s: %d of %d\n", deeds[i].name, done, tried)
		if tried > 20 && done*2 < tried {
			t.Errorf("%s: %d of %d", deeds[i].name, done, tried)
		}
	}
	t.Logf("%v\na:\n%v\nb:\n%v", b.String(), c.a.Stats(), c.b.Stats())
}

// checkLeft checks that nothing is left of all deeds.
func (c *churn) checkLeft(t *testing.T, routines int, packets int64) {
	if s := states(c.a); len(s) != 0 {
		t.Errorf("states at a: %v", s)
	}
	if s := states(c.b); s[tcp.Listen] != 1 || len(s) != 1 {
		t.Errorf("states at b: %v", s)
	}
	n := goroutines.Count()
	for range 100 { // what goes on of itself now and then may be at work right now
		if n <= routines {
			break
		}
		time.Sleep(c.unit)
		n = goroutines.Count()
	}
	if n > routines {
		t.Errorf("%d goroutines, before %d\n%s", n, routines, strings.Join(goroutines.Running(), "\n\n"))
	}
	if n := packet.Live(); n > packets {
		t.Errorf("%d packets, before %d", n, packets)
	}
}

// checkPorts checks that every ephemeral port can be had again.
func (c *churn) checkPorts(t *testing.T) {
	const ephemeral = 65536 - 32768
	for name, s := range map[string]*gonet.Stack{"a": c.a, "b": c.b} {
		n := 0
		for ; n <= ephemeral; n++ {
			l, err := s.Listen("tcp", ":0")
			if err != nil {
				break
			}
			defer l.Close()
		}
		if n != ephemeral {
			t.Errorf("%s has %d ports of %d", name, n, ephemeral)
		}
	}
}
