package icmp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// MaxPingSize is the most data that an echo request carries, in bytes.
const MaxPingSize = ipv4.MaxLen - ipv4.MinHeaderLen - HeaderLen

// PingOptions say what an echo request looks like.
type PingOptions struct {
	Size int   // bytes of data behind the ICMP header, 0 to MaxPingSize
	TTL  uint8 // time to live; 0 means ipv4.DefaultTTL, and 1 to a multicast group
	DF   bool  // do not fragment
}

// A PingReply is what came back.
type PingReply struct {
	RTT  time.Duration // until the reply arrived at the link
	TTL  uint8         // that the reply arrived with
	From netip.Addr    // who replied: the destination, or some member of the group
	Size int           // bytes of data behind the ICMP header
}

// An Error is an ICMP error about an echo request. It is wrapped by what Ping
// returns, and wraps the errno that a socket would get.
type Error struct{ ip.ICMPError }

// Error says what is wrong, and who has said so.
func (e *Error) Error() string {
	return fmt.Sprintf("%v says %s (code %d)", e.From, typeName(e.Type), e.Code)
}

// Unwrap returns the errno: EHOSTUNREACH, EMSGSIZE and so on.
func (e *Error) Unwrap() error { return e.Err() }

// A Ping is a request from a Pinger to Run: to send an echo, or to forget one.
type Ping struct {
	*echo
	cancel bool
}

// echo is an echo request that waits for its reply.
type echo struct {
	dst      netip.Addr
	opts     PingOptions
	answered chan<- pong // buffered 1, and sent on once at most

	// What Run knows of it, in its own table.
	name echoName
	sent time.Time
}

type pong struct {
	reply PingReply
	err   error
}

// A Pinger sends echo requests. Its methods may be called by any number of
// goroutines.
type Pinger struct {
	pings edge.Out[Ping]
	ended <-chan struct{}
}

// NewPinger returns a Pinger for the Run that takes from pings; ended is
// closed when that has returned.
func NewPinger(pings edge.Out[Ping], ended <-chan struct{}) *Pinger {
	return &Pinger{pings, ended}
}

// Ping sends one echo request to dst, which may be a group, and waits for the
// first reply, an ICMP error, or the end of ctx. The error is a *net.OpError
// around ctx.Err(), an *Error, or an errno: EINVAL for a dst that is not IPv4,
// EMSGSIZE, ENETUNREACH, ENOBUFS; or net.ErrClosed.
func (p *Pinger) Ping(ctx context.Context, dst netip.Addr, opts PingOptions) (PingReply, error) {
	dst = dst.Unmap()
	reply, err := p.ping(ctx, dst, opts)
	if err != nil {
		return PingReply{}, &net.OpError{Op: "ping", Net: "ip4:icmp", Addr: &net.IPAddr{IP: dst.AsSlice()}, Err: err}
	}
	return reply, nil
}

func (p *Pinger) ping(ctx context.Context, dst netip.Addr, opts PingOptions) (PingReply, error) {
	switch {
	case !dst.Is4() || dst.IsUnspecified():
		return PingReply{}, syscall.EINVAL
	case opts.Size < 0 || opts.Size > MaxPingSize:
		return PingReply{}, syscall.EMSGSIZE
	case ctx.Err() != nil:
		return PingReply{}, ctx.Err()
	}
	answered := make(chan pong, 1)
	e := &echo{dst: dst, opts: opts, answered: answered}
	if !p.pings.SendUnless(Ping{echo: e}, p.ended) {
		return PingReply{}, net.ErrClosed
	}
	select {
	case a := <-answered:
		return a.reply, a.err
	case <-ctx.Done():
		p.pings.SendUnless(Ping{echo: e, cancel: true}, p.ended)
		return PingReply{}, ctx.Err()
	case <-p.ended:
		return PingReply{}, net.ErrClosed
	}
}

// pingTable holds the echo requests that wait for a reply. Identifier and
// sequence number, by which they are told apart, are random: who gets one sees
// by them nothing of others, and who gets none cannot answer in the place of
// another.
type pingTable struct {
	random  func() uint64
	max     int
	waiting map[echoName]*echo
}

// An echoName is how a reply names the request that it is for.
type echoName struct{ id, seq uint16 }

func newPingTable(random func() uint64, max int) *pingTable {
	return &pingTable{random: random, max: max, waiting: map[echoName]*echo{}}
}

// add gives e its name; false when the table is full.
func (t *pingTable) add(e *echo) bool {
	if len(t.waiting) >= t.max {
		return false
	}
	random := t.random()
	name := echoName{uint16(random >> 16), uint16(random)}
	for t.waiting[name] != nil {
		name.seq++ // the table is much smaller than the numbers
	}
	e.name = name
	t.waiting[name] = e
	return true
}

func (t *pingTable) remove(e *echo) {
	if t.waiting[e.name] == e {
		delete(t.waiting, e.name)
	}
}

// take removes and returns the echo that has this name, and may be answered by
// from: a single host answers for itself alone. It is nil if there is none.
func (t *pingTable) take(name echoName, from netip.Addr, table *ip.Table) *echo {
	e := t.waiting[name]
	if e == nil || from != e.dst && !isGroup(e.dst, table) {
		return nil
	}
	delete(t.waiting, name)
	return e
}

// replied ends the ping that the echo reply m, in b, answers.
func (t *pingTable) replied(b *packet.Buffer, m Message, table *ip.Table) bool {
	h := ipv4.Header(b.Network())
	e := t.take(echoName{m.ID(), m.Seq()}, h.Src(), table)
	if e == nil {
		return false
	}
	e.answered <- pong{reply: PingReply{RTT: b.Arrived.Sub(e.sent), TTL: h.TTL(), From: h.Src(), Size: len(m.Data())}}
	return true
}

// failed ends the ping that the error is about.
func (t *pingTable) failed(e ip.ICMPError, table *ip.Table) bool {
	m := Message(e.Transport[:])
	if m.Type() != TypeEcho {
		return false
	}
	request := t.take(echoName{m.ID(), m.Seq()}, e.Dst, table)
	if request == nil {
		return false
	}
	request.answered <- pong{err: &Error{e}}
	return true
}

// newEcho returns the datagram of e.
func newEcho(e *echo, src netip.Addr) *packet.Buffer {
	b := packet.Get(e.opts.Size)
	for i, data := 0, b.Extend(e.opts.Size); i < len(data); i++ {
		data[i] = byte(i)
	}
	Push(b, TypeEcho, 0, uint32(e.name.id)<<16|uint32(e.name.seq))
	ttl := e.opts.TTL
	if ttl == 0 && e.dst.IsMulticast() {
		ttl = 1 // RFC 1112 section 6.1
	}
	ipv4.Push(b, ipv4.Fields{TTL: ttl, Protocol: ip.ProtocolICMP, DF: e.opts.DF, Src: src, Dst: e.dst})
	return b
}

func isGroup(a netip.Addr, table *ip.Table) bool {
	return a.IsMulticast() || table.IsBroadcast(a)
}
