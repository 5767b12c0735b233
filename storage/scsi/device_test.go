package scsi

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
)

// A faulty is a device that fails with an error, once it has one.
type faulty struct {
	*block.Memory
	read, write, sync error
	syncs             int
}

func (f *faulty) ReadAt(p []byte, off int64) (int, error) {
	if f.read != nil {
		return 0, f.read
	}
	return f.Memory.ReadAt(p, off)
}

func (f *faulty) WriteAt(p []byte, off int64) (int, error) {
	if f.write != nil {
		return 0, f.write
	}
	return f.Memory.WriteAt(p, off)
}

func (f *faulty) WriteAtFUA(p []byte, off int64) (int, error) {
	f.syncs++
	return f.WriteAt(p, off)
}

func (f *faulty) WriteZeroes(off, length int64, flags block.ZeroFlags) error {
	if f.write != nil {
		return f.write
	}
	return f.Memory.WriteZeroes(off, length, flags)
}

func (f *faulty) Extents(off, length int64, yield func(block.Extent) bool) error {
	if f.read != nil {
		return f.read
	}
	return f.Memory.Extents(off, length, yield)
}

func (f *faulty) Sync() error {
	f.syncs++
	return f.sync
}

// TestDeviceErrors walks what errors of a device become in commands.
func TestDeviceErrors(t *testing.T) {
	at := func(s Sense, lba uint64) Sense {
		s.HasInformation, s.Information = true, lba
		return s
	}
	medium := func(c Code) Sense { return Sense{Key: MediumError, Code: c} }
	space := Sense{Key: DataProtect, Code: CodeSpaceExhausted}
	protect := Sense{Key: DataProtect, Code: CodeWriteProtected}
	internal := Sense{Key: HardwareError, Code: CodeInternalFailure}
	for _, c := range []struct {
		err         error
		read, write Sense
	}{
		{io.ErrUnexpectedEOF, at(medium(CodeReadError), 16), at(medium(CodeWriteError), 16)},
		{syscall.EIO, at(medium(CodeReadError), 16), at(medium(CodeWriteError), 16)},
		{&block.MediumError{Op: "x", Off: 18*512 + 100, Err: syscall.EIO}, at(medium(CodeReadError), 18), at(medium(CodeWriteError), 18)},
		{&block.MediumError{Op: "x", Off: testBlocks * 512, Err: syscall.EIO}, at(medium(CodeReadError), 16), at(medium(CodeWriteError), 16)},
		{fmt.Errorf("wrapped: %w", block.ErrNoSpace), space, space},
		{block.ErrReadOnly, protect, protect},
		{block.ErrClosed, internal, internal},
		{block.ErrRange, beyond(16), beyond(16)},
		{context.DeadlineExceeded, Sense{Key: AbortedCommand}, Sense{Key: AbortedCommand}},
	} {
		f := &faulty{Memory: block.NewMemory(testBlocks * 512)}
		r := newRig(t, UnitConfig{Disk: newDisk(t, f)})
		f.read = c.err
		for _, op := range []byte{0x08, 0x28, 0xa8, 0x88, 0x2f, 0xaf, 0x8f} {
			r.fails(blocks(op, 16, 8), nil, 4096, c.read)
		}
		for _, op := range []byte{0x2f, 0x8b, 0x2e} {
			r.fails(set(blocks(op, 16, 8), op>>1&2), make([]byte, 4096), 0, c.read)
		}
		r.fails(blocks(0x89, 16, 4), make([]byte, 4096), 0, c.read)
		r.fails(append(append(cdb(0x9e, 0x12), be64(16)...), 0, 0, 0, 24, 0, 0), nil, 24, c.read)
		f.read, f.write = nil, c.err
		for _, op := range []byte{0x0a, 0x2a, 0xaa, 0x8a, 0x2e, 0xae, 0x8e, 0x8b} {
			r.fails(blocks(op, 16, 8), make([]byte, 4096), 0, c.write)
			if r.task.Transferred != 0 {
				t.Errorf("%02X that has failed has transferred %d", op, r.task.Transferred)
			}
		}
		r.fails(blocks(0x89, 16, 4), make([]byte, 4096), 0, c.write)
		r.fails(blocks(0x93, 16, 4), pattern(512, 1), 0, c.write)
		r.fails(blocks(0x41, 16, 4), make([]byte, 512), 0, c.write)
		r.fails(set(blocks(0x41, 16, 4), 8), make([]byte, 512), 0, c.write)
		list := append(append([]byte{0, 22, 0, 16, 0, 0, 0, 0}, be64(16)...), 0, 0, 0, 4, 0, 0, 0, 0)
		r.fails(cdb(0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0), list, 0, c.write)
	}
}

// TestThinDisk fills a device that has less room than it says.
func TestThinDisk(t *testing.T) {
	r := newRig(t, UnitConfig{Disk: newDisk(t, block.NewMemoryLimit(1<<20, 256<<10))})
	failed := false
	for lba := uint64(0); lba < 2048; lba += 128 {
		s, _ := r.on(r.nexus, blocks(0x2a, lba, 128), pattern(64<<10, 1), 0)
		if failed = r.task.Status != Good; failed {
			if s != (Sense{Key: DataProtect, Code: CodeSpaceExhausted}) {
				t.Errorf("no space: %v", s)
			}
			break
		}
	}
	if !failed {
		t.Error("the device never had no space")
	}
	r.good(set(blocks(0x93, 0, 256), 9), nil, 0)
	r.good(blocks(0x2a, 1024, 128), pattern(64<<10, 1), 0)
}

// TestDurable counts which commands make the device durable: those with FUA, those that
// verify, and without a write cache all that write.
func TestDurable(t *testing.T) {
	for _, through := range []bool{false, true} {
		f := &faulty{Memory: block.NewMemory(0x90000 * 512)}
		r := newRig(t, UnitConfig{Disk: newDisk(t, f), WriteThrough: through})
		synced := func(want bool, c []byte, out int) {
			t.Helper()
			f.syncs = 0
			r.good(c, make([]byte, out), 4096)
			if f.syncs > 0 != want {
				t.Errorf("WCE %v, % x: %d syncs", !through, c, f.syncs)
			}
		}
		for _, op := range []byte{0x2a, 0xaa, 0x8a, 0x8b} {
			synced(through, blocks(op, 0, 8), 4096)
			synced(through, set(blocks(op, 0, 8), 0x10), 4096) // DPO
			synced(true, set(blocks(op, 0, 8), 0x08), 4096)
			synced(true, set(blocks(op, 0, 8), 0x02), 4096)
		}
		synced(through, blocks(0x0a, 0x080000, 8), 4096) // no FUA, though the bit is set
		synced(false, blocks(0x08, 0x080000, 8), 0)
		synced(through, blocks(0x89, 0, 4), 4096)
		synced(true, set(blocks(0x89, 0, 4), 8), 4096)
		for _, op := range []byte{0x2e, 0xae, 0x8e} {
			synced(true, blocks(op, 0, 8), 4096)
		}
		synced(through, blocks(0x41, 0, 8), 512)
		synced(through, set(blocks(0x93, 0, 8), 9), 0)
		synced(through, cdb(0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0), 24)
		for _, op := range []byte{0x28, 0xa8, 0x88} {
			synced(false, blocks(op, 0, 8), 0)
			synced(true, set(blocks(op, 0, 8), 8), 0)
		}
		synced(true, blocks(0x35, 0, 0), 0)
		synced(true, blocks(0x91, 5, 1), 0)
		synced(true, cdb(0x1b, 0, 0, 0, 0, 0), 0)
		synced(false, cdb(0x1b, 0, 0, 0, 4, 0), 0)
		synced(false, cdb(0x1b, 0, 0, 0, 1, 0), 0)
		f.sync = syscall.EIO
		r.fails(blocks(0x35, 0, 0), nil, 0, Sense{Key: MediumError, Code: CodeWriteError})
		// Without a write cache what was written before is durable too.
		if !through {
			p := append(make([]byte, 4), cachingBytes...)
			p[6] = 0
			r.fails(select6(0, len(p)), p, 0, Sense{Key: MediumError, Code: CodeWriteError})
		}
	}
}

// TestAtomic has many tasks at the same time add to counters by COMPARE AND WRITE, set
// bits by ORWRITE, and write blocks whole: no addition, bit or block is lost or torn.
func TestAtomic(t *testing.T) {
	r := newRig(t, UnitConfig{})
	const users, rounds = 8, 60
	var wg sync.WaitGroup
	fail := make(chan error, users)
	for u := range users {
		n := r.attach(fmt.Sprint(u))
		wg.Go(func() {
			if err := addAndSet(n, u, rounds); err != nil {
				fail <- err
			}
		})
	}
	wg.Wait()
	select {
	case err := <-fail:
		t.Fatal(err)
	default:
	}
	p := r.good(blocks(0x28, 0, 2), nil, 1024)
	if got := binary.BigEndian.Uint32(p[600:]); got != users*rounds {
		t.Errorf("the counter is %d, want %d", got, users*rounds)
	}
	if got := r.good(blocks(0x28, 8, 1), nil, 512); !bytes.Equal(got, bytes.Repeat([]byte{0xff}, 512)) {
		t.Errorf("bits are lost: % x", got[:16])
	}
}

// addAndSet is one user of TestAtomic.
func addAndSet(n *Nexus, user, rounds int) error {
	var task Task
	run := func(c, out []byte, in int) []byte {
		p := make([]byte, in)
		n.Begin(&task, 0, c)
		task.Execute(context.Background(), out, p)
		return p
	}
	run(ready, nil, 0)
	run(blocks(0x8b, 8, 1), bytes.Repeat([]byte{1 << user}, 512), 0)
	for done := 0; done < rounds; {
		old := run(blocks(0x28, 0, 2), nil, 1024)
		if !bytes.Equal(old[600:604], old[4:8]) {
			return errors.New("a write was read in part")
		}
		count := binary.BigEndian.Uint32(old[600:]) + 1
		both := append(bytes.Clone(old), old...)
		binary.BigEndian.PutUint32(both[1024+600:], count)
		binary.BigEndian.PutUint32(both[1024+4:], count)
		run(blocks(0x89, 0, 2), both, 0)
		switch {
		case task.Status == Good:
			done++
		case task.SenseError().Key != Miscompare:
			return task.SenseError()
		}
	}
	return nil
}

// TestTrim: a device that can forget but not make zeroes is asked to forget, and promises
// nothing about what is read then.
func TestTrim(t *testing.T) {
	d := &trimmer{plain: plain{block.NewMemory(testBlocks * 512)}}
	r := newRig(t, UnitConfig{Disk: newDisk(t, d)})
	if p := r.vital(0xb2); p[1] != 0xe0 || p[2] != 2 {
		t.Errorf("provisioning % x", p)
	}
	if p := r.good(cdb(0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0), nil, 32); p[14] != 0x80 {
		t.Errorf("capacity % x", p)
	}
	list := append(append([]byte{0, 22, 0, 16, 0, 0, 0, 0}, be64(16)...), 0, 0, 0, 4, 0, 0, 0, 0)
	r.good(cdb(0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0), list, 0)
	r.good(set(blocks(0x93, 100, 2), 9), nil, 0)
	r.good(blocks(0x93, 200, 2), make([]byte, 512), 0)
	if want := [][2]int64{{16 * 512, 4 * 512}, {100 * 512, 2 * 512}}; !slices.Equal(d.ranges, want) {
		t.Errorf("forgot %v, want %v", d.ranges, want)
	}
	d.err = syscall.EIO
	r.fails(cdb(0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0), list, 0, Sense{Key: MediumError, Code: CodeWriteError, HasInformation: true, Information: 16})
}

// A trimmer is a device that can forget.
type trimmer struct {
	plain
	ranges [][2]int64
	err    error
}

func (d *trimmer) Trim(off, length int64) error {
	d.ranges = append(d.ranges, [2]int64{off, length})
	return d.err
}

// TestPrefetch: the device is asked for the blocks, and may fail.
func TestPrefetch(t *testing.T) {
	d := &fetcher{plain: plain{block.NewMemory(testBlocks * 512)}}
	r := newRig(t, UnitConfig{Disk: newDisk(t, d)})
	r.good(blocks(0x34, 5, 7), nil, 0)
	r.good(blocks(0x90, testBlocks-3, 0), nil, 0)
	if want := [][2]int64{{5 * 512, 7 * 512}, {(testBlocks - 3) * 512, 3 * 512}}; !slices.Equal(d.ranges, want) {
		t.Errorf("asked for %v, want %v", d.ranges, want)
	}
	d.err = syscall.EIO
	r.fails(blocks(0x34, 5, 7), nil, 0, Sense{Key: MediumError, Code: CodeReadError, HasInformation: true, Information: 5})
}

// A fetcher is a device that can fetch.
type fetcher struct {
	plain
	ranges [][2]int64
	err    error
}

func (d *fetcher) Prefetch(off, length int64) error {
	d.ranges = append(d.ranges, [2]int64{off, length})
	return d.err
}

// TestAllocates: reading and writing allocate nothing in the steady state.
func TestAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r := newRig(t, UnitConfig{})
	p := make([]byte, 8<<10)
	r.good(blocks(0x2a, 0, 16), p, 0)
	for _, c := range [][]byte{
		blocks(0x28, 0, 16), blocks(0x88, 0, 16), blocks(0x2a, 0, 16), blocks(0x8a, 0, 16), blocks(0x35, 0, 0),
		ready, blocks(0x2e, 0, 16), set(blocks(0x2f, 0, 16), 2), blocks(0x89, 0, 8), blocks(0x8b, 0, 16),
		blocks(0x28, testBlocks, 1),
	} {
		if n := testing.AllocsPerRun(200, func() {
			r.nexus.Begin(&r.task, 0, c)
			r.task.Execute(context.Background(), p, p)
		}); n > 0 {
			t.Errorf("% x: %v allocations", c, n)
		}
	}
}

// BenchmarkRead is what a READ(10) of 4 KB costs without a device.
func BenchmarkRead(b *testing.B) { benchmark(b, blocks(0x28, 0, 8)) }

// BenchmarkWrite is the same of WRITE(10).
func BenchmarkWrite(b *testing.B) { benchmark(b, blocks(0x2a, 0, 8)) }

func benchmark(b *testing.B, cdb []byte) {
	r := newRig(b, UnitConfig{})
	p := make([]byte, 4096)
	rand.NewChaCha8([32]byte{}).Read(p)
	r.good(blocks(0x2a, 0, 8), p, 0)
	b.ReportAllocs()
	b.SetBytes(4096)
	for b.Loop() {
		r.nexus.Begin(&r.task, 0, cdb)
		r.task.Execute(context.Background(), p, p)
	}
}
