package scsi

import (
	"bytes"
	"errors"
	"testing"
)

// A memoryStore is a Store.
type memoryStore struct {
	state []byte
	err   error
	saves int
}

func (s *memoryStore) Load() ([]byte, error) { return s.state, s.err }

func (s *memoryStore) Save(p []byte) error {
	if s.err == nil {
		s.state, s.saves = bytes.Clone(p), s.saves+1
	}
	return s.err
}

// Pages of a disk as they are at first.
var (
	recoveryBytes   = []byte{0x01, 10, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	cachingBytes    = []byte{0x08, 18, 0x04, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0}
	controlBytes    = []byte{0x0a, 10, 0x20, 0x10, 0, 0x40, 0, 0, 0xff, 0xff, 0, 0}
	exceptionsBytes = []byte{0x1c, 10, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0}
)

func sense6(dbd, page, subpage byte) []byte  { return cdb(0x1a, dbd, page, subpage, 255, 0) }
func sense10(dbd, page, subpage byte) []byte { return cdb(0x5a, dbd, page, subpage, 0, 0, 0, 1, 0, 0) }

// TestModeSense reads mode pages, with each header, block descriptor and page control.
func TestModeSense(t *testing.T) {
	r := newRig(t, UnitConfig{})
	all := bytes.Join([][]byte{recoveryBytes, cachingBytes, controlBytes, exceptionsBytes}, nil)
	descriptor := []byte{0, 0, testBlocks >> 8, 0, 0, 0, 2, 0}
	for _, c := range []struct {
		cdb  []byte
		want [][]byte
	}{
		{sense6(8, 0x3f, 0), [][]byte{{59, 0, 0x10, 0}, all}},
		{sense6(8, 0x3f, 0xff), [][]byte{{59, 0, 0x10, 0}, all}},
		{sense6(0, 0x3f, 0), [][]byte{{67, 0, 0x10, 8}, descriptor, all}},
		{sense6(8, 0x08, 0), [][]byte{{23, 0, 0x10, 0}, cachingBytes}},
		{sense6(8, 0x08, 0xff), [][]byte{{23, 0, 0x10, 0}, cachingBytes}},
		{sense6(8, 0x48, 0), [][]byte{{23, 0, 0x10, 0}, {0x08, 18, 0x04}, make([]byte, 17)}},
		{sense6(8, 0x4a, 0), [][]byte{{15, 0, 0x10, 0}, {0x0a, 10, 0x04, 0, 0x08, 0x40}, make([]byte, 6)}},
		{sense6(8, 0x8a, 0), [][]byte{{15, 0, 0x10, 0}, controlBytes}},
		{sense10(8, 0x0a, 0), [][]byte{{0, 18, 0, 0x10, 0, 0, 0, 0}, controlBytes}},
		{sense10(0, 0x0a, 0), [][]byte{{0, 26, 0, 0x10, 0, 0, 0, 8}, descriptor, controlBytes}},
		{sense10(0x10, 0x0a, 0), [][]byte{{0, 34, 0, 0x10, 1, 0, 0, 16}, be64(testBlocks), be32(0), be32(512), controlBytes}},
		{sense10(0x18, 0x0a, 0), [][]byte{{0, 18, 0, 0x10, 0, 0, 0, 0}, controlBytes}},
	} {
		want := bytes.Join(c.want, nil)
		for _, n := range []int{256, 100, 20, 4, 1, 0} {
			if got := r.good(c.cdb, nil, n); !bytes.Equal(got, want[:min(n, len(want))]) {
				t.Errorf("% x into %d bytes:\n% x, want\n% x", c.cdb, n, got, want)
			}
		}
	}
	r.fails(sense6(8, 0x07, 0), nil, 255, field(2, 5))
	r.fails(sense6(8, 0x08, 1), nil, 255, field(3, 7))
	r.fails(sense6(8, 0x3f, 1), nil, 255, field(3, 7))
	r.fails(sense6(8, 0xc8, 0), nil, 255, Sense{Key: IllegalRequest, Code: CodeSavingNotSupported})
	for _, c := range []UnitConfig{{ReadOnly: true}, {WriteThrough: true}} {
		r := newRig(t, c)
		p := r.good(sense6(8, 0x08, 0), nil, 255)
		if (p[2]&0x80 != 0) != c.ReadOnly || (p[6]&0x04 == 0) != c.WriteThrough {
			t.Errorf("%+v: % x", c, p)
		}
	}
}

func select6(flags byte, n int) []byte  { return cdb(0x15, 0x10|flags, 0, 0, byte(n), 0) }
func select10(flags byte, n int) []byte { return cdb(0x55, 0x10|flags, 0, 0, 0, 0, 0, 0, byte(n), 0) }

// TestModeSelect walks what a parameter list may be.
func TestModeSelect(t *testing.T) {
	r := newRig(t, UnitConfig{})
	short := Sense{Key: IllegalRequest, Code: CodeParameterListLength}
	change := func(page []byte, at int, v byte) []byte {
		p := bytes.Clone(page)
		p[at] = v
		return p
	}
	list := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	head6, head10 := make([]byte, 4), make([]byte, 8)
	select6 := func(out []byte) ([]byte, []byte) { return select6(0, len(out)), out }
	select10 := func(out []byte) ([]byte, []byte) { return select10(0, len(out)), out }
	good := func(c, out []byte) {
		t.Helper()
		r.good(c, out, 0)
		if r.task.Transferred != len(out) {
			t.Errorf("transferred %d of %d", r.task.Transferred, len(out))
		}
	}
	bad := func(want Sense) func(c, out []byte) {
		return func(c, out []byte) {
			t.Helper()
			before := r.good(sense6(8, 0x3f, 0), nil, 255)
			r.fails(c, out, 0, want)
			if after := r.good(sense6(8, 0x3f, 0), nil, 255); !bytes.Equal(after, before) {
				t.Errorf("pages were % x and are % x", before, after)
			}
		}
	}
	good(select6(nil))
	good(select6(head6))
	good(select10(head10))
	bad(short)(select6(head6[:3]))
	bad(short)(select10(head10[:7]))

	descriptor6 := []byte{0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 2, 0}
	good(select6(descriptor6))
	bad(short)(select6(descriptor6[:11]))
	bad(parameter(9, -1))(select6(change(descriptor6, 10, 4)))
	bad(parameter(9, -1))(select6(list([]byte{0, 0, 0, 7}, make([]byte, 7))))
	long := list([]byte{0, 0, 0, 0, 1, 0, 0, 16}, be64(0), be32(0), be32(512))
	good(select10(long))
	bad(parameter(20, -1))(select10(change(long, 22, 4)))
	bad(parameter(13, -1))(select10(change(long, 4, 0)))

	control := list(head6, controlBytes)
	good(select6(control))
	for _, i := range []int{2, 3, 4, 5, 6, 8, 11} {
		for bit := range 8 {
			v := controlBytes[i] ^ 1<<bit
			switch p := list(head6, change(controlBytes, i, v)); {
			case i == 2 && bit == 2 || i == 4 && bit == 3 || i == 5 && bit == 6:
				good(select6(p))
				if got := r.good(sense6(8, 0x0a, 0), nil, 255)[4+i]; got != v {
					t.Errorf("byte %d is %02X, want %02X", i, got, v)
				}
				good(select6(control))
			default:
				bad(parameter(4+i, bit))(select6(p))
			}
		}
	}
	bad(parameter(4, 5))(select6(list(head6, []byte{0x07, 10}, make([]byte, 10))))
	bad(parameter(4, 5))(select6(list(head6, []byte{0x4a, 1, 0, 2, 0, 0})))
	bad(parameter(5, -1))(select6(list(head6, change(controlBytes, 1, 11), []byte{0})))
	bad(short)(select6(control[:15]))
	bad(short)(select6(list(head6, []byte{0x0a})))
	bad(short)(select6(list(head6, []byte{0x4a, 0, 0})))
	// One that is wrong leaves all as it was.
	bad(parameter(4+12+3, 0))(select6(list(head6, change(controlBytes, 2, 0x24), change(cachingBytes, 3, 1))))

	r.fails(cdb(0x15, 0, 0, 0, 16, 0), control, 0, field(1, 4))
	r.fails(cdb(0x15, 0x11, 0, 0, 16, 0), control, 0, field(1, 0))
}

// TestDescriptorSense: D_SENSE is the format of all sense that follows.
func TestDescriptorSense(t *testing.T) {
	r := newRig(t, UnitConfig{})
	formats := map[byte]byte{0x20: 0x70, 0x24: 0x72}
	for _, v := range []byte{0x24, 0x20, 0x24} {
		p := append(make([]byte, 4), controlBytes...)
		p[6] = v
		r.good(select6(0, len(p)), p, 0)
		r.fails(blocks(0x88, testBlocks, 1), nil, 512, beyond(testBlocks))
		if got := r.task.Sense()[0] & 0x7f; got != formats[v] {
			t.Errorf("sense of format %02X", got)
		}
	}
	// With room for eight bytes of information.
	r.fails(blocks(0x88, 1<<40, 1), nil, 512, beyond(1<<40))
}

// TestSavedPages: what was saved is there after a restart, and after a reset.
func TestSavedPages(t *testing.T) {
	store := &memoryStore{}
	r := newRig(t, UnitConfig{Store: store})
	through := append(make([]byte, 4), cachingBytes...)
	through[6] = 0
	through[4] |= 0x80 // as MODE SENSE gives it
	r.good(select6(1, len(through)), through, 0)
	protect := append(make([]byte, 4), controlBytes...)
	protect[8] = 0x08
	r.good(select6(0, len(protect)), protect, 0)
	look := func(r *rig, control, cache, swp byte) {
		t.Helper()
		if p := r.good(sense6(8, control|0x08, 0), nil, 255); p[4] != 0x88 || p[6] != cache {
			t.Errorf("the caching page is % x", p)
		}
		if p := r.good(sense6(8, control|0x0a, 0), nil, 255); p[8] != swp {
			t.Errorf("the control page is % x", p)
		}
	}
	look(r, 0x00, 0, 8)
	look(r, 0xc0, 0, 0)
	look(r, 0x80, 4, 0)
	look(newRig(t, UnitConfig{Store: store}), 0, 0, 0)
	done, _ := r.nexus.ResetUnit(0)
	<-done
	r.settle(r.nexus)
	look(r, 0x00, 0, 0)

	store.err = errors.New("full")
	r.fails(select6(1, len(through)), through, 0, Sense{Key: HardwareError, Code: CodeInternalFailure})
	if _, err := NewUnit(UnitConfig{Removable: true, Store: store}); !errors.Is(err, store.err) {
		t.Errorf("a unit of a store that fails: %v", err)
	}
	store.err, store.state = nil, []byte("{")
	if _, err := NewUnit(UnitConfig{Removable: true, Store: store}); err == nil {
		t.Error("a unit of a store that holds something else")
	}
}
