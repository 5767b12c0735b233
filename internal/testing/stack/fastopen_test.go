package stack

import (
	"context"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/link"
)

// TestDialFastOpen: RFC7413-2: between two stacks the second question has its
// answer after one round trip, where the first took two.
func TestDialFastOpen(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const delay = 50 * time.Millisecond
		p := newPair(t, func(l link.Link) link.Link { return link.Impair(l, link.Impairment{Delay: delay}) })
		defer p.close()
		l := listen(t, p.b, ":7")
		if err := l.SetFastOpen(1); err != nil {
			t.Fatal(err)
		}
		go echo(l)
		ask := func() time.Duration {
			began := time.Now()
			c, err := p.a.DialFastOpen(context.Background(), "tcp", "10.0.0.2:7", []byte("question"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			answer := make([]byte, 8)
			if _, err := io.ReadFull(c, answer); err != nil || string(answer) != "question" {
				t.Errorf("%q, %v", answer, err)
			}
			return time.Since(began)
		}
		for range 2 { // the first waits for ARP too
			if _, err := p.a.Ping(context.Background(), netip.MustParseAddr("10.0.0.2")); err != nil {
				t.Fatal(err)
			}
		}
		rtt, err := p.a.Ping(context.Background(), netip.MustParseAddr("10.0.0.2"))
		if err != nil {
			t.Fatal(err)
		}
		for i, trips := range []int{2, 1, 1} {
			took := ask()
			if got := float64(took) / float64(rtt); got < float64(trips)*0.99 || got > float64(trips)*1.01 {
				t.Errorf("question %d took %v, %.2f round trips, want %d", i, took, got, trips)
			}
		}
	})
}
