package setup

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

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

	flags *Flags
	pcap  *os.File // or nil
}

// Pair makes two hosts. The line to B and back is impaired as the flags say;
// the packets of A are recorded, by sinks too.
//
// It is the end of B that is impaired, because there packets are cut out of
// trains. Cut earlier, the bursts would not fit the queue of the cable.
func (f *Flags) Pair(sinks ...link.Sink) (*Pair, error) {
	file, err := f.openPcap()
	if err != nil {
		return nil, err
	}
	a, b := link.Pipe(link.PipeConfig{})
	a, b = f.record(a, file, sinks...), f.impair(b)
	p := &Pair{flags: f, pcap: file}
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
	p.A.Close()
	p.B.Close()
	if p.flags.Stats {
		fmt.Fprintf(p.flags.Out, "\ncounters of %v\n%v\ncounters of %v\n%v", AddrA.Addr(), p.A.Stats(), AddrB.Addr(), p.B.Stats())
	}
	if p.pcap == nil {
		return nil
	}
	return p.pcap.Close()
}
