package arp

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/packet"
)

// TestStation: a datagram waits until its next hop has answered, and
// one whose next hop does not is dropped.
func TestStation(t *testing.T) {
	before := packet.Live()
	now := time.Unix(1_000_000_000, 0)
	var stats Stats
	sent := ""
	card := func(b *packet.Buffer) {
		h := ethernet.Header(b.Bytes())
		sent += fmt.Sprintf(" %v:%x", h.Dst(), h.Type())
		b.Release()
	}
	took := func(what, want string) {
		t.Helper()
		if sent != want {
			t.Errorf("%s: sent%s, want%s", what, sent, want)
		}
		sent = ""
	}
	s := NewStation(now, Config{MAC: macA, Addrs: []netip.Addr{ipA}}, card, &stats)
	took("the start", " ff:ff:ff:ff:ff:ff:806")

	send := func(to netip.Addr) {
		b := packet.From([]byte("datagram"))
		b.NextHop = to
		s.Send(now, b)
	}
	send(ipB)
	took("a next hop that is not known", " ff:ff:ff:ff:ff:ff:806")
	answer := packet.Get(PacketLen)
	replyFrom(macB, ipB).Append(answer)
	s.Receive(now, answer)
	took("its answer", " "+macB.String()+":800")
	send(ipB)
	took("a next hop that is known", " "+macB.String()+":800")

	send(netip.MustParseAddr("10.0.0.77"))
	for range 100 {
		if d := s.Deadline(); !d.IsZero() {
			now = d
			s.Expire(now)
		}
	}
	if n := stats.DropUndeliverable.Load(); n != 1 {
		t.Errorf("%d undeliverable", n)
	}
	send(netip.MustParseAddr("10.0.0.78"))
	s.Close()
	if live := packet.Live() - before; live != 0 {
		t.Errorf("%d buffers leaked", live)
	}
}
