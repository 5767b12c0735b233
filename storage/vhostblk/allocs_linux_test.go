package vhostblk

import (
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
)

// TestAllocs: a request takes no memory in the steady state, on either side: done by
// the owner of the ring or by a worker, in memory or in a file, split and packed.
func TestAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for name, dev := range map[string]block.Device{
		"memory": block.NewMemory(1 << 20), "file": openFile(t, 1<<20), "workers": &slow{block.NewMemory(1 << 20), func() {}},
	} {
		for _, packed := range []bool{false, true} {
			_, f := serve(t, dev, Config{}, FrontendConfig{Packed: packed})
			for length, n := range map[int]int{4096: 300, 256 << 10: 30} {
				p := make([]byte, length)
				for op, do := range map[string]func(){
					"read":  func() { f.ReadAt(p, 4096) },
					"write": func() { f.WriteAt(p, 4096) },
					"trim":  func() { f.Trim(0, 4096) },
				} {
					for range 100 {
						do()
					}
					// A collection of garbage empties pools.
					least := 100.0
					for range 5 {
						least = min(least, testing.AllocsPerRun(n, do))
					}
					if least > 0 {
						t.Errorf("%s, %s of %d bytes, packed %v: %v allocations", name, op, length, packed, least)
					}
				}
			}
			f.Close()
		}
	}
}
