package filter_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/blocktest"
	"github.com/seed-012105e5/gonet/storage/block/filter"
)

// TestVolatileCuts holds the filter itself against the model of what a cut may
// leave.
func TestVolatileCuts(t *testing.T) {
	blocktest.TestPowerCuts(t, blocktest.Cuts{Seed: 1, Rounds: 200}, func(store block.Device) (block.Device, error) {
		return filter.NewPartition(store, 0, 1<<20)
	})
}

// A liar acknowledges as durable what it has not made durable.
type liar struct{ block.Device }

func (l liar) Sync() error { return nil }

// A lateFUA writes with FUA what is durable with the next Sync only.
type lateFUA struct{ block.Device }

func (l lateFUA) WriteAtFUA(p []byte, off int64) (int, error) { return l.WriteAt(p, off) }

// TestVolatileFindsFaults shows that the test of power cuts fails for devices that
// lose what they acknowledged.
func TestVolatileFindsFaults(t *testing.T) {
	for name, broken := range map[string]func(block.Device) block.Device{
		"Sync": func(d block.Device) block.Device { return liar{d} },
		"FUA":  func(d block.Device) block.Device { return lateFUA{d} },
	} {
		err := blocktest.FindLoss(blocktest.Cuts{Seed: 1, Rounds: 100}, func(store block.Device) (block.Device, error) {
			part, err := filter.NewPartition(store, 0, 1<<20)
			return broken(part), err
		})
		if err == nil {
			t.Errorf("a %s that makes nothing durable is not found", name)
		}
	}
}

// TestVolatileOutcomes cuts with many seeds: all that a cut may leave of one write
// does occur, and nothing else.
func TestVolatileOutcomes(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(100) {
		memory := block.NewMemory(4096)
		v, err := filter.NewVolatile(memory)
		if err != nil {
			t.Fatal(err)
		}
		v.WriteAt(bytes.Repeat([]byte{'a'}, 1024), 0)
		v.Sync()
		v.WriteAt(bytes.Repeat([]byte{'b'}, 1024), 0)
		v.WriteAtFUA(bytes.Repeat([]byte{'c'}, 512), 1024)
		if n := v.Pending(); n != 1 {
			t.Fatalf("%d writes are pending", n)
		}
		v.Cut(seed)
		if _, err := v.ReadAt(make([]byte, 1), 0); !errors.Is(err, block.ErrClosed) {
			t.Fatal(err)
		}
		p := make([]byte, 1536)
		memory.ReadAt(p, 0)
		for i := range 3 {
			if s := p[i*512:][:512]; bytes.Count(s, s[:1]) != 512 {
				t.Fatalf("sector %d is torn", i)
			}
		}
		seen[string([]byte{p[0], p[512], p[1024]})]++
	}
	if len(seen) != 4 || seen["aac"] == 0 || seen["abc"] == 0 || seen["bac"] == 0 || seen["bbc"] == 0 {
		t.Errorf("a cut leaves %v", seen)
	}
}
