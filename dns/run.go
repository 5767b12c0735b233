package dns

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/seed-012105e5/gonet/edge"
)

// A Call is a request from a Resolver to Run: to begin a lookup, or to cancel one.
type Call struct {
	*lookup
	cancel bool
}

// An event is what an exchange tells: a message that has come, or the error that
// has ended it.
type event struct {
	*exchange
	message []byte
	err     error
}

// runner is the state of Run.
type runner struct {
	machine   *machine
	exchanges map[*exchange]context.CancelFunc // that are open
	events    chan event
	all       sync.WaitGroup // of exchanges
	dial      func(ctx context.Context, network string, server netip.AddrPort) (net.Conn, error)
	ctx       context.Context
}

// Run serves the lookups that come by calls until quit is closed, and returns
// when all that it has started has ended. Lookups that wait then get no answer.
//
//	Owns:      the cache, the queries and what is known of the servers
//	Reads:     calls, quit, the events of exchanges
//	Writes:    the answers to lookups, each to a channel with room for it
//	Blocks on: its inputs
func Run(calls edge.In[Call], quit <-chan struct{}, cfg Config, stats *Stats) {
	ctx, cancel := context.WithCancel(context.Background())
	m := newMachine(cfg, stats)
	r := &runner{machine: m, exchanges: map[*exchange]context.CancelFunc{}, events: make(chan event), dial: m.cfg.Dial, ctx: ctx}
	defer r.all.Wait()
	defer cancel()
	for {
		select {
		case c := <-calls.C():
			calls.Took()
			if c.cancel {
				r.machine.cancel(c.lookup)
			} else {
				r.machine.begin(time.Now(), c.lookup)
			}
		case e := <-r.events:
			if e.err != nil {
				r.end(e.exchange)
				r.machine.failed(time.Now(), e.exchange, e.err)
			} else {
				r.machine.received(time.Now(), e.exchange, e.message)
			}
		case <-quit:
			return
		}
		for _, a := range r.machine.output() {
			r.do(a)
		}
	}
}

// do carries out an action of the machine.
func (r *runner) do(a action) {
	switch {
	case a.answer != nil:
		a.answer.answered <- a.answer.result // has room for the only one
	case a.close != nil:
		r.end(a.close)
	case a.open != nil:
		ctx, cancel := context.WithCancel(r.ctx)
		r.exchanges[a.open] = cancel
		r.all.Add(1)
		go r.converse(ctx, a.open)
	}
}

// end has the goroutine of x return.
func (r *runner) end(x *exchange) {
	if cancel := r.exchanges[x]; cancel != nil {
		cancel()
		delete(r.exchanges, x)
	}
}

// converse sends the message of x from a new socket, and reports what comes back.
//
//	Owns:      the socket
//	Reads:     the socket
//	Writes:    the socket, and events until ctx ends
//	Blocks on: the socket until the exchange's limit, and events
func (r *runner) converse(ctx context.Context, x *exchange) {
	defer r.all.Done()
	report := func(e event) bool {
		e.exchange = x
		select {
		case r.events <- e:
			return true
		case <-ctx.Done():
			return false
		}
	}
	err := x.carry(ctx, r.dial, func(msg []byte) bool { return report(event{message: msg}) })
	if ctx.Err() == nil {
		report(event{err: err})
	}
}

// carry is the exchange up to the error that ends it. Got takes each message, and
// says whether to go on.
func (x *exchange) carry(ctx context.Context, dial func(context.Context, string, netip.AddrPort) (net.Conn, error), got func([]byte) bool) error {
	limit := time.Now().Add(x.limit)
	network := "udp"
	if x.stream {
		network = "tcp"
	}
	dialCtx, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	c, err := dial(dialCtx, network, x.server.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(limit)
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) }) // wakes who reads
	defer stop()

	msg, read := x.message, readDatagram
	if x.stream { // RFC 1035 section 4.2.2, and in one piece: RFC 7766 section 8
		msg, read = append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...), readStream
	}
	if _, err := c.Write(msg); err != nil {
		return err
	}
	for {
		msg, err := read(c)
		if err != nil {
			return err
		}
		if !got(msg) {
			return nil
		}
	}
}

// readDatagram reads a datagram; what is longer than was asked for is so still
// by one byte.
func readDatagram(c net.Conn) ([]byte, error) {
	var p [udpSize + 1]byte
	n, err := c.Read(p[:])
	return slices.Clone(p[:n]), err
}

// readStream reads a message with its length in front.
func readStream(c net.Conn) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return nil, err
	}
	p := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(c, p)
	return p, err
}
