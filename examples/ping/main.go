// Ping sends echo requests to a host, as ping(8) does, from a TCP/IP stack of its own
// behind a tap. Nobody but the kernel is at the other end of the tap, unless
// the kernel forwards.
//
//	sudo go run ./examples/ping -c 5
//	sudo go run ./examples/ping -delay 10ms -loss 0.2 10.0.0.1
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/examples/internal/setup"
	"github.com/seed-012105e5/gonet/icmp"
	"github.com/seed-012105e5/gonet/internal/program"
)

const about = `
Ping sends echo requests to a host, from a TCP/IP stack of its own behind a tap. The
host is the kernel's end of the tap if none is given; it has a name where -dns
says which server the stack is to ask. Others are reached if the kernel forwards
(sysctl net.ipv4.ip_forward=1).`

func main() { program.Main(run) }

// ipAndICMP is how many bytes of headers a ping has.
const ipAndICMP = 28

func run(ctx context.Context, args []string, out io.Writer) error {
	tap := setup.New("ping", "[HOST]", about, out).Tap()
	tap.Private()
	tap.Names()
	tap.Examples("-c 5", "-delay 10ms -loss 0.2 10.0.0.1")
	p := pinger{out: tap.Out}
	var to string
	tap.IntVar(&p.count, "c", 0, "stop after so `many` (default at Ctrl-C)")
	interval := tap.Float64("i", 1, "`seconds` from one to the next")
	wait := tap.Float64("W", 0, "`seconds` to wait for an answer\n(default 1; 10 until there has been one, so that it is told of a neighbour who is not there)")
	tap.IntVar(&p.options.Size, "s", 56, "`bytes` of data")
	if err := tap.Parse(args, &to); err != nil {
		return err
	}
	p.interval, p.wait, p.quiet = seconds(*interval), seconds(*wait), tap.Quiet
	p.from, p.to = tap.Addr.Addr(), tap.Host.Addr()
	name := ""
	if to != "" {
		var err error
		if p.to, err = netip.ParseAddr(to); err != nil {
			name = to
		}
	}
	switch {
	case name != "" && !tap.HasNames():
		return program.Usage("%q is no address: for names say with -dns which server to ask", name)
	case name == "" && !p.to.Is4():
		return program.Usage("want the IPv4 address of a host")
	case p.options.Size < 0 || p.options.Size > icmp.MaxPingSize:
		return program.Usage("-s %d: a ping carries 0 to %d bytes", p.options.Size, icmp.MaxPingSize)
	case p.interval <= 0 || p.wait < 0 || p.wait == 0 && tap.Given("W") || p.count < 0:
		return program.Usage("-c, -i and -W are more than nothing")
	}
	return tap.Run(ctx, func(host *setup.Host) error {
		if name != "" {
			addrs, err := host.LookupNetIP(ctx, "ip4", name)
			if err != nil {
				return err
			}
			p.to = addrs[0]
		}
		fmt.Fprintf(p.out, "PING %v %d(%d) bytes of data.\n", p.to, p.options.Size, p.options.Size+ipAndICMP)
		seen := p.run(ctx, host)
		fmt.Fprint(p.out, seen.summary(p.to))
		if seen.received == 0 {
			return errors.New("no answer")
		}
		return nil
	})
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// A pinger sends pings to a host.
type pinger struct {
	from, to       netip.Addr
	count          int           // 0: without end
	interval, wait time.Duration // wait 0: see patience
	options        icmp.PingOptions
	quiet          bool
	out            io.Writer
}

// An answer is what became of one ping.
type answer struct {
	seq   int
	reply icmp.PingReply
	err   error
	wait  time.Duration // at most
}

// run pings until all are answered, or ctx is done.
func (p *pinger) run(ctx context.Context, host *setup.Host) (seen statistics) {
	began := time.Now()
	ticker := time.NewTicker(p.interval)
	defer ticker.Stop()
	answers := make(chan answer)
	asked, open := 0, 0
	next, done := ticker.C, ctx.Done()
	ask := func() {
		asked++
		open++
		seq, wait := asked, p.patience(seen.received > 0)
		go func() { answers <- p.ask(ctx, host, seq, wait) }()
		if asked == p.count {
			next = nil
		}
	}
	for ask(); next != nil || open > 0; {
		select {
		case <-next:
			ask()
		case a := <-answers:
			open--
			if !errors.Is(a.err, context.Canceled) { // then it was not lost
				seen.add(a)
				p.print(a)
			}
		case <-done:
			next, done = nil, nil
		}
	}
	seen.took = time.Since(began)
	return seen
}

// patience is how long to wait for an answer. A neighbour is given up after some
// seconds without an answer to ARP (RFC 1122 section 2.3.2.1), which is worth the
// wait as long as nobody has answered at all.
func (p *pinger) patience(answered bool) time.Duration {
	switch {
	case p.wait > 0:
		return p.wait
	case answered:
		return time.Second
	}
	return 10 * time.Second
}

// ask sends one ping, and waits for what becomes of it.
func (p *pinger) ask(ctx context.Context, host *setup.Host, seq int, wait time.Duration) answer {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	reply, err := host.PingWith(ctx, p.to, p.options)
	return answer{seq, reply, err, wait}
}

func (p *pinger) print(a answer) {
	var wrapped *net.OpError // says whom we ask, which everybody knows here
	var reported *icmp.Error
	switch {
	case p.quiet:
	case a.err == nil:
		fmt.Fprintf(p.out, "%d bytes from %v: icmp_seq=%d ttl=%d time=%s ms\n",
			a.reply.Size+icmp.HeaderLen, a.reply.From, a.seq, a.reply.TTL, milliseconds(a.reply.RTT))
	case errors.Is(a.err, context.DeadlineExceeded):
		fmt.Fprintf(p.out, "no answer to icmp_seq=%d in %v\n", a.seq, a.wait)
	case errors.Is(a.err, syscall.EHOSTUNREACH) && errors.As(a.err, &reported) && reported.From == p.from:
		fmt.Fprintf(p.out, "icmp_seq=%d: no host on this network says by ARP that it has %v or is the way there\n", a.seq, p.to)
	case errors.As(a.err, &wrapped):
		fmt.Fprintf(p.out, "icmp_seq=%d: %v\n", a.seq, wrapped.Err)
	}
}
