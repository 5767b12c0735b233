package blocktest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/filter"
)

// Cuts says how TestPowerCuts goes about it. Zero values mean what is said.
type Cuts struct {
	Size   int64  // of the device in bytes, 1 MB
	Store  int64  // of the device that it rests on, 4 MB
	Rounds int    // power cuts, 50; a fifth of them with -short
	Lives  int    // power cuts until the store is empty again, 5
	Seed   uint64 // of all that is random

	// Base, if set, is filled before each use of an empty store, and is what the
	// device must hold then.
	Base block.Device
}

// TestPowerCuts cuts the power of a device that rests on another, again and again at
// random instants, under random writes of several users, and looks whether all that
// was acknowledged as durable is there, and no sector holds what was never written
// to it. open makes the device on the store, which is all zeroes at first and then
// what the last cut has left, and returns it; the device's size must be that of
// Cuts. The device is left as it is at the cut: what it does then fails.
func TestPowerCuts(t *testing.T, c Cuts, open func(store block.Device) (block.Device, error)) {
	t.Helper()
	if err := FindLoss(c, open); err != nil {
		t.Fatal(err)
	}
}

// FindLoss is TestPowerCuts for tests of tests: it returns what was lost.
func FindLoss(c Cuts, open func(store block.Device) (block.Device, error)) error {
	if c.Size == 0 {
		c.Size = 1 << 20
	}
	if c.Store == 0 {
		c.Store = 4 << 20
	}
	if c.Rounds == 0 {
		c.Rounds = 50
	}
	if testing.Short() {
		c.Rounds = (c.Rounds + 4) / 5
	}
	if c.Lives == 0 {
		c.Lives = 5
	}
	r := rand.New(rand.NewPCG(c.Seed, 0))
	var store *block.Memory
	var m *Model
	for round := range c.Rounds {
		if round%c.Lives == 0 {
			store, m = block.NewMemory(c.Store), NewModel(int(c.Size/SectorSize))
			if err := m.fill(c.Base); err != nil {
				return err
			}
		}
		if err := cutOnce(store, m, r, open); err != nil {
			return fmt.Errorf("seed %d, cut %d: %w", c.Seed, round, err)
		}
	}
	return nil
}

// cutOnce is one life of the device: what the last cut has left is looked at, then
// users write until the power goes. Sometimes it goes while the device is opened.
func cutOnce(store block.Device, m *Model, r *rand.Rand, open func(block.Device) (block.Device, error)) error {
	power, err := filter.NewVolatile(store)
	if err != nil {
		return err
	}
	writes := 1 + r.IntN(200)
	if r.IntN(4) == 0 {
		writes = 1 + r.IntN(5)
	}
	power.CutAfter(writes, r.Uint64())
	dev, err := open(power)
	if errors.Is(err, block.ErrClosed) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening what the cut has left: %w", err)
	}
	d, err := block.NewDisk(dev)
	if err != nil {
		return err
	}
	if err := m.CheckAfterCut(d); err != nil {
		if errors.Is(err, block.ErrClosed) {
			return nil
		}
		return err
	}
	const users = 4
	durable := []int{1, 10, 30}[r.IntN(3)]
	errs := make([]error, users)
	var wg sync.WaitGroup
	for u := range users {
		user := User{Disk: d, Model: m, Rand: rand.New(rand.NewPCG(r.Uint64(), uint64(u))), Number: u, Of: users, Durable: durable}
		wg.Go(func() { errs[u] = user.Run(1 << 20) })
	}
	wg.Wait()
	for _, err := range errs {
		if !errors.Is(err, block.ErrClosed) {
			return err
		}
	}
	return nil
}

// A User writes to its own sectors of a disk at random, and looks whether it finds
// what it wrote. Of so many users, each has runs of sectors of its own.
type User struct {
	Disk       *block.Disk
	Model      *Model
	Rand       *rand.Rand
	Number, Of int
	Durable    int // how many of a hundred calls are a Sync or have FUA; 0 means 20
}

const runSectors = 24 // that neighbours of the same user are: 12 KB, across clusters

// Run makes so many operations, or ends with the first error.
func (u User) Run(operations int) error {
	buffer := make([]byte, runSectors*SectorSize)
	for range operations {
		if err := u.step(buffer); err != nil {
			return err
		}
	}
	return nil
}

func (u User) step(buffer []byte) error {
	runs := (len(u.Model.sectors)/runSectors - u.Number + u.Of - 1) / u.Of
	first := int64(u.Number+u.Of*u.Rand.IntN(runs)) * runSectors
	skip := u.Rand.Int64N(runSectors)
	count := 1 + u.Rand.Int64N(runSectors-skip)
	first += skip
	p := buffer[:count*SectorSize]
	off, length := first*SectorSize, count*SectorSize
	what := u.Rand.IntN(8)
	durable := u.Rand.IntN(100) < max(u.Durable, 1)
	if u.Durable == 0 {
		durable = u.Rand.IntN(5) == 0
	}
	switch {
	case durable && what < 3:
		done := u.Model.Sync()
		if err := u.Disk.Sync(); err != nil {
			return err
		}
		done()
	case durable && what < 6 || what < 4:
		done := u.Model.Write(p, first)
		if _, err := u.Disk.WriteAtContext(context.Background(), p, off, durable); err != nil {
			return err
		}
		done(durable)
	case durable || what < 5:
		flags := []block.ZeroFlags{0, block.ZeroNoHole}[u.Rand.IntN(2)]
		if durable {
			flags |= block.ZeroFUA
		}
		done := u.Model.Zero(first, count)
		if err := u.Disk.WriteZeroes(off, length, flags); err != nil {
			return err
		}
		done(durable)
	default:
		if _, err := u.Disk.ReadAt(p, off); err != nil {
			return err
		}
		return u.Model.CheckNow(p, first)
	}
	return nil
}
