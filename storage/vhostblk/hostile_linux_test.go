package vhostblk

import (
	"errors"
	"math"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/vhost/memory"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// A failing device fails all that it is asked for.
type failing struct{ *block.Memory }

func (failing) Immediate() bool                                 { return false }
func (failing) Sync() error                                     { return errors.New("worn out") }
func (failing) WriteZeroes(int64, int64, block.ZeroFlags) error { return errors.New("worn out") }
func (f failing) ReadAt(p []byte, off int64) (int, error) {
	return 0, &block.MediumError{Op: "read", Off: off, Err: unix.EIO}
}

// TestStatuses: what cannot be done is answered with the status that says so, and the
// ring goes on.
func TestStatuses(t *testing.T) {
	const size = 1 << 20
	for _, c := range []struct {
		name     string
		dev      func(t *testing.T) block.Device
		readOnly bool
		request  []byte
		data     int
		in       bool
		status   byte
	}{
		{"read", nil, false, head(typeIn, 0), 4096, true, statusOK},
		{"read the last sector", nil, false, head(typeIn, size/512-1), 512, true, statusOK},
		{"read beyond the end", nil, false, head(typeIn, size/512-1), 1024, true, statusIOErr},
		{"read far beyond the end", nil, false, head(typeIn, math.MaxUint64), 512, true, statusIOErr},
		{"read half a sector", nil, false, head(typeIn, 0), 100, true, statusIOErr},
		{"write", nil, false, head(typeOut, 3), 4096, false, statusOK},
		{"write beyond the end", nil, false, head(typeOut, size/512), 512, false, statusIOErr},
		{"write to what is read-only", nil, true, head(typeOut, 3), 4096, false, statusIOErr},
		{"discard", nil, false, ranged(typeDiscard, [3]uint64{0, 8}), 0, false, statusOK},
		{"discard beyond the end", nil, false, ranged(typeDiscard, [3]uint64{size / 512, 8}), 0, false, statusIOErr},
		{"zeroes", nil, false, ranged(typeWriteZeroes, [3]uint64{0, 8, 1}), 0, false, statusOK},
		{"zeroes beyond the end", nil, false, ranged(typeWriteZeroes, [3]uint64{1, size / 512}), 0, false, statusIOErr},
		{"unknown", nil, false, head(99, 0), 512, true, statusUnsupp},
		{"flush", nil, false, head(typeFlush, 0), 0, false, statusOK},
		{"serial number, cut short", nil, false, head(typeGetID, 0), 3, true, statusOK},
		{"read that fails", func(*testing.T) block.Device { return failing{block.NewMemory(size)} }, false, head(typeIn, 0), 512, true, statusIOErr},
		{"flush that fails", func(*testing.T) block.Device { return failing{block.NewMemory(size)} }, false, head(typeFlush, 0), 0, false, statusIOErr},
		{"zeroes that fail", func(*testing.T) block.Device { return failing{block.NewMemory(size)} }, false, ranged(typeWriteZeroes, [3]uint64{0, 8}), 0, false, statusIOErr},
	} {
		for name, dev := range map[string]func(t *testing.T) block.Device{
			"memory": func(*testing.T) block.Device { return block.NewMemory(size) },
			"file":   func(t *testing.T) block.Device { return openFile(t, size) },
		} {
			if c.dev != nil {
				if dev = c.dev; name == "file" {
					continue
				}
			}
			t.Run(c.name+" "+name, func(t *testing.T) {
				path, _, reports := listen(t, dev(t), Config{ReadOnly: c.readOnly, Serial: "abcdef"})
				d := dialRaw(t, path, 1)
				for range 2 {
					if got := d.do(d.rings[0], c.request, c.data, c.in); got != c.status {
						t.Errorf("status %d, want %d", got, c.status)
					}
				}
				select {
				case err := <-reports:
					t.Error(err)
				default:
				}
			})
		}
	}
}

// TestBroken: what is no request breaks its ring off, with a reason; the other ring
// of the same disk goes on, and so does the disk with the next front end.
func TestBroken(t *testing.T) {
	for _, c := range []struct {
		name     string
		spans    []virtqueue.Span
		readable int
		why      string
	}{
		{"no status", []virtqueue.Span{{Addr: rawData, Len: 16}}, 1, "bad request"},
		{"half a header", []virtqueue.Span{{Addr: rawData, Len: 15}, {Addr: rawData + 4096, Len: 1}}, 1, "bad request"},
		{"no header", []virtqueue.Span{{Addr: rawData, Len: 4096}}, 0, "bad request"},
		{"header in no memory", []virtqueue.Span{{Addr: 0x10, Len: 16}, {Addr: rawData, Len: 1}}, 1, "outside of the guest's memory"},
		{"data in no memory", []virtqueue.Span{{Addr: rawData, Len: 16}, {Addr: rawData + rawLen - 256, Len: 512}, {Addr: rawData, Len: 1}}, 1, "outside of the guest's memory"},
		{"data that wraps around", []virtqueue.Span{{Addr: rawData, Len: 16}, {Addr: math.MaxUint64 - 100, Len: 512}, {Addr: rawData, Len: 1}}, 1, "outside of the guest's memory"},
		{"status in no memory", []virtqueue.Span{{Addr: rawData, Len: 16}, {Addr: rawData + rawLen, Len: 1}}, 1, "outside of the guest's memory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, b, reports := listen(t, openFile(t, 1<<20), Config{})
			d := dialRaw(t, path, 2)
			d.add(d.rings[0], c.spans, c.readable)
			select {
			case err := <-reports:
				if !strings.Contains(err.Error(), c.why) {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				t.Fatal("the ring is not broken off")
			}
			if got := d.do(d.rings[1], head(typeIn, 0), 512, true); got != statusOK {
				t.Errorf("the other ring: status %d", got)
			}
			d.front.Close()
			works(t, path)
			if n := b.Stats().Broken; (c.why == "bad request") != (n == 1) {
				t.Errorf("%d rings were broken off by requests", n)
			}
		})
	}
}

// TestTruncated: a guest takes memory away that is being read or written. Its ring is
// broken off; nothing that other users of the disk need is left locked.
func TestTruncated(t *testing.T) {
	for name, dev := range map[string]func(t *testing.T) block.Device{
		"memory":  func(*testing.T) block.Device { return block.NewMemory(1 << 20) },
		"file":    func(t *testing.T) block.Device { return openFile(t, 1<<20) },
		"workers": func(*testing.T) block.Device { return &slow{block.NewMemory(1 << 20), func() {}} },
	} {
		for kind, in := range map[uint32]bool{typeIn: true, typeOut: false} {
			t.Run(name, func(t *testing.T) {
				path, _, reports := listen(t, dev(t), Config{})
				d := dialRaw(t, path, 2)
				// Header and status lie with the rings, the data where there is nothing.
				b, err := d.table.Slice(rawRings+0x10000, 32)
				if err != nil {
					t.Fatal(err)
				}
				copy(b, head(kind, 0))
				if err := unix.Ftruncate(d.data, 8192); err != nil {
					t.Fatal(err)
				}
				n := 2
				if in {
					n = 1
				}
				d.add(d.rings[0], []virtqueue.Span{{Addr: rawRings + 0x10000, Len: 16}, {Addr: rawData + 8192 - 512, Len: 4096}, {Addr: rawRings + 0x10010, Len: 1}}, n)
				select {
				case err := <-reports:
					if !errors.Is(err, memory.ErrFault) {
						t.Error(err)
					}
				case <-time.After(time.Minute):
					t.Fatal("the ring is not broken off")
				}
				if got := d.do(d.rings[1], head(typeIn, 0), 512, true); got != statusOK {
					t.Errorf("the other ring: status %d", got)
				}
				d.front.Close()
				works(t, path)
			})
		}
	}
}

// TestChanging: a guest changes requests while they are read: what was read once is
// what is done, and the disk goes on.
func TestChanging(t *testing.T) {
	for name, dev := range map[string]block.Device{"memory": block.NewMemory(1 << 20), "file": openFile(t, 1<<20), "workers": &slow{block.NewMemory(1 << 20), func() {}}} {
		t.Run(name, func(t *testing.T) {
			path, _, reports := listen(t, dev, Config{})
			d := dialRaw(t, path, 1)
			var stop atomic.Bool
			stopped := make(chan struct{})
			page, descriptors := d.at(0), func() []byte {
				b, err := d.table.User(d.rings[0].config.Descriptors, 16*rawSize)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}()
			r := d.rings[0]
			go func() {
				defer close(stopped)
				for i := uint32(0); !stop.Load(); i++ {
					memory.Store32(page, 0, []uint32{typeIn, typeOut, typeDiscard, typeWriteZeroes, typeGetID, 77}[i%6])
					memory.Store32(page, 8, i%5000)
					memory.Store32(page, 16, i*7)
					memory.Store32(page, 24, i%70000)
					memory.Store32(descriptors, 16*1+8, i%9000) // the length of the data
				}
			}()
			broken := false
			for range 300 {
				d.offer(r, 0, ranged(typeDiscard, [3]uint64{0, 8}), 512, 1, true)
				for back := false; !back && !broken; {
					back = d.back(r, 50*time.Millisecond)
					select {
					case err := <-reports:
						if !errors.Is(err, errRequest) && !errors.Is(err, virtqueue.ErrAddress) {
							t.Error(err)
						}
						broken = true
					default:
					}
				}
				if broken {
					break
				}
			}
			stop.Store(true)
			<-stopped
			d.front.Close()
			works(t, path)
		})
	}
}

// TestKicks: a guest that kicks without end, for nothing and for rubbish, keeps nobody
// from the disk but itself.
func TestKicks(t *testing.T) {
	dev := openFile(t, 1<<20)
	path, _, _ := listen(t, dev, Config{})
	other, _, _ := listen(t, block.NewMemory(1<<20), Config{})
	d := dialRaw(t, path, 2)
	var stop atomic.Bool
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for !stop.Load() {
			for range 100 {
				d.rings[0].kick.Signal()
			}
		}
	}()
	for range 200 {
		if got := d.do(d.rings[1], head(typeIn, 0), 512, true); got != statusOK {
			t.Fatalf("status %d", got)
		}
	}
	works(t, other)
	if got := d.do(d.rings[0], head(typeIn, 0), 512, true); got != statusOK {
		t.Fatalf("the ring that is kicked: status %d", got)
	}
	stop.Store(true)
	<-stopped
}

// TestFiles: front ends that come and go leave no file descriptor, no memory and no
// goroutine behind, also when they leave in the middle.
func TestFiles(t *testing.T) {
	path, b, _ := listen(t, openFile(t, 1<<20), Config{})
	works(t, path)
	before := files(t)
	for range 20 {
		d := dialRaw(t, path, 2)
		d.offer(d.rings[0], 0, head(typeIn, 0), 512, 1, true)
		d.front.Close()
		works(t, path)
	}
	// Those of the drivers are closed at the end of the test.
	got := 0
	for range 1000 {
		if got = files(t) - before; got <= 20*6 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if got > 20*6 {
		t.Errorf("%d more file descriptors are open", got)
	}
	if n := b.Stats().Workers; n != 0 {
		t.Errorf("%d workers are left", n)
	}
}

func files(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
