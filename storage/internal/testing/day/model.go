package day

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
)

const sectorSize = 512 // what a power cut leaves whole

// A Loss is what a power cut of the server takes from a client of what was acknowledged.
type Loss int

const (
	LossTold   Loss = iota // what is not durable, and the next Sync fails and tells it
	LossNone               // nothing: the client keeps copies until they are durable
	LossSilent             // what is not durable, as with any disk
)

// A model knows what each sector that one client writes may read as now, and what
// a power cut may leave of it.
//
// Sectors are written by one user each, so that at most one change of a sector is
// under way.
type model struct {
	mu      sync.Mutex
	loss    Loss
	sectors []sectorState
	seq     uint64 // of the last change
	cuts    int
	told    int // how often a Sync has told of loss
}

// A sectorState is the versions that a sector may have.
type sectorState struct {
	now, after []version // after a cut; now is among them
	acked      bool      // the last change succeeded, and now is what it left
	last       []version // now at that moment
	cut, told  int       // the model's at that moment
}

// A version is what one change has put into a sector: zeroes if content is 0.
type version struct{ seq, content uint64 }

func newModel(sectors int, loss Loss) *model {
	m := &model{loss: loss, sectors: make([]sectorState, sectors)}
	for i := range m.sectors {
		m.sectors[i].now = []version{{}}
		m.sectors[i].after = []version{{}}
	}
	return m
}

// A change is a change under way.
type change struct {
	first, count int
	version      version
	trim         bool // the sectors may as well stay as they were
	cuts         int
	before       []bool // acked
}

// begin notes a change of sectors. With p, they are written, and p is filled with
// what to write; otherwise they become zeroes, or with trim may.
func (m *model) begin(first, count int, p []byte, trim bool) *change {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seq++
	c := &change{first: first, count: count, version: version{seq: m.seq}, trim: trim, cuts: m.cuts, before: make([]bool, count)}
	if p != nil {
		c.version.content = m.seq
	}
	for i := range count {
		s := &m.sectors[first+i]
		c.before[i], s.acked = s.acked, false
		s.now = append(s.now, c.version)
		s.after = append(s.after, c.version)
		if p != nil {
			fillSector(p[i*sectorSize:][:sectorSize], first+i, m.seq)
		}
	}
	return c
}

// end notes that a change has succeeded. One that failed is not ended: what it did is
// not known.
func (m *model) end(c *change, durable bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range c.count {
		s := &m.sectors[c.first+i]
		switch {
		case c.trim:
			s.acked = c.before[i] && (m.loss == LossNone || c.cuts == m.cuts)
		case durable || m.loss == LossNone || c.cuts == m.cuts:
			s.acked, s.now = true, []version{c.version}
		}
		if durable && !c.trim {
			s.after = []version{c.version}
		}
		if s.acked {
			s.last, s.cut, s.told = slices.Clone(s.now), m.cuts, m.told
		}
	}
}

// cut notes that the server has lost power.
func (m *model) cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cuts++
	for i := range m.sectors {
		if s := &m.sectors[i]; m.loss != LossNone || !s.acked {
			s.now = slices.Clone(s.after)
		}
	}
}

// A flush is a Sync under way.
type flush struct {
	sectors map[int]sectorState // that are acknowledged, and not durable
	seq     uint64
}

func (m *model) beginSync() *flush {
	m.mu.Lock()
	defer m.mu.Unlock()
	y := &flush{map[int]sectorState{}, m.seq}
	for i := range m.sectors {
		if s := m.sectors[i]; s.acked && len(s.after) > 1 {
			y.sectors[i] = s
		}
	}
	return y
}

// endSync notes that a Sync has told of loss, or has succeeded: what was acknowledged
// before it began is durable, unless it was lost and another Sync has told that.
func (m *model) endSync(y *flush, lost, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if lost {
		m.told++
	}
	if !ok {
		return
	}
	for i, was := range y.sectors {
		s := &m.sectors[i]
		if was.cut != m.cuts && (m.loss == LossSilent || m.loss == LossTold && was.told != m.told) {
			continue
		}
		later := func(v version) bool { return v.seq > y.seq }
		keep := func(all []version) []version {
			return slices.DeleteFunc(slices.Clone(all), func(v version) bool {
				return !later(v) && !slices.Contains(was.last, v)
			})
		}
		s.now, s.after = keep(s.now), keep(s.after)
	}
}

// A reading is a read under way.
type reading struct{ cuts int }

func (m *model) beginRead() reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	return reading{m.cuts}
}

// check holds p, read from sector first while nobody changed it, against the model.
func (m *model) check(r reading, p []byte, first int) error {
	for i := range len(p) / sectorSize {
		v, err := contentOf(p[i*sectorSize:][:sectorSize], first+i)
		if err == nil {
			err = m.see(r, first+i, v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// see notes that a sector was found to have that content.
func (m *model) see(r reading, number int, content uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.sectors[number]
	other := func(v version) bool { return v.content != content }
	found := slices.DeleteFunc(slices.Clone(s.now), other)
	if len(found) == 0 {
		return fmt.Errorf("sector %d holds change %d; it may hold %v, and after a power cut %v (acknowledged %v, cuts %d)", number, content, s.now, s.after, s.acked, m.cuts)
	}
	if r.cuts == m.cuts { // otherwise it may have been read before the cut
		s.now = found
	}
	return nil
}

// fillSector makes p the sector's content by a change.
func fillSector(p []byte, number int, content uint64) {
	for i := 0; i < len(p); i += 16 {
		binary.LittleEndian.PutUint64(p[i:], uint64(number))
		binary.LittleEndian.PutUint64(p[i+8:], content)
	}
}

// contentOf is by which change p was written, or why it is nothing that any change
// writes.
func contentOf(p []byte, number int) (uint64, error) {
	n, content := binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:])
	for i := 16; i < len(p); i += 16 {
		if binary.LittleEndian.Uint64(p[i:]) != n || binary.LittleEndian.Uint64(p[i+8:]) != content {
			return 0, fmt.Errorf("sector %d is torn at byte %d", number, i)
		}
	}
	if content != 0 && n != uint64(number) || content == 0 && n != 0 {
		return 0, fmt.Errorf("sector %d holds change %d of sector %d", number, content, n)
	}
	return content, nil
}
