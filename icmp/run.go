package icmp

import (
	"cmp"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// Config is what Run must know. The zero value of each field but Table
// means the default.
type Config struct {
	Table  *ip.CurrentTable
	Random func() uint64 // the source of random numbers, called by Run alone; nil means math/rand/v2

	ErrorRate  int // errors sent a second to all hosts, from which on some are left out at random; 0 means 1000, less than 0 no limit
	ErrorBurst int // errors sent a second to one host, about; 0 means 10, at most 100
	MaxPings   int // most echo requests that wait for a reply; 0 means 1024
}

// Run is ICMP. It returns when in is closed.
//
// In carries messages for this host, undeliverable the datagrams whose next
// hop does not answer (the front at the IP header, NextHop set), errorRequests the
// datagrams that IP or UDP could not serve, and pings the requests of Pingers.
//
//	Owns:      the table of pings, what limits errors
//	Reads:     in; undeliverable, errorRequests, pings
//	Writes:    tx and advice, which when full lose the reply or the advice; udp, tcp; the answer to each ping
//	Blocks on: in; udp and tcp, whose readers are always ready
func Run(in *edge.Inbox, undeliverable edge.In[*packet.Buffer], errorRequests edge.In[ip.ErrorRequest], pings edge.In[Ping],
	tx ip.Edges, udp, tcp edge.Out[ip.ICMPError], advice []edge.Out[ip.Advice], cfg Config, stats *Stats) {
	p := newProcess(tx, udp, tcp, advice, cfg, stats)
	for in.Next(p.message) {
		if !in.Rung() {
			continue
		}
		if b, ok := undeliverable.Try(); ok {
			p.undeliverable(b)
			in.Again()
		}
		if r, ok := errorRequests.Try(); ok {
			p.errorRequest(r)
			in.Again()
		}
		if ping, ok := pings.Try(); ok {
			p.ping(ping)
			in.Again()
		}
	}
	undeliverable.Drain((*packet.Buffer).Release)
	errorRequests.Drain(func(r ip.ErrorRequest) { r.Packet.Release() })
}

// process is the state of Run, and the channels that its events lead to.
type process struct {
	table    *ip.CurrentTable
	stats    *Stats
	tx       ip.Edges
	udp, tcp edge.Out[ip.ICMPError]
	advice   []edge.Out[ip.Advice]
	random   func() uint64

	pings  *pingTable
	errors *limiter
}

func newProcess(tx ip.Edges, udp, tcp edge.Out[ip.ICMPError], advice []edge.Out[ip.Advice], cfg Config, stats *Stats) *process {
	p := &process{table: cfg.Table, stats: stats, tx: tx, udp: udp, tcp: tcp, advice: advice}
	if cfg.Random == nil {
		cfg.Random = rand.Uint64
	}
	p.random = cfg.Random
	p.pings = newPingTable(cfg.Random, cmp.Or(cfg.MaxPings, 1024))
	p.errors = newLimiter(cfg.ErrorRate, cfg.ErrorBurst, cfg.Random)
	return p
}

// message deals with one message to this host.
func (p *process) message(b *packet.Buffer) {
	p.stats.RxMessages.Add(1)
	m, err := Parse(b)
	switch {
	case err == ErrLength:
		p.stats.DropLength.Add(1)
	case err == ErrChecksum:
		p.stats.DropChecksum.Add(1)
	case m.Type() == TypeEcho:
		p.echo(b, m)
		return
	default:
		p.consume(b, m)
	}
	b.Release()
}

// consume deals with a message that nothing is sent back for. It stays with
// the caller.
func (p *process) consume(b *packet.Buffer, m Message) {
	switch m.Type() {
	case TypeEchoReply:
		if !p.pings.replied(b, m, p.table.Load()) {
			p.stats.DropStrayReply.Add(1)
			return
		}
		p.stats.RxReplies.Add(1)
	case ip.TypeUnreachable, ip.TypeTimeExceeded, ip.TypeParameterProblem:
		e, ok := received(b, m, p.table.Load())
		if !ok {
			p.stats.DropBadError.Add(1)
			return
		}
		p.stats.RxErrors.Add(1)
		p.tell(e)
	case TypeRedirect:
		a, ok := redirect(b, m, p.table.Load())
		if !ok {
			p.stats.DropBadRedirect.Add(1)
			return
		}
		p.stats.RxRedirects.Add(1)
		p.advise(a)
	case ip.TypeSourceQuench:
		p.stats.DropSourceQuench.Add(1) // RFC 6633 section 3
	default:
		p.stats.DropUnknownType.Add(1)
	}
}

// echo answers an echo request.
func (p *process) echo(b *packet.Buffer, m Message) {
	p.stats.RxEchoes.Add(1)
	if !mayEcho(ipv4.Header(b.Network()), b.Group, p.table.Load()) {
		p.stats.DropGroupEcho.Add(1)
		b.Release()
		return
	}
	turnEcho(b, m)
	if p.send(b) {
		p.stats.TxReplies.Add(1)
	}
}

// undeliverable deals with a datagram whose next hop did not answer.
func (p *process) undeliverable(b *packet.Buffer) {
	b.MarkNetwork()
	if b.NextHop != ipv4.Header(b.Network()).Dst() {
		p.advise(ip.Advice{Gateway: b.NextHop})
	}
	p.errorRequest(ip.ErrorRequest{Type: ip.TypeUnreachable, Code: ip.CodeHostUnreachable, Packet: b})
}

// errorRequest tells the sender of a datagram that it could not be served: by an
// ICMPError when that is this host, and by a message otherwise.
func (p *process) errorRequest(r ip.ErrorRequest) {
	b := r.Packet
	defer b.Release()
	h := ipv4.Header(b.Network())
	switch {
	case p.table.Load().IsLocal(h.Src()):
		p.stats.LocalErrors.Add(1)
		if e, ok := errorAbout(r.Type, r.Code, r.Value, h.Src(), h); ok {
			p.tell(e)
		}
	case !mayError(h, b.Group, p.table.Load()):
		p.stats.ErrorsNotAllowed.Add(1)
	case !p.errors.allow(time.Now(), h.Src()):
		p.stats.ErrorsRateLimited.Add(1)
	default:
		e, ok := newError(r, p.table.Load())
		if !ok {
			p.stats.ErrorsNoRoute.Add(1)
		} else if p.send(e) {
			p.stats.TxErrors.Add(1)
		}
	}
}

// tell brings e to the transport whose datagram it is about (RFC 1122
// section 3.2.2). Other protocols have nobody here who would listen.
func (p *process) tell(e ip.ICMPError) {
	switch e.Protocol {
	case ip.ProtocolUDP:
		p.udp.Send(e)
	case ip.ProtocolTCP:
		p.tcp.Send(e)
	case ip.ProtocolICMP:
		p.pings.failed(e, p.table.Load())
	}
}

func (p *process) advise(a ip.Advice) {
	if !ip.Advise(p.advice, a) {
		p.stats.AdviceFull.Add(1)
	}
}

// ping sends an echo request, or forgets one.
func (p *process) ping(ping Ping) {
	e := ping.echo
	if ping.cancel {
		p.pings.remove(e)
		return
	}
	src, ok := p.table.Load().Source(e.dst)
	switch {
	case !ok:
		p.refuse(e, syscall.ENETUNREACH)
		return
	case !p.pings.add(e):
		p.refuse(e, syscall.ENOBUFS)
		return
	}
	b := newEcho(e, src)
	e.sent = time.Now()
	if !p.send(b) {
		p.pings.remove(e)
		p.refuse(e, syscall.ENOBUFS)
		return
	}
	p.stats.TxEchoes.Add(1)
}

func (p *process) refuse(e *echo, err error) {
	p.stats.PingsRefused.Add(1)
	e.answered <- pong{err: err}
}

// send gives b to tx if there is room; Run must not wait for transmit.
func (p *process) send(b *packet.Buffer) bool {
	if p.tx.Offer(b, p.random) {
		return true
	}
	p.stats.DropTxFull.Add(1)
	b.Release()
	return false
}
