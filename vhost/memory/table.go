package memory

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

// A Region says where a piece of the guest's memory lies (vhost-user, section
// "Memory region description"). All four are chosen by the front end.
type Region struct {
	Guest  uint64 // address that the guest uses
	Size   uint64 // in bytes
	User   uint64 // address that the front end uses, and messages about rings
	Offset uint64 // of the region in its file
}

// maxRegions is how many regions a table has at most: as many as KVM has slots
// for a guest's memory on x86.
const maxRegions = 509

// MaxRegions is how many regions a table has at most.
func MaxRegions() int { return maxRegions }

var (
	// ErrAddress: an address, or an address and its length, lies outside of all
	// regions.
	ErrAddress = errors.New("memory: address outside of the guest's memory")
	// ErrRegion: a region is empty, wraps around, overlaps another, or is longer
	// than its file.
	ErrRegion = errors.New("memory: bad region")
	// ErrTooMany: a table is full.
	ErrTooMany = errors.New("memory: too many regions")
	// ErrFault: memory that is mapped has nothing behind it any more, as its file
	// was truncated.
	ErrFault = errors.New("memory: fault in the guest's memory")
)

// A Mapping is one region in the memory of this process. It is held by who made
// it and by the tables that it is in, and unmapped when nobody holds it.
type Mapping struct {
	Region
	mem     []byte
	whole   []byte      // of which mem is a part, in whole pages
	late    atomic.Bool // see SetLate
	unmap   func()
	holders atomic.Int64
}

// New returns a mapping of memory that the caller has anyway. Unmap is called
// when nobody holds it; nil for nothing. It fails with ErrRegion.
func New(r Region, mem []byte, unmap func()) (*Mapping, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	if uint64(len(mem)) != r.Size {
		return nil, fmt.Errorf("%w: %d bytes for a size of %d", ErrRegion, len(mem), r.Size)
	}
	m := &Mapping{Region: r, mem: mem, whole: mem, unmap: unmap}
	m.holders.Store(1)
	return m, nil
}

// check refuses a region that is empty or wraps around.
func (r Region) check() error {
	switch {
	case r.Size == 0:
		return fmt.Errorf("%w: it is empty", ErrRegion)
	case r.Guest+r.Size < r.Guest, r.User+r.Size < r.User, r.Offset+r.Size < r.Offset:
		return fmt.Errorf("%w: %+v wraps around", ErrRegion, r)
	}
	return nil
}

// Address is where m lies in this process.
func (m *Mapping) Address() uint64 { return Address(m.mem) }

// Mapped is where its pages lie in this process, of which it may use a part, and how many
// bytes those are.
func (m *Mapping) Mapped() (at, n uint64) { return Address(m.whole), uint64(len(m.whole)) }

// SetLate says whether pages of m may come only when somebody wants them, of a guest that
// moves here. Then Slice and User wait for what they return, in a system call: whoever
// waits in an access to memory holds up the garbage collector, and so everybody.
func (m *Mapping) SetLate(late bool) { m.late.Store(late) }

// part is n bytes of m.
func (m *Mapping) part(at, n uint64) []byte {
	b := m.mem[at : at+n : at+n]
	if m.late.Load() {
		m.await(b)
	}
	return b
}

// Release ends the hold of who made m.
func (m *Mapping) Release() {
	switch n := m.holders.Add(-1); {
	case n < 0:
		panic("memory: a mapping was released too often")
	case n == 0:
		mem := m.mem
		m.mem = nil
		if m.unmap != nil && mem != nil {
			m.unmap()
		}
	}
}

// A Table is all memory of a guest that is shared. It may be used by any number
// of goroutines, of which each holds it or knows that another one does.
type Table struct {
	guest   []place // by address of the guest
	user    []place // by address of the front end
	holders atomic.Int64
}

// A place is where a mapping lies, by one of its addresses.
type place struct {
	at, size uint64
	*Mapping
}

// NewTable returns a table of mappings, which it holds. The caller holds the
// table. It fails with ErrTooMany, and with ErrRegion when two overlap.
func NewTable(mappings ...*Mapping) (*Table, error) {
	if len(mappings) > maxRegions {
		return nil, fmt.Errorf("%w: %d", ErrTooMany, len(mappings))
	}
	t := new(Table)
	for _, m := range mappings {
		t.guest = append(t.guest, place{m.Guest, m.Size, m})
		t.user = append(t.user, place{m.User, m.Size, m})
	}
	for _, list := range [][]place{t.guest, t.user} {
		slices.SortFunc(list, func(a, b place) int { return cmp.Compare(a.at, b.at) })
		for i := 1; i < len(list); i++ {
			if a, b := list[i-1], list[i]; b.at-a.at < a.size {
				return nil, fmt.Errorf("%w: %+v overlaps %+v", ErrRegion, b.Region, a.Region)
			}
		}
	}
	for _, m := range mappings {
		m.holders.Add(1)
	}
	t.holders.Store(1)
	return t, nil
}

// mappings are all of them.
func (t *Table) mappings() (all []*Mapping) {
	for _, p := range t.guest {
		all = append(all, p.Mapping)
	}
	return all
}

// With returns a table that has more besides, and that the caller holds.
func (t *Table) With(more ...*Mapping) (*Table, error) {
	return NewTable(append(t.mappings(), more...)...)
}

// Without returns a table that lacks the region with the addresses and the size
// of r, and that the caller holds. Where there is none it fails with ErrRegion.
func (t *Table) Without(r Region) (*Table, error) {
	if !t.Has(r) {
		return nil, fmt.Errorf("%w: there is no %+v", ErrRegion, r)
	}
	return NewTable(slices.DeleteFunc(t.mappings(), func(m *Mapping) bool { return m.is(r) })...)
}

// Find returns the mapping of the region with the addresses and the size of r, or nil.
func (t *Table) Find(r Region) *Mapping {
	for _, p := range t.guest {
		if p.is(r) {
			return p.Mapping
		}
	}
	return nil
}

// Has says whether there is a region with the addresses and the size of r.
func (t *Table) Has(r Region) bool { return t.Find(r) != nil }

// is says whether m has the addresses and the size of r.
func (m *Mapping) is(r Region) bool {
	return m.Guest == r.Guest && m.User == r.User && m.Size == r.Size
}

// Hold keeps the memory mapped until Release was called once more.
func (t *Table) Hold() { t.holders.Add(1) }

// Release ends one hold. Who has no other must not touch the memory again.
func (t *Table) Release() {
	switch n := t.holders.Add(-1); {
	case n < 0:
		panic("memory: a table was released too often")
	case n == 0:
		for _, m := range t.guest {
			m.Release()
		}
		t.guest, t.user = nil, nil
	}
}

// Len is how many regions t has.
func (t *Table) Len() int { return len(t.guest) }

// Regions are those of t, by address of the guest.
func (t *Table) Regions() []Region {
	var list []Region
	for _, m := range t.guest {
		list = append(list, m.Region)
	}
	return list
}

// End is the address behind the last byte of the guest's.
func (t *Table) End() uint64 {
	if len(t.guest) == 0 {
		return 0
	}
	last := t.guest[len(t.guest)-1]
	return last.Guest + last.Size
}

// Slice returns the n bytes at an address of the guest's, or as many of them as
// lie in one region, which are one at least: the others may lie in the next one.
// It fails with ErrAddress where there are none or where n wraps around.
func (t *Table) Slice(addr, n uint64) ([]byte, error) {
	if addr+n < addr {
		return nil, ErrAddress
	}
	m := find(t.guest, addr)
	if m == nil || n == 0 {
		return nil, ErrAddress
	}
	at := addr - m.at
	return m.part(at, min(n, m.size-at)), nil
}

// User returns the n bytes at an address of the front end's. They must lie in
// one region.
func (t *Table) User(addr, n uint64) ([]byte, error) {
	m := find(t.user, addr)
	if m == nil || n > m.Size-(addr-m.User) {
		return nil, ErrAddress
	}
	return m.part(addr-m.User, n), nil
}

// find returns the one of list that addr lies in, or nil. There are few of
// them, as a rule two.
func find(list []place, addr uint64) *place {
	lo, hi := 0, len(list)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if list[mid].at <= addr {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 || addr-list[lo-1].at >= list[lo-1].size {
		return nil
	}
	return &list[lo-1]
}

// GuestOf is the guest's address of what has an address of the front end's.
func (t *Table) GuestOf(user uint64) (uint64, error) {
	m := find(t.user, user)
	if m == nil {
		return 0, ErrAddress
	}
	return m.Guest + (user - m.User), nil
}
