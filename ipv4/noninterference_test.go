package ipv4

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/internal/testing/noninterference"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// TestAnswersTellNothing: somebody who fills the queue of answers with those to
// segments that he forges, and then wants one of his own, does not see by it
// whether all of them were answered: those for a connection that there is are not.
// With a sharp edge he does.
func TestAnswersTellNothing(t *testing.T) {
	const room, tries = 4096, 2000
	b := packet.Get(0)
	defer b.Release()
	// answered is whether his own answer finds room, when so many wait before the
	// last of those that are forged.
	answered := func(waiting int, random func() uint64) func(bool, uint64) float64 {
		queue := make(chan *packet.Buffer, room)
		e := ip.Edges{Loop: edge.To(queue).Out()}
		for range waiting {
			queue <- b
		}
		return func(secret bool, _ uint64) (answered float64) {
			if !secret {
				e.Offer(b, random)
			}
			if e.Offer(b, random) {
				answered = 1
			}
			for len(queue) > waiting {
				<-queue
			}
			return answered
		}
	}
	for _, waiting := range []int{0, room*3/4 - 1, room * 7 / 8, room - 2, room - 1} {
		random := rand.New(rand.NewPCG(uint64(waiting), 1)).Uint64
		if err := noninterference.Alike(tries, answered(waiting, random)); err != nil {
			t.Errorf("with %d answers in the queue: %v", waiting, err)
		}
	}
	if noninterference.Alike(tries, answered(room-1, func() uint64 { return room/4 - 1 })) == nil {
		t.Error("a sharp edge is not found")
	}
}

// TestRoutesTellNothing: redirects about what is sent to others, and their dead
// paths, change nothing of the way to the observer, whoever they are said to come
// from. That a gateway is dead, which he shares with others, he may see: his
// packets take another.
func TestRoutesTellNothing(t *testing.T) {
	gateways := []string{"10.0.1.1", "10.0.1.7", "10.0.1.8", "10.0.0.7", "192.168.7.2", "10.0.1.2", "9.9.9.9"}
	play := func(mine, others bool, dead bool, seed uint64) (view string) {
		random := rand.New(rand.NewPCG(seed, 1))
		r, now := newRouter(twoLinks(t)), epoch
		gateway := func() netip.Addr { return addr(gateways[random.IntN(len(gateways))]) }
		observer := addr("8.8.8.8")
		for range 40 {
			own := ip.Advice{Dst: observer, From: gateway(), Gateway: gateway()}
			if random.IntN(4) == 0 {
				own = ip.Advice{Dst: observer}
			}
			if mine && random.IntN(4) == 0 {
				r.learn(now, own)
			}
			for i := range random.IntN(6) {
				a := ip.Advice{Dst: netip.AddrFrom4([4]byte{8, 8, 4, byte(i)}), From: gateway(), Gateway: gateway()}
				if random.IntN(3) == 0 {
					a = ip.Advice{Dst: a.Dst}
				}
				if others {
					r.learn(now, a)
				}
			}
			if dead {
				r.learn(now, ip.Advice{Gateway: addr(gateways[0])})
			}
			hop, _ := r.route(now, observer)
			view += fmt.Sprintln(now.Sub(epoch), hop.Link, hop.NextHop, hop.MTU)
			now = now.Add(time.Duration(random.IntN(200)) * time.Second)
		}
		return view
	}
	others := func(secret bool, seed uint64) string { return play(true, secret, false, seed) }
	if err := noninterference.Equal(200, others); err != nil {
		t.Errorf("advice about others: %v", err)
	}
	dead := func(secret bool, seed uint64) string { return play(true, true, secret, seed) }
	if noninterference.Equal(1, dead) == nil {
		t.Error("a dead gateway is not seen")
	}
}
