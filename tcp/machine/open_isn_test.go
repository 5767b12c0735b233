package machine

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
)

// TestISN: MUST-8, MUST-9, SHLD-1, RFC6528-3: initial sequence numbers follow a clock of 4
// microseconds for each connection, and those of different connections or
// secrets have nothing to do with each other.
func TestISN(t *testing.T) {
	k := newSecrets(rand.New(rand.NewPCG(1, 9)).Uint64)
	other := newSecrets(rand.New(rand.NewPCG(2, 9)).Uint64)
	f := tcptest.PeerFlow(1)
	first := k.initialSeq(tcptest.Start, f)
	if got := k.initialSeq(tcptest.Start.Add(time.Second), f).Sub(first); got != 250000 {
		t.Errorf("%d further on after a second", got)
	}
	for i := range 100 {
		if d := k.initialSeq(tcptest.Start, tcptest.PeerFlow(i+2)).Sub(first); d > -100000 && d < 100000 {
			t.Errorf("the number of the next connection is only %d away", d)
		}
	}
	if d := other.initialSeq(tcptest.Start, f).Sub(first); d > -100000 && d < 100000 {
		t.Errorf("with another secret it is only %d away", d)
	}
}

// TestTimestampOffset: RFC7323-5.4, RFC6191-2: connections between the same two hosts share a clock,
// others do not.
func TestTimestampOffset(t *testing.T) {
	k := newSecrets(rand.New(rand.NewPCG(1, 9)).Uint64)
	far := tcptest.PeerFlow(1)
	far.Remote = ip.EndpointOf(far.Remote.Addr().Next(), far.Remote.Port)
	if k.timestampOffset(tcptest.PeerFlow(1)) != k.timestampOffset(tcptest.PeerFlow(2)) || k.timestampOffset(tcptest.PeerFlow(1)) == k.timestampOffset(far) {
		t.Error("the clock is not that of the two hosts")
	}
}
