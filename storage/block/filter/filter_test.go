package filter_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/blocktest"
	"github.com/seed-012105e5/gonet/storage/block/filter"
)

// TestFilters holds each filter that lets all pass to the contract of devices,
// before a device with all powers and one with none.
func TestFilters(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for name, wrap := range map[string]func(block.Device) (block.Device, error){
		"Delay":    func(d block.Device) (block.Device, error) { return filter.Delay(d, filter.All, time.Microsecond) },
		"Fail":     func(d block.Device) (block.Device, error) { return filter.Fail(d, filter.Faults{}) },
		"Log":      func(d block.Device) (block.Device, error) { return filter.Log(d, log) },
		"Limit":    func(d block.Device) (block.Device, error) { return filter.Limit(d, filter.All, 1<<40, 1<<20) },
		"ReadOnly": func(d block.Device) (block.Device, error) { return filter.ReadOnly(d) },
		"Checksum": func(d block.Device) (block.Device, error) { return filter.NewChecksum(d) },
		"Volatile": func(d block.Device) (block.Device, error) { return filter.NewVolatile(d) },
		"Partition": func(d block.Device) (block.Device, error) {
			return filter.NewPartition(d, 12345, 1<<20-20000)
		},
	} {
		for below, make := range map[string]func() block.Device{
			"All":  func() block.Device { return block.NewMemory(1 << 20) },
			"None": func() block.Device { return plain{block.NewMemory(1 << 20)} },
		} {
			t.Run(name+below, func(t *testing.T) {
				blocktest.TestDevice(t, func(t *testing.T) block.Device {
					dev, err := wrap(make())
					if err != nil {
						t.Fatal(err)
					}
					d, err := block.NewDisk(dev)
					if err != nil {
						t.Fatal(err)
					}
					if i := d.Info(); below == "None" && (i.Trim || i.Zero || i.Extents || i.Resize) {
						t.Errorf("a device without powers has %+v", i)
					}
					return dev
				})
			})
		}
	}
}

// A plain device has four methods and no more.
type plain struct{ block.Device }

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, err := filter.Delay(block.NewMemory(4096), filter.Read|filter.Sync, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { d.ReadAt(make([]byte, 1), 0) })
		}
		wg.Wait()
		d.WriteAt([]byte{1}, 0)
		if took := time.Since(began); took != time.Second {
			t.Errorf("ten reads at once and a write took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := d.SyncContext(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second+time.Millisecond {
			t.Errorf("a Sync that was given up: %v after %v", err, time.Since(began))
		}
	})
}

func TestFail(t *testing.T) {
	var broken atomic.Bool
	memory := block.NewMemory(4096)
	d, err := filter.Fail(memory, filter.Faults{Kinds: filter.Changes | filter.Sync, When: func(filter.Op) bool { return broken.Load() }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.WriteAt([]byte{1}, 0); err != nil {
		t.Error(err)
	}
	broken.Store(true)
	for name, err := range map[string]error{
		"write": func() error { _, err := d.WriteAt([]byte{2}, 0); return err }(),
		"FUA":   func() error { _, err := d.WriteAtFUA([]byte{2}, 0); return err }(),
		"sync":  d.Sync(), "trim": d.Trim(0, 512), "zero": d.WriteZeroes(0, 512, 0), "resize": d.Resize(10),
	} {
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := make([]byte, 1)
	if _, err := d.ReadAt(p, 0); err != nil || p[0] != 1 {
		t.Errorf("read %d, %v: a write that failed has reached the device", p, err)
	}
	d, _ = filter.Fail(memory, filter.Faults{Rate: 0.3, Err: block.ErrNoSpace, Rand: rand.NewPCG(5, 5)})
	failed := 0
	for range 1000 {
		if _, err := d.ReadAt(p, 0); errors.Is(err, block.ErrNoSpace) {
			failed++
		}
	}
	if failed < 250 || failed > 350 {
		t.Errorf("of 1000 calls %d failed, at a rate of 0.3", failed)
	}
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, err := filter.Limit(block.NewMemory(1<<20), filter.Read|filter.Write, 1000, 500)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		p := make([]byte, 500)
		for i, want := range []time.Duration{0, 500, 1000, 1500} {
			if i%2 == 0 {
				d.ReadAt(p, 0)
			} else {
				d.WriteAt(p, 0)
			}
			if took := time.Since(began); took != want*time.Millisecond {
				t.Errorf("call %d ends after %v, want %v ms", i, took, int64(want))
			}
		}
		d.Sync()
		time.Sleep(time.Hour) // fills the bucket up to the burst
		began = time.Now()
		d.ReadAt(make([]byte, 2500), 0)
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("2500 bytes with 500 saved took %v", took)
		}
	})
}

func TestLog(t *testing.T) {
	var text bytes.Buffer
	d, err := filter.Log(block.NewMemory(4096), slog.New(slog.NewTextHandler(&text, nil)))
	if err != nil {
		t.Fatal(err)
	}
	d.WriteAtFUA([]byte{1, 2}, 10)
	d.Trim(0, 512)
	d.Resize(-1)
	for _, want := range []string{"msg=write off=10 length=2 took=", "fua=true", "msg=trim off=0 length=512 took="} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in %q", want, text.String())
		}
	}
}

// TestChecksum spoils a byte behind the filter.
func TestChecksum(t *testing.T) {
	memory := block.NewMemory(1 << 20)
	d, err := filter.NewChecksum(memory)
	if err != nil {
		t.Fatal(err)
	}
	p := bytes.Repeat([]byte{7}, 20000)
	d.WriteAt(p, 10000)
	d.WriteZeroes(100000, 10000, 0)
	spoil := func(off int64, b byte) { memory.WriteAt([]byte{b}, off) }
	for _, off := range []int64{10001, 100001, 8192} {
		spoil(off, 99)
		var where *block.MediumError
		if _, err := d.ReadAt(p, off-1); !errors.Is(err, filter.ErrChecksum) || !errors.As(err, &where) || where.Off != off&^4095 {
			t.Errorf("a read of what was spoiled: %v", err)
		}
		if off == 8192 {
			break
		}
		d.WriteAt(bytes.Repeat([]byte{1}, 4096), off&^4095)
		if _, err := d.ReadAt(p[:100], off); err != nil {
			t.Errorf("after it was written anew: %v", err)
		}
	}
	if n := d.Wrong(); n != 3 {
		t.Errorf("%d blocks were wrong", n)
	}
	if _, err := filter.NewChecksum(block.NewMemory(1000)); !errors.Is(err, block.ErrAlignment) {
		t.Error(err)
	}
}

func TestPartitionRange(t *testing.T) {
	for _, c := range [][2]int64{{-1, 10}, {0, 4097}, {4097, 0}, {1, 1<<63 - 1}, {0, -1}} {
		if _, err := filter.NewPartition(block.NewMemory(4096), c[0], c[1]); !errors.Is(err, block.ErrRange) {
			t.Errorf("%d: %v", c, err)
		}
	}
}
