package ipv4

import (
	"testing"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// TestMachines: what an Output hands to a link is what an Input delivers, in
// fragments too; what nobody is there to be told of is dropped.
func TestMachines(t *testing.T) {
	before := packet.Live()
	table := twoLinks(t)
	var stats Stats
	in := NewInput(RxConfig{Table: table, Random: seeded()}, &stats)
	got := 0
	out := NewOutput(TxConfig{Table: table, Random: seeded()}, func(link int, b *packet.Buffer) {
		b.Link = link
		h := Header(b.Bytes())
		copy(h[12:20], append(append([]byte(nil), h[16:20]...), h[12:16]...)) // as if the peer had sent it
		b, protocol := in.Receive(b)
		if b != nil {
			if got++; protocol != ip.ProtocolTCP {
				t.Errorf("protocol %d", protocol)
			}
			b.Release()
		}
	}, &stats)
	src, _ := table.Load().Source(addr("10.0.1.9"))
	f := Fields{Protocol: ip.ProtocolTCP, Src: src, Dst: addr("10.0.1.9")}
	out.Send(made(f, pattern(100)))
	out.Send(made(f, pattern(4000))) // longer than the MTU
	if got != 2 {
		t.Errorf("%d datagrams have come, of %d packets", got, stats.TxPackets.Load())
	}
	f.DF = true
	out.Send(made(f, pattern(4000)))
	if stats.DropTooBig.Load() != 1 || stats.ErrorRequestsLost.Load() != 1 {
		t.Errorf("too big: %d, lost: %d", stats.DropTooBig.Load(), stats.ErrorRequestsLost.Load())
	}
	in.Close()
	if live := packet.Live() - before; live != 0 {
		t.Errorf("%d buffers leaked", live)
	}
}

// TestMachineExpire: fragments that wait run out by the Deadline of an Input.
func TestMachineExpire(t *testing.T) {
	before := packet.Live()
	var stats Stats
	in := NewInput(RxConfig{Table: twoLinks(t), Random: seeded()}, &stats)
	if !in.Deadline().IsZero() {
		t.Errorf("a deadline at %v, with nothing to wait for", in.Deadline())
	}
	f := Fields{Protocol: ip.ProtocolTCP, Src: addr("10.0.1.9"), Dst: addr("10.0.1.2")}
	b := made(f, pattern(80))
	h := Header(b.Bytes())
	h[6] = 0x20 // more fragments
	h.updateChecksum()
	if b, _ := in.Receive(b); b != nil {
		t.Fatal("a fragment is a datagram")
	}
	in.Expire(in.Deadline())
	if !in.Deadline().IsZero() || stats.DropReassemblyTimeout.Load() != 1 {
		t.Errorf("a deadline at %v; %d have run out", in.Deadline(), stats.DropReassemblyTimeout.Load())
	}
	if live := packet.Live() - before; live != 0 {
		t.Errorf("%d buffers leaked", live)
	}
}
