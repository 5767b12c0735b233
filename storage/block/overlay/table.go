package overlay

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// A state is where the content of a cluster is.
type state byte

const (
	inBase  state = 0
	inStore state = 1
	zero    state = 2
)

// A table has the states of all clusters, as they are now, and knows which of its
// pages are not yet durable.
type table struct {
	mu     sync.Mutex // held for some instructions
	bytes  []byte
	dirty  map[int64]bool // pages that have changed
	saving map[int64]bool // pages that are being made durable
}

func newTable(size int64) *table {
	return &table{bytes: make([]byte, size), dirty: map[int64]bool{}, saving: map[int64]bool{}}
}

// check looks for states that there are not.
func (t *table) check() error {
	for i, b := range t.bytes {
		if b&(b>>1)&0x55 != 0 {
			return fmt.Errorf("overlay: byte %d of the table is damaged: %#02x", i, b)
		}
	}
	return nil
}

func (t *table) at(cluster int64) state {
	return state(t.bytes[cluster/4] >> (cluster % 4 * 2) & 3)
}

// run is the state of the first cluster, and how many from there on, at most most,
// have it too.
func (t *table) run(first, most int64) (s state, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s = t.at(first)
	for n = 1; n < most && t.at(first+n) == s; {
		n++
		// Four at a time where they are all alike, in tables of sparse disks.
		for (first+n)%4 == 0 && n+4 <= most && t.bytes[(first+n)/4] == byte(s)*0x55 {
			n += 4
		}
	}
	return s, n
}

// set gives the clusters from first up to end the state.
func (t *table) set(first, end int64, s state) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := first; i < end; i++ {
		if t.at(i) == s {
			continue
		}
		b, shift := &t.bytes[i/4], i%4*2
		*b = *b&^(3<<shift) | byte(s)<<shift
		t.dirty[i/4/pageSize] = true
	}
}

// isDurable says whether the states of the clusters from first up to end are on the
// store as they are here.
func (t *table) isDurable(first, end int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for page := first / 4 / pageSize; page <= (end-1)/4/pageSize; page++ {
		if t.dirty[page] || t.saving[page] {
			return false
		}
	}
	return true
}

// A page is a piece of the table as it was when it was taken.
type page struct {
	number int64
	bytes  []byte
}

// take takes the pages that must be made durable.
func (t *table) take() (pages []page) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range slices.Sorted(maps.Keys(t.dirty)) {
		pages = append(pages, page{n, slices.Clone(t.bytes[n*pageSize:][:pageSize])})
	}
	t.dirty, t.saving = t.saving, t.dirty
	return pages
}

// saved ends what take began.
func (t *table) saved(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		maps.Copy(t.dirty, t.saving)
	}
	clear(t.saving)
}

// clear makes all clusters those of the base, and takes that for durable.
func (t *table) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.bytes)
	clear(t.dirty)
}
