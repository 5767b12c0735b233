package nbd

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
)

// TestServerPages writes to a disk in memory, whose pages change hands where a write
// fills them whole, by several connections at once: each finds what it has written, and
// no page is of two.
func TestServerPages(t *testing.T) {
	const parts, size = 3, 2 << 20 // each connection has a part of the disk
	memory := block.NewMemory(parts * size)
	s := newServer(t, memory)
	defer s.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	var wg sync.WaitGroup
	for part := range parts {
		wg.Go(func() {
			c, err := Dial(context.Background(), "nbd://"+l.Addr().String()+"/a")
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			random := rand.New(rand.NewPCG(7, uint64(part)))
			model := make([]byte, size)
			got := make([]byte, size)
			for range 20 {
				var several sync.WaitGroup
				for at := 0; at < size; { // writes that do not overlap, at the same time
					n := min(size-at, 1+random.IntN(300<<10))
					if random.IntN(3) > 0 { // whole pages
						n = min(size-at, (1+random.IntN(5))<<16-at%(64<<10))
					}
					p := model[at : at+n]
					fill := byte(random.Uint32())
					for i := range p {
						p[i] = fill + byte(i>>9)
					}
					off := int64(part*size + at)
					several.Go(func() {
						if _, err := c.WriteAt(p, off); err != nil {
							t.Error(err)
						}
					})
					at += n
				}
				several.Wait()
				if _, err := c.ReadAt(got, int64(part*size)); err != nil {
					t.Error(err)
				}
				if !bytes.Equal(got, model) {
					t.Errorf("part %d: other data are read than were written", part)
					return
				}
			}
		})
	}
	wg.Wait()
}

// A write of whole pages to an export that may not be written, or beyond its end, takes
// nothing of the disk, and gives its memory back.
func TestServerPagesRefused(t *testing.T) {
	memory := block.NewMemory(1 << 20)
	s := newServer(t, memory)
	if err := s.Add(Export{Name: "fixed", Device: memory, ReadOnly: true}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, w := range []struct {
		export string
		off    uint64
		want   Errno
	}{{"fixed", 0, EPERM}, {"a", 1<<20 - 64<<10, ENOSPC}, {"a", 1 << 20, ENOSPC}} {
		c := dialRaw(t, s)
		c.negotiate(headersSimple, w.export)
		c.do(request{0, cmdWrite, 1, w.off, 128 << 10}, make([]byte, 128<<10), w.want)
		c.do(request{0, cmdRead, 2, 0, 512}, nil, 0)
		c.conn.Close()
	}
	if n := memory.Allocated(); n != 0 {
		t.Errorf("%d bytes were written", n)
	}
}
