//go:build race || packetcheck

package packet

import "sync/atomic"

// With the race detector, or the build tag packetcheck, every Buffer knows
// whether it is alive: a use after Release panics, released memory is
// poisoned, and Live counts what has not been released, for tests of leaks.

var live atomic.Int64

type check struct{ isAlive bool }

func (c *check) get() {
	c.isAlive = true
	live.Add(1)
}

func (c *check) release(mem []byte) {
	if !c.isAlive {
		panic("packet: released twice")
	}
	c.isAlive = false
	live.Add(-1)
	for i := range mem {
		mem[i] = 0xdb
	}
}

func (c *check) alive() {
	if !c.isAlive {
		panic("packet: used after Release")
	}
}

// Checked says whether this build checks the life of every Buffer.
const Checked = true

// Live is how many Buffers have not been released, in the whole process.
func Live() int64 { return live.Load() }
