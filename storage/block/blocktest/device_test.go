package blocktest_test

import (
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/blocktest"
	"github.com/seed-012105e5/gonet/storage/block/filter"
)

func TestMemory(t *testing.T) {
	blocktest.TestDevice(t, func(*testing.T) block.Device { return block.NewMemory(1<<20 + 12345) })
}

func TestMemorySmall(t *testing.T) {
	blocktest.TestDevice(t, func(*testing.T) block.Device { return block.NewMemory(64 << 10) })
}

func TestVolatile(t *testing.T) {
	blocktest.TestDevice(t, func(t *testing.T) block.Device {
		v, err := filter.NewVolatile(block.NewMemory(1<<20 + 100))
		if err != nil {
			t.Fatal(err)
		}
		return v
	})
}

func TestPartition(t *testing.T) {
	blocktest.TestDevice(t, func(t *testing.T) block.Device {
		p, err := filter.NewPartition(block.NewMemory(2<<20), 12345, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return p
	})
}

// A plain device has four methods and no more.
type plain struct{ block.Device }

func TestPlain(t *testing.T) {
	blocktest.TestDevice(t, func(*testing.T) block.Device { return plain{block.NewMemory(1 << 20)} })
}
