package kernel_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/vhost"
	"github.com/seed-012105e5/gonet/vhost/memory"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

const (
	hugePage  = 2 << 20
	hugePages = 8
	hugeMore  = 1 << 32 // where the second region lies
)

// A mirror is a device that writes what it reads.
type mirror struct{}

func (mirror) Features() uint64            { return 0 }
func (mirror) Queues() int                 { return 1 }
func (mirror) Config() []byte              { return nil }
func (mirror) SetConfig(int, []byte) error { return errors.New("there is no configuration") }

func (mirror) Serve(q *vhost.Queue) {
	var c virtqueue.Chain
	for q.Wait() {
		for q.Next(&c) {
			text, n := bytes.Join(c.Readable, nil), 0
			for _, b := range c.Writable {
				n += copy(b, text[n:])
			}
			q.Put(&c, n)
		}
	}
}

// useHugePages has a back end serve a ring in huge pages, of which some come and go
// while it runs, and are cut off at last.
func useHugePages(in *guest.Inside) error {
	if err := os.WriteFile("/proc/sys/vm/nr_hugepages", fmt.Append(nil, hugePages), 0); err != nil {
		return err
	}
	if n, err := freeHugePages(); err != nil || n != hugePages {
		return fmt.Errorf("%d huge pages, %v", n, err)
	}
	if err := mirrorInHugePages(); err != nil {
		return err
	}
	return in.Await(time.Minute, func() bool { n, err := freeHugePages(); return err == nil && n == hugePages })
}

func freeHugePages() (n int, err error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "HugePages_Free:")
	_, err = fmt.Sscan(rest, &n)
	return n, err
}

func mirrorInHugePages() error {
	reports := make(chan error, 10)
	path := "/tmp/huge.sock"
	b, err := vhost.Listen(path, mirror{}, vhost.Config{Report: func(_ int, err error) { reports <- err }})
	if err != nil {
		return err
	}
	defer b.Close()
	f, err := vhost.Dial(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Negotiate(virtqueue.Features, vhost.ProtocolReplyAck|vhost.ProtocolConfigureMemSlots, virtqueue.FeatureVersion1); err != nil {
		return err
	}
	// A page and a half, and two pages elsewhere.
	fd, m, err := hugeRegion(base, 2*hugePage, hugePage+hugePage/2)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	defer m.Release()
	more, second, err := hugeRegion(hugeMore, 2*hugePage, 2*hugePage)
	if err != nil {
		return err
	}
	defer unix.Close(more)
	defer second.Release()
	table, err := memory.NewTable(m, second)
	if err != nil {
		return err
	}
	defer table.Release()
	if err := f.SetMemory([]memory.Region{m.Region}, []int{fd}); err != nil {
		return err
	}
	r, err := (&machine{table: table, user: m.User}).addRing(f, 0, 16, f.Features)
	if err != nil {
		return err
	}
	for i := range 10 {
		if err := f.Set(vhost.AddMemReg, vhost.SingleRegion{Region: second.Region}, more); err != nil {
			return err
		}
		at := uint64(hugeMore + hugePage - 8) // in two pages
		if err := r.mirrors(table, at, pattern(64, byte(i))); err != nil {
			return err
		}
		if err := f.Set(vhost.RemMemReg, vhost.SingleRegion{Region: second.Region}); err != nil {
			return err
		}
		if err := r.mirrors(table, base+hugePage+0x1000, pattern(64, byte(i))); err != nil { // of the first region
			return err
		}
	}
	// What is removed is gone, and so is what is cut off.
	if err := f.Set(vhost.AddMemReg, vhost.SingleRegion{Region: second.Region}, more); err != nil {
		return err
	}
	if err := unix.Ftruncate(more, hugePage); err != nil {
		return err
	}
	if err := r.offer(1, virtqueue.Span{Addr: hugeMore + hugePage + 8, Len: 8}); err != nil {
		return err
	}
	select {
	case err := <-reports:
		if !errors.Is(err, memory.ErrFault) {
			return err
		}
		return nil
	case <-time.After(time.Minute):
		return errors.New("nobody notices that a file is cut off")
	}
}

// hugeRegion makes a file of huge pages, and a region of size bytes of it.
func hugeRegion(guest, length, size uint64) (fd int, m *memory.Mapping, err error) {
	if fd, err = memory.CreateHuge("huge", length); err != nil {
		return -1, nil, err
	}
	if m, err = memory.MapOwn(memory.Region{Guest: guest, Size: size}, fd); err != nil {
		unix.Close(fd)
	}
	return fd, m, err
}

// mirrors has a text at an address come back behind it.
func (r *ring) mirrors(t *memory.Table, at uint64, text []byte) error {
	b, err := t.Slice(at, uint64(2*len(text)))
	if err != nil {
		return err
	}
	clear(b)
	copy(b, text)
	n := uint32(len(text))
	if err := r.offer(1, virtqueue.Span{Addr: at, Len: n}, virtqueue.Span{Addr: at + uint64(n), Len: n}); err != nil {
		return err
	}
	if _, _, err := r.take(); err != nil {
		return err
	}
	if !bytes.Equal(b[n:], text) {
		return fmt.Errorf("% x came back at %#x", b[n:], at)
	}
	return nil
}
