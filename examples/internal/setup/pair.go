package setup

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/link"
)

// The addresses of a pair.
var (
	AddrA = netip.MustParsePrefix("10.0.0.1/24")
	AddrB = netip.MustParsePrefix("10.0.0.2/24")
)

// A Pair is two hosts, joined by a cable in memory.
type Pair struct {
	A, B *Host

	flags  *Flags
	finish func() error
}

// Pair makes two hosts. The card of A is impaired and recorded as the flags
// say, and by sinks.
func (f *Flags) Pair(sinks ...link.Sink) (*Pair, error) {
	a, b := link.Pipe(link.PipeConfig{})
	a, finish, err := f.wrap(a, sinks...)
	if err != nil {
		close(b.Tx)
		return nil, err
	}
	p := &Pair{flags: f, finish: finish}
	var errA, errB error
	p.A, errA = newHost(gonet.Config{Link: a, Addr: AddrA})
	p.B, errB = newHost(gonet.Config{Link: b, Addr: AddrB})
	if err := errors.Join(errA, errB); err != nil {
		return nil, err // of the source of randomness: there is nothing to go on with
	}
	return p, nil
}

// Close ends both hosts, and prints their counters if the flags say so.
func (p *Pair) Close() error {
	p.B.Close() // first: what is on a slow line to B is lost, and not waited for
	p.A.Close()
	if p.flags.Stats {
		fmt.Fprintf(p.flags.Out, "\ncounters of %v\n%v\ncounters of %v\n%v", AddrA.Addr(), p.A.Stats(), AddrB.Addr(), p.B.Stats())
	}
	return p.finish()
}
