package dns

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/noninterference"
)

// TestCacheTellsNothing: whoever has the servers of some names, and so sees which of
// these the stack asks for and when, does not learn by that which other names it
// has looked up, nor what was forged in answer to those. When the cache is full,
// his own names go from it earlier: so he learns how many others there were. (Ids
// are drawn, and others' draws are among them: they are left out here.)
func TestCacheTellsNothing(t *testing.T) {
	const entries = 8
	play := func(others int, name func(i int) string, forged bool, seed uint64) (view string) {
		random := rand.New(rand.NewPCG(seed, 1))
		b := newBench(t, Config{Servers: both, CacheEntries: entries})
		serve := func(ttl uint32) {
			for _, x := range b.open {
				if strings.HasSuffix(x.query.name, ".observer.example.") {
					view += fmt.Sprintf("%v %v %v %x\n", b.now.Unix(), x.server.addr, x.stream, x.message[2:])
				} else if forged {
					for range random.IntN(2 * maxForged) {
						b.received(b.now, x, []byte{byte(x.id >> 8), ^byte(x.id), 0x80, 0})
					}
				}
			}
			for b.settle(); len(b.open) > 0; {
				x := b.open[0]
				b.reply(x, answers(a(x.query.name, ttl, "192.0.2.1")))
			}
		}
		schedule := rand.New(rand.NewPCG(seed, 2))
		for range 60 {
			for range schedule.IntN(8) {
				if i := schedule.IntN(entries); i < others {
					b.look(name(i))
					serve(60)
				}
			}
			b.look(fmt.Sprintf("n%d.observer.example.", schedule.IntN(4)))
			serve(uint32(schedule.IntN(60)))
			b.pass(time.Duration(schedule.IntN(20)) * time.Second)
		}
		return view
	}
	secret, plain := func(i int) string { return fmt.Sprintf("x%d.secret.example.", i*i) }, func(i int) string { return fmt.Sprintf("h%d.", i) }
	for _, c := range []struct {
		why           string
		without, with int // other names
		seen          bool
	}{
		{"others than those, and forged answers, while there is room", 0, entries - 4, false},
		{"who the others are, when there is none", entries, entries, false},
		{"how many others, when there is none", 0, entries, true},
	} {
		err := noninterference.Equal(40, func(isSecret bool, seed uint64) string {
			if isSecret {
				return play(c.with, secret, true, seed)
			}
			return play(c.without, plain, false, seed)
		})
		if (err != nil) != c.seen {
			t.Errorf("%s: %v", c.why, err)
		}
	}
}
