package block

import (
	"sync"
	"sync/atomic"
)

const (
	pageSize = 64 << 10 // of a Memory
	fanOut   = 1 << 10  // of a node of its tree

	largestMemory = 1 << 62 // bytes, most of which can only be holes
)

// Memory is a device in memory that takes room for what was written only: pages of
// 64 KB in a tree. Reads and writes lock nothing but the page that they touch, so
// each of them is whole within a page. Sync has nothing to do.
type Memory struct {
	ResizeNotices
	size   atomic.Int64
	root   atomic.Pointer[memoryTree]
	limit  int64 // of pages, or 0
	pages  atomic.Int64
	resize sync.Mutex // of calls of Resize
}

// memoryTree is the tree of all pages below one node, of depth levels of nodes.
type memoryTree struct {
	depth int
	node  *memoryNode
}

// A memoryNode has either nodes or, in the lowest level, pages.
type memoryNode struct {
	nodes []atomic.Pointer[memoryNode]
	pages []atomic.Pointer[memoryPage]
}

// A memoryPage has its bytes apart: behind a lock in the same object they would begin
// in the middle of a cache line, which makes a copy a fifth slower, and take the room of
// 72 KB.
type memoryPage struct {
	sync.RWMutex // held for a copy
	bytes        *[pageSize]byte
	lent         atomic.Int32 // how many hold bytes, which then do not change: see Lend
}

// NewMemory makes a device of size bytes, at most 1<<62, all zeroes.
func NewMemory(size int64) *Memory {
	m := &Memory{}
	m.size.Store(min(max(size, 0), largestMemory))
	m.root.Store(newMemoryTree(m.size.Load()))
	return m
}

// NewMemoryLimit is NewMemory of which at most room bytes, in pages of 64 KB, ever
// hold data. Writes beyond fail with ErrNoSpace.
func NewMemoryLimit(size, room int64) *Memory {
	m := NewMemory(size)
	m.limit = max(room/pageSize, 1)
	return m
}

func newMemoryTree(size int64) *memoryTree {
	t := &memoryTree{depth: 1}
	for !t.holds(size) {
		t.depth++
	}
	t.node = newMemoryNode(t.depth)
	return t
}

func newMemoryNode(depth int) *memoryNode {
	if depth == 1 {
		return &memoryNode{pages: make([]atomic.Pointer[memoryPage], fanOut)}
	}
	return &memoryNode{nodes: make([]atomic.Pointer[memoryNode], fanOut)}
}

// pagesBelow is how many pages lie below one entry of a node, depth levels above
// pages.
func pagesBelow(depth int) int64 {
	n := int64(1)
	for range depth - 1 {
		n *= fanOut
	}
	return n
}

// holds says whether the tree has room for size bytes.
func (t *memoryTree) holds(size int64) bool {
	last := max(size-1, 0) / pageSize
	return last/pagesBelow(t.depth) < fanOut
}

// slot finds where the pointer to page number i is. Without it, if grow is not set,
// it returns nil and how many pages, i among them, have no slot.
func (m *Memory) slot(i int64, grow bool) (slot *atomic.Pointer[memoryPage], missing int64) {
	t := m.root.Load()
	n := t.node
	for depth := t.depth; depth > 1; depth-- {
		below := pagesBelow(depth)
		p := &n.nodes[i/below%fanOut]
		next := p.Load()
		if next == nil {
			if !grow {
				return nil, below - i%below
			}
			if next = newMemoryNode(depth - 1); !p.CompareAndSwap(nil, next) {
				next = p.Load()
			}
		}
		n = next
	}
	return &n.pages[i%fanOut], 0
}

// page returns page number i, or nil if there is none.
func (m *Memory) page(i int64) *memoryPage {
	if slot, _ := m.slot(i, false); slot != nil {
		return slot.Load()
	}
	return nil
}

// makePage returns page number i, which it makes if there is none: of bytes, which are
// taken then, or if that is nil of zeroes.
func (m *Memory) makePage(i int64, bytes *[pageSize]byte) (p *memoryPage, taken bool, err error) {
	slot, _ := m.slot(i, true)
	if p := slot.Load(); p != nil {
		return p, false, nil
	}
	if n := m.pages.Add(1); m.limit > 0 && n > m.limit {
		m.pages.Add(-1)
		return nil, false, ErrNoSpace
	}
	p = &memoryPage{bytes: bytes}
	if bytes == nil {
		p.bytes = new([pageSize]byte)
	}
	if slot.CompareAndSwap(nil, p) {
		return p, bytes != nil, nil
	}
	m.pages.Add(-1)
	if p := slot.Load(); p != nil {
		return p, false, nil
	}
	return m.makePage(i, bytes) // dropped again meanwhile
}

// drop forgets page number i.
func (m *Memory) drop(i int64) {
	if slot, _ := m.slot(i, false); slot != nil && slot.Swap(nil) != nil {
		m.pages.Add(-1)
	}
}

// Allocated is how many bytes the pages take that hold data.
func (m *Memory) Allocated() int64 { return m.pages.Load() * pageSize }

// Size is the size in bytes.
func (m *Memory) Size() (int64, error) { return m.size.Load(), nil }

func (m *Memory) check(off, length int64) error {
	if size := m.size.Load(); off < 0 || length < 0 || off > size || length > size-off {
		return ErrRange
	}
	return nil
}

// each calls f for each page that the range touches, with the part of it that is in
// the range.
func each(off, length int64, f func(i int64, from, to int) error) error {
	for end := off + length; off < end; {
		from := int(off % pageSize)
		to := int(min(pageSize, int64(from)+end-off))
		if err := f(off/pageSize, from, to); err != nil {
			return err
		}
		off += int64(to - from)
	}
	return nil
}

// ReadAt reads len(p) bytes at off.
func (m *Memory) ReadAt(p []byte, off int64) (n int, err error) {
	if err := m.check(off, int64(len(p))); err != nil {
		return 0, err
	}
	for n < len(p) {
		at := off + int64(n)
		from := int(at % pageSize)
		part := p[n:min(len(p), n+pageSize-from)]
		if page := m.page(at / pageSize); page != nil {
			page.RLock()
			copy(part, page.bytes[from:])
			page.RUnlock()
		} else {
			clear(part)
		}
		n += len(part)
	}
	return n, nil
}

// WriteAt writes p at off.
func (m *Memory) WriteAt(p []byte, off int64) (n int, err error) {
	if err := m.check(off, int64(len(p))); err != nil {
		return 0, err
	}
	for n < len(p) {
		at := off + int64(n)
		page, _, err := m.makePage(at/pageSize, nil)
		if err != nil {
			return n, err
		}
		page.Lock()
		page.own()
		n += copy(page.bytes[at%pageSize:], p[n:])
		page.Unlock()
	}
	return n, nil
}

// WriteAtFUA is WriteAt.
func (m *Memory) WriteAtFUA(p []byte, off int64) (int, error) { return m.WriteAt(p, off) }

// Immediate says that reads and writes do not wait.
func (m *Memory) Immediate() bool { return true }

// Sync does nothing: memory is as durable as it ever will be.
func (m *Memory) Sync() error { return nil }

// Trim drops whole pages.
func (m *Memory) Trim(off, length int64) error {
	if err := m.check(off, length); err != nil {
		return err
	}
	first, last := (off+pageSize-1)/pageSize, (off+length)/pageSize
	if off+length == m.size.Load() {
		last = (off + length + pageSize - 1) / pageSize
	}
	m.dropPages(first, last)
	return nil
}

// dropPages drops the pages from first up to last, and takes no time for those that
// there are none of.
func (m *Memory) dropPages(first, last int64) {
	for i := first; i < last; i++ {
		if _, missing := m.slot(i, false); missing > 0 {
			i += missing - 1
			continue
		}
		m.drop(i)
	}
}

// WriteZeroes drops whole pages and clears parts of others. With ZeroNoHole it
// takes the room of all of them.
func (m *Memory) WriteZeroes(off, length int64, flags ZeroFlags) error {
	if err := m.check(off, length); err != nil {
		return err
	}
	if flags&ZeroNoHole != 0 {
		return each(off, length, func(i int64, from, to int) error {
			page, _, err := m.makePage(i, nil)
			if err == nil {
				page.clear(from, to)
			}
			return err
		})
	}
	end := off + length
	first, last := (off+pageSize-1)/pageSize, end/pageSize
	if first > last { // within a page
		m.clear(off, end)
		return nil
	}
	m.clear(off, first*pageSize)
	m.dropPages(first, last)
	m.clear(last*pageSize, end)
	return nil
}

// clear zeroes a part of one page, if there is the page.
func (m *Memory) clear(off, end int64) {
	if off >= end {
		return
	}
	if page := m.page(off / pageSize); page != nil {
		from := int(off % pageSize)
		page.clear(from, from+int(end-off))
	}
}

func (p *memoryPage) clear(from, to int) {
	p.Lock()
	defer p.Unlock()
	p.own()
	clear(p.bytes[from:to])
}

// Extents tells pages from holes.
func (m *Memory) Extents(off, length int64, yield func(Extent) bool) error {
	if err := m.check(off, length); err != nil {
		return err
	}
	for end := off + length; off < end; {
		i := off / pageSize
		slot, missing := m.slot(i, false)
		hole := slot == nil || slot.Load() == nil
		next := min(end, (i+max(missing, 1))*pageSize)
		if !yield(Extent{Off: off, Length: next - off, Hole: hole, Zero: hole}) {
			break
		}
		off = next
	}
	return nil
}

// Resize changes the size. What is added reads as zeroes.
func (m *Memory) Resize(size int64) error {
	if size < 0 || size > largestMemory {
		return ErrRange
	}
	m.resize.Lock()
	defer m.resize.Unlock()
	old := m.size.Load()
	if size < old {
		m.size.Store(size)
	}
	// Also before the device grows: a write that was under way while it shrank may
	// have come after.
	lo, hi := min(old, size), max(old, size)
	page := (lo + pageSize - 1) / pageSize
	m.clear(lo, min(hi, page*pageSize))
	for t := m.root.Load(); !t.holds(hi); t = m.root.Load() {
		above := &memoryTree{depth: t.depth + 1, node: newMemoryNode(t.depth + 1)}
		above.node.nodes[0].Store(t.node)
		m.root.Store(above)
	}
	m.dropPages(page, (hi-1)/pageSize+1)
	m.size.Store(size)
	m.Tell(size)
	return nil
}
