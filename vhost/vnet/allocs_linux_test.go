package vnet

import (
	"testing"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// TestAllocations: in the steady state a packet makes no garbage, in either direction,
// neither at the card nor at the driver: small, full, in several buffers, and segments
// that were a train.
func TestAllocations(t *testing.T) {
	if packet.Checked {
		t.Skip("under -race, sync.Pool loses things on purpose")
	}
	for _, c := range []struct {
		name    string
		driver  Config
		n, size int // of the frame; of segments
		come    int // frames
	}{
		{"small", Config{}, 60, 0, 1},
		{"full", Config{}, 1514, 0, 1},
		{"a train in several buffers", Config{}, 20000, 1448, 1},
		{"segments of a train", Config{NoOffload: true}, 54 + 3*1000, 1000, 3},
	} {
		card, driver := pair(t, Config{}, c.driver)
		linked(t, card, driver)
		linked(t, driver, card)
		for _, way := range []struct {
			name     string
			from, to link.Link
		}{{"to the guest", card, driver}, {"from the guest", driver, card}} {
			var text []byte
			cross := func() {
				b := packet.Get(c.n)
				if text == nil {
					text = make([]byte, c.n)
					copy(text[12:], []byte{8, 0, 0x45, 0, byte((c.n - 14) >> 8), byte(c.n - 14)})
					copy(text[22:], []byte{64, 6})
					if c.n > 60 {
						text[46], text[47] = 5<<4, 0x10
					}
				}
				b.Append(text)
				if c.size > 0 {
					b.SetPartial(34, 16)
					b.SegmentSize = c.size
				}
				way.from.Tx <- b
				for range c.come {
					(<-way.to.Rx).Release()
				}
			}
			for range 300 { // pools fill, and chains find their sizes
				cross()
			}
			const many = 20 // a collection of garbage empties pools, which is seldom
			n := testing.AllocsPerRun(100, func() {
				for range many {
					cross()
				}
			})
			if n > 0 {
				t.Errorf("%s, %s: %v allocations for %d packets", c.name, way.name, n, many)
			}
		}
		end(driver, card)
	}
}
