package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp"
	"github.com/seed-012105e5/gonet/udp"
)

// One consumer that is slow, or stuck, delays no other by more than its own queue.

// A gate is middleware that can be shut: from then on the card takes no frame.
type gate struct {
	shut atomic.Bool
	open chan struct{} // closed in the end
}

func (g *gate) plug(l link.Link) link.Link {
	tx := make(chan *packet.Buffer, link.QueueLen)
	go func(to chan<- *packet.Buffer) {
		defer close(to)
		for b := range tx {
			if g.shut.Load() {
				<-g.open
			}
			to <- b
		}
	}(l.Tx)
	l.Tx = tx
	return l
}

// A crowd is a host with two cards, a neighbour on each, and users who ask the
// first for an answer all the time. The second card can be stuck.
//
//	near, 10.0.0.2 ── 10.0.0.1  host  10.1.0.1 ── gate ── far, 10.1.0.2
type crowd struct {
	t               *testing.T
	host, near, far *gonet.Stack
	card            gate
	requests        map[string]func() error
}

func newCrowd(t *testing.T) *crowd {
	c := &crowd{t: t, card: gate{open: make(chan struct{})}}
	n0, n1 := link.Pipe(link.PipeConfig{})
	f0, f1 := link.Pipe(link.PipeConfig{})
	c.near, c.far = newHost(t, n1, "10.0.0.2/24", 2), newHost(t, f1, "10.1.0.2/24", 3)
	var err error
	c.host, err = gonet.New(gonet.Config{
		Rand: repeat(1),
		TCP:  tcp.Config{Backlog: 4},
		Interfaces: []gonet.Interface{
			{Link: n0, Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}},
			{
				Link: c.card.plug(f0), Addrs: []netip.Prefix{netip.MustParsePrefix("10.1.0.1/24")},
				Static: map[netip.Addr]ethernet.Addr{netip.MustParseAddr("10.1.0.2"): f1.MAC},
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.requests = map[string]func() error{
		"TCP":             c.tcpEcho(c.near, "10.0.0.2:7"),
		"TCP in the host": c.tcpEcho(c.host, "127.0.0.1:7"),
		"UDP":             c.udpEcho(c.near, "10.0.0.2:7"),
		"UDP in the host": c.udpEcho(c.host, "10.0.0.1:7"),
		"UDP from a peer": c.udpAsked("10.0.0.1:8"),
		"a new connection": func() error {
			conn, err := c.host.DialContext(c.soon(), "tcp", "10.0.0.2:7")
			if err == nil {
				conn.Close()
			}
			return err
		},
		"a ping": func() error {
			_, err := c.host.Ping(c.soon(), netip.MustParseAddr("10.0.0.2"))
			return err
		},
		"a ping from a peer": func() error {
			_, err := c.near.Ping(c.soon(), netip.MustParseAddr("10.0.0.1"))
			return err
		},
	}
	return c
}

// tooLong ends a request.
const tooLong = 10 * time.Second

func (c *crowd) soon() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), tooLong)
	context.AfterFunc(ctx, cancel)
	return ctx
}

// tcpEcho is a request on a connection of the host's to an echo of to.
func (c *crowd) tcpEcho(to *gonet.Stack, at string) func() error {
	go echo(listen(c.t, to, at))
	conn := dial(c.t, c.host, at)
	return exchange(conn)
}

func (c *crowd) udpEcho(to *gonet.Stack, at string) func() error {
	go echoDatagrams(listenUDP(c.t, to, at))
	return exchange(dialUDP(c.t, c.host, at))
}

// udpAsked is a request of the neighbour's to an echo of the host.
func (c *crowd) udpAsked(at string) func() error {
	go echoDatagrams(listenUDP(c.t, c.host, at))
	return exchange(dialUDP(c.t, c.near, at))
}

func echoDatagrams(p *udp.Conn) {
	buf := make([]byte, 100)
	for {
		n, from, err := p.ReadFrom(buf)
		if err != nil {
			return
		}
		p.WriteTo(buf[:n], from)
	}
}

// exchange sends a byte, and waits for it to come back.
func exchange(conn net.Conn) func() error {
	return func() error {
		conn.SetDeadline(time.Now().Add(tooLong))
		if _, err := conn.Write([]byte{1}); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, make([]byte, 1))
		return err
	}
}

// worst is the 99th percentile of how long a request takes, of the kind that
// takes longest.
func (c *crowd) worst(requests int) (p99 time.Duration, of string) {
	type took struct {
		kind string
		d    time.Duration
	}
	took99 := make(chan took)
	for kind, ask := range c.requests {
		go func() {
			var all []time.Duration
			for range requests {
				time.Sleep(time.Millisecond)
				began := time.Now()
				err := ask()
				d := time.Since(began)
				if err != nil {
					d, kind = tooLong, fmt.Sprintf("%s (%v)", kind, err)
				}
				if all = append(all, d); err != nil {
					break // one lost request in a hundred is too much for p99, and waiting for more takes long
				}
			}
			slices.Sort(all)
			took99 <- took{kind, all[len(all)*99/100]}
		}()
	}
	for range c.requests {
		if x := <-took99; x.d >= p99 {
			p99, of = x.d, x.kind
		}
	}
	return p99, of
}

func (c *crowd) close() {
	close(c.card.open)
	c.host.Close()
	c.near.Close()
	c.far.Close()
}

// flood writes to conn without end, as another goroutine.
func flood(conn net.Conn) {
	go func() {
		p := make([]byte, 1000)
		for {
			if _, err := conn.Write(p); err != nil {
				return
			}
		}
	}()
}

// stuck is the ways in which one consumer can be.
var stuck = map[string]func(c *crowd){
	"a card": func(c *crowd) {
		conn, _ := connect(c.t, c.host, c.far, "10.1.0.2:0")
		c.card.shut.Store(true)
		flood(conn)
		for range 50 {
			flood(dialUDP(c.t, c.host, "10.1.0.2:9"))
			go c.host.Ping(c.soon(), netip.MustParseAddr("10.1.0.2"))
			go c.host.DialContext(c.soon(), "tcp", "10.1.0.2:9")
		}
	},
	"a neighbour that does not answer": func(c *crowd) {
		for range 50 {
			p := dialUDP(c.t, c.host, "10.0.0.99:9")
			p.SetWriteDeadline(time.Now().Add(time.Minute))
			go func() {
				for range 1000 {
					if _, err := p.Write([]byte{1}); errors.Is(err, net.ErrClosed) {
						return
					}
					time.Sleep(time.Millisecond)
				}
			}()
		}
	},
	"a UDP socket that nobody reads": func(c *crowd) {
		listenUDP(c.t, c.host, "10.0.0.1:99")
		burst(dialUDP(c.t, c.near, "10.0.0.1:99"))
	},
	"a connection that nobody reads": func(c *crowd) {
		_, far := connect(c.t, c.host, c.near, "10.0.0.2:0")
		flood(far)
	},
	"a connection that many users call": func(c *crowd) {
		conn, far := connect(c.t, c.host, c.near, "10.0.0.2:0")
		go io.Copy(io.Discard, far)
		go io.Copy(io.Discard, conn)
		for range 10 {
			go func() {
				for {
					conn.SetTTL(9)
					conn.Info()
					if _, err := conn.Write([]byte{1}); err != nil {
						return
					}
					time.Sleep(time.Millisecond)
				}
			}()
		}
	},
	"a peer that does not read": func(c *crowd) {
		conn, _ := connect(c.t, c.host, c.near, "10.0.0.2:0")
		flood(conn)
	},
	"a listener that nobody accepts from": func(c *crowd) {
		listen(c.t, c.host, "10.0.0.1:99")
		for range 50 {
			go c.near.DialContext(c.soon(), "tcp", "10.0.0.1:99")
		}
	},
	"reports and signals that nobody takes": func(c *crowd) {
		p := listenUDP(c.t, c.host, "10.0.0.1:99")
		for range 100 {
			p.WriteTo([]byte{1}, &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 99}) // a closed port
		}
		conn, far := connect(c.t, c.host, c.near, "10.0.0.2:0")
		conn.Signals()
		for range 100 {
			far.WriteUrgent([]byte{1})
		}
	},
}

// burst sends more datagrams than any queue holds, a few each instant.
func burst(p *udp.Conn) {
	go func() {
		for i := range 5000 {
			if _, err := p.Write(make([]byte, 1000)); err != nil {
				return
			}
			if i%10 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	}()
}

// TestNoConsumerDelaysOthers: with one consumer stuck in each way, the requests
// of all others take no longer than before.
func TestNoConsumerDelaysOthers(t *testing.T) {
	for name, stick := range stuck {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				c := newCrowd(t)
				defer time.Sleep(2 * tooLong) // all users see the end
				defer c.close()
				before, _ := c.worst(100)
				stick(c)
				if after, of := c.worst(100); after > before+time.Millisecond {
					t.Errorf("%s takes %v, and took %v", of, after, before)
				}
			})
		})
	}
}

// TestNoConsumerDelaysOthersBusy is the same in real time, with all CPUs busy: then
// goroutines are stopped at any point, with the token of a connection in their hands
// too. No request fails; how long they take then is the scheduler's affair.
func TestNoConsumerDelaysOthersBusy(t *testing.T) {
	stop := make(chan struct{})
	var busy sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		busy.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					runtime.Gosched()
				}
			}
		})
	}
	defer busy.Wait()
	defer close(stop)
	for name, stick := range stuck {
		t.Run(name, func(t *testing.T) {
			c := newCrowd(t)
			defer c.close()
			stick(c)
			if after, of := c.worst(30); after >= tooLong {
				t.Errorf("%s takes %v", of, after)
			}
		})
	}
}
