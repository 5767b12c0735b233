package virtqueue

import (
	"fmt"
	"testing"

	"github.com/seed-012105e5/gonet/vhost/memory"
)

// Where the parts of a test's guest lie, from the start of its memory.
const (
	atDesc   = 0x0000
	atDriver = 0x4000
	atDevice = 0x5000
	atTables = 0x8000
	atData   = 0x20000
	guestLen = 0x40000

	guestBase = 0x1000_0000      // for the guest
	userBase  = 0x7f00_0000_0000 // for the front end
)

// A guest is its memory, in one piece of this process.
type guest struct {
	t     testing.TB
	mem   []byte
	table *memory.Table
}

func newGuest(t testing.TB) *guest {
	t.Helper()
	g := &guest{t: t, mem: make([]byte, guestLen)}
	// Two regions side by side, so that spans can lie in both.
	const first = atData + 0x10000
	var all []*memory.Mapping
	for _, r := range []memory.Region{
		{Guest: guestBase, Size: first, User: userBase},
		{Guest: guestBase + first, Size: guestLen - first, User: userBase + 0x100000},
	} {
		at := r.Guest - guestBase
		m, err := memory.New(r, g.mem[at:at+r.Size], nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	var err error
	if g.table, err = memory.NewTable(all...); err != nil {
		t.Fatal(err)
	}
	return g
}

// config is that of the queue, new.
func (g *guest) config(size int, features uint64) Config {
	c := Config{
		Size: size, Features: features | FeatureVersion1,
		Descriptors: userBase + atDesc, Driver: userBase + atDriver, Device: userBase + atDevice,
		Indirect: guestBase + atTables, IndirectLen: 4,
	}
	if features&FeaturePacked != 0 {
		c.Base = NewPackedBase
	}
	return c
}

func (g *guest) device(c Config) *Device {
	g.t.Helper()
	q, err := NewDevice(g.table, c)
	if err != nil {
		g.t.Fatal(err)
	}
	return q
}

func (g *guest) driver(c Config) *Driver {
	g.t.Helper()
	q, err := NewDriver(g.table, c)
	if err != nil {
		g.t.Fatal(err)
	}
	return q
}

// names of features, for subtests.
func featureName(features uint64) string {
	name := "split"
	if features&FeaturePacked != 0 {
		name = "packed"
	}
	if features&FeatureEventIdx != 0 {
		name += "+event"
	}
	if features&FeatureIndirect != 0 {
		name += "+indirect"
	}
	return name
}

// kinds are all combinations of features, each with some sizes.
func kinds(t *testing.T, f func(t *testing.T, size int, features uint64)) {
	for _, packed := range []uint64{0, FeaturePacked} {
		for _, event := range []uint64{0, FeatureEventIdx} {
			for _, indirect := range []uint64{0, FeatureIndirect} {
				features := packed | event | indirect
				sizes := []int{1, 2, 8, 64}
				if packed != 0 {
					sizes = []int{1, 3, 8, 61}
				}
				for _, size := range sizes {
					t.Run(fmt.Sprintf("%s/%d", featureName(features), size), func(t *testing.T) { f(t, size, features) })
				}
			}
		}
	}
}
