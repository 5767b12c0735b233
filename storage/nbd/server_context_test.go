package nbd

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/seed-012105e5/gonet/storage/block"
)

// An agingDevice has a meta context of its own.
type agingDevice struct{ *block.Memory }

func (agingDevice) MetaContexts() []MetaContext {
	return []MetaContext{{Name: "x-test:age", Extents: func(off, length int64, yield func(int64, uint64) bool) error {
		for at := off; at < off+length; at += 4096 {
			if !yield(4096, uint64(at/8192)) {
				break
			}
		}
		return nil
	}}}
}

// TestContexts asks for contexts of the device and of the export beside
// base:allocation, for all of them and for some.
func TestContexts(t *testing.T) {
	wide := MetaContext{Name: "x-test:wide", Wide: true, Extents: func(off, length int64, yield func(int64, uint64) bool) error {
		yield(length, 1<<40)
		return nil
	}}
	broken := MetaContext{Name: "x-test:broken", Extents: func(off, length int64, yield func(int64, uint64) bool) error {
		return errors.New("no")
	}}
	silent := MetaContext{Name: "x-test:silent", Extents: func(off, length int64, yield func(int64, uint64) bool) error { return nil }}
	synctest.Test(t, func(t *testing.T) {
		s := &Server{}
		if err := s.Add(Export{Name: "a", Device: agingDevice{block.NewMemory(1 << 20)}, Contexts: []MetaContext{wide, broken, silent}}); err != nil {
			t.Fatal(err)
		}
		c := dialRaw(t, s)
		c.negotiate(headersExtended, "a", "x-test:age", "x-test:wide", contextAllocation)
		if !c.flags.Has(FlagBlockStatusPayload) {
			t.Errorf("flags %v", c.flags)
		}
		a := c.do(request{0, cmdBlockStatus, 1, 4096, 16384}, nil, 0)
		if got := fmt.Sprint(a.status); got != fmt.Sprint(map[uint32][]descriptor{1: {{16384, 3}}, 2: {{4096, 0}, {8192, 1}, {4096, 2}}, 3: {{16384, 1 << 40}}}) || len(a.chunks) != 3 {
			t.Errorf("all contexts: %s", got)
		}
		payload := appendBlockStatusPayload(nil, 8192, []uint32{3, 2})
		a = c.do(request{cmdFlagPayloadLen | cmdFlagReqOne, cmdBlockStatus, 1, 0, uint64(len(payload))}, payload, 0)
		if got := fmt.Sprint(a.status); got != fmt.Sprint(map[uint32][]descriptor{2: {{8192, 0}}, 3: {{8192, 1 << 40}}}) {
			t.Errorf("two contexts, one extent each: %s", got)
		}
		for _, name := range []string{"x-test:broken", "x-test:silent"} {
			c = dialRaw(t, s)
			c.negotiate(headersStructured, "a", contextAllocation, name)
			c.do(request{0, cmdBlockStatus, 1, 0, 4096}, nil, EIO)
			c.alive()
		}
		s.Shutdown(t.Context())
	})
}

// TestContextBounds checks that a device of many extents is told of in pieces.
func TestContextBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := block.NewMemory(2 * (statusesAtOnce + 100) * (64 << 10))
		for i := range int64(statusesAtOnce + 100) {
			m.WriteAt([]byte{1}, i*(128<<10))
		}
		s := newServer(t, m)
		c := dialRaw(t, s)
		c.negotiate(headersExtended, "a", contextAllocation)
		off, extents := uint64(0), 0
		for off < c.size {
			a := c.do(request{0, cmdBlockStatus, 1, off, c.size - off}, nil, 0)
			if n := len(a.status[1]); n == 0 || n > statusesAtOnce {
				t.Fatalf("%d descriptors", n)
			}
			for _, d := range a.status[1] {
				off += d.length
				extents++
			}
		}
		if off != c.size || extents != 2*(statusesAtOnce+100) {
			t.Errorf("%d extents up to %d of %d", extents, off, c.size)
		}
		s.Shutdown(t.Context())
	})
}
