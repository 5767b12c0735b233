package gonet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/arp"
	"github.com/seed-012105e5/gonet/link"
)

// TestNeighbours: who has been spoken with is in the table, with its age; who does not
// answer is there too; links without Ethernet have none.
func TestNeighbours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := link.Pipe(link.PipeConfig{})
		start := func(l link.Link, addr string) *Stack {
			s, err := New(Config{Link: l, Addr: netip.MustParsePrefix(addr)})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		s, peer := start(a, "10.0.0.1/24"), start(b, "10.0.0.2/24")
		if _, err := s.Ping(context.Background(), netip.MustParseAddr("10.0.0.2")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second) // the peer announces itself a second time after two (RFC 5227 section 2.3)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Ping(ctx, netip.MustParseAddr("10.0.0.9"))
		all, err := s.Neighbours(context.Background())
		want := []Neighbour{
			{0, arp.Neighbour{Addr: netip.MustParseAddr("10.0.0.2"), MAC: b.MAC, State: "reachable", Age: 2 * time.Second}},
			{0, arp.Neighbour{Addr: netip.MustParseAddr("10.0.0.9"), State: "incomplete"}},
		}
		if err != nil || len(all) != len(want) {
			t.Fatalf("%+v, %v; want %+v", all, err, want)
		}
		for i := range want {
			if all[i].Age = all[i].Age.Round(100 * time.Millisecond); all[i] != want[i] {
				t.Errorf("%+v, want %+v", all[i], want[i])
			}
		}
		s.Close()
		if _, err := s.Neighbours(context.Background()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		peer.Close()
	})
}
