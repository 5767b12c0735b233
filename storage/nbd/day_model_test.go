package nbd

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
)

const daySector = 512 // what a power cut leaves whole

// A dayModel knows what each sector that one client writes may read as now, and what
// a power cut may leave of it.
//
// Sectors are written by one user each, so that at most one change of a sector is
// under way. A client that keeps copies of what is not flushed (strict) loses nothing
// that was acknowledged; of another one a cut may undo what is not durable, and the
// client must tell it by failing the next Sync.
type dayModel struct {
	mu      sync.Mutex
	strict  bool
	sectors []daySectorState
	seq     uint64 // of the last change
	cuts    int
	told    int // how often a Sync has told of loss
}

// A daySectorState is the versions that a sector may have.
type daySectorState struct {
	now, after []dayVersion // after a cut; now is among them
	acked      bool         // the last change succeeded, and now is what it left
	last       []dayVersion // now at that moment
	cut, told  int          // the model's at that moment
}

// A dayVersion is what one change has put into a sector: zeroes if content is 0.
type dayVersion struct{ seq, content uint64 }

func newDayModel(sectors int, strict bool) *dayModel {
	m := &dayModel{strict: strict, sectors: make([]daySectorState, sectors)}
	for i := range m.sectors {
		m.sectors[i].now = []dayVersion{{}}
		m.sectors[i].after = []dayVersion{{}}
	}
	return m
}

// A dayChange is a change under way.
type dayChange struct {
	first, count int
	version      dayVersion
	trim         bool // the sectors may as well stay as they were
	cuts         int
	before       []bool // acked
}

// begin notes a change of sectors. With p, they are written, and p is filled with
// what to write; otherwise they become zeroes, or with trim may.
func (m *dayModel) begin(first, count int, p []byte, trim bool) *dayChange {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seq++
	c := &dayChange{first: first, count: count, version: dayVersion{seq: m.seq}, trim: trim, cuts: m.cuts, before: make([]bool, count)}
	if p != nil {
		c.version.content = m.seq
	}
	for i := range count {
		s := &m.sectors[first+i]
		c.before[i], s.acked = s.acked, false
		s.now = append(s.now, c.version)
		s.after = append(s.after, c.version)
		if p != nil {
			fillDaySector(p[i*daySector:][:daySector], first+i, m.seq)
		}
	}
	return c
}

// end notes that a change has succeeded. One that failed is not ended: what it did is
// not known.
func (m *dayModel) end(c *dayChange, durable bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range c.count {
		s := &m.sectors[c.first+i]
		switch {
		case c.trim:
			s.acked = c.before[i] && (m.strict || c.cuts == m.cuts)
		case durable || m.strict || c.cuts == m.cuts:
			s.acked, s.now = true, []dayVersion{c.version}
		}
		if durable && !c.trim {
			s.after = []dayVersion{c.version}
		}
		if s.acked {
			s.last, s.cut, s.told = slices.Clone(s.now), m.cuts, m.told
		}
	}
}

// cut notes that the server has lost power.
func (m *dayModel) cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cuts++
	for i := range m.sectors {
		if s := &m.sectors[i]; !m.strict || !s.acked {
			s.now = slices.Clone(s.after)
		}
	}
}

// A daySync is a Sync under way.
type daySync struct {
	sectors map[int]daySectorState // that are acknowledged, and not durable
	seq     uint64
}

func (m *dayModel) beginSync() *daySync {
	m.mu.Lock()
	defer m.mu.Unlock()
	y := &daySync{map[int]daySectorState{}, m.seq}
	for i := range m.sectors {
		if s := m.sectors[i]; s.acked && len(s.after) > 1 {
			y.sectors[i] = s
		}
	}
	return y
}

// endSync notes that a Sync has told of loss, or has succeeded: what was acknowledged
// before it began is durable, unless it was lost and another Sync has told that.
func (m *dayModel) endSync(y *daySync, lost, ok bool) {
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
		if !m.strict && was.cut != m.cuts && was.told != m.told {
			continue
		}
		later := func(v dayVersion) bool { return v.seq > y.seq }
		keep := func(all []dayVersion) []dayVersion {
			return slices.DeleteFunc(slices.Clone(all), func(v dayVersion) bool {
				return !later(v) && !slices.Contains(was.last, v)
			})
		}
		s.now, s.after = keep(s.now), keep(s.after)
	}
}

// A dayRead is a read under way.
type dayRead struct{ cuts int }

func (m *dayModel) beginRead() dayRead {
	m.mu.Lock()
	defer m.mu.Unlock()
	return dayRead{m.cuts}
}

// check holds p, read from sector first while nobody changed it, against the model.
func (m *dayModel) check(r dayRead, p []byte, first int) error {
	for i := range len(p) / daySector {
		v, err := dayContent(p[i*daySector:][:daySector], first+i)
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
func (m *dayModel) see(r dayRead, number int, content uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.sectors[number]
	other := func(v dayVersion) bool { return v.content != content }
	found := slices.DeleteFunc(slices.Clone(s.now), other)
	if len(found) == 0 {
		return fmt.Errorf("sector %d holds change %d; it may hold %v, and after a power cut %v (acknowledged %v, cuts %d)", number, content, s.now, s.after, s.acked, m.cuts)
	}
	if r.cuts == m.cuts { // otherwise it may have been read before the cut
		s.now = found
	}
	return nil
}

// fillDaySector makes p the sector's content by a change.
func fillDaySector(p []byte, number int, content uint64) {
	for i := 0; i < len(p); i += 16 {
		binary.LittleEndian.PutUint64(p[i:], uint64(number))
		binary.LittleEndian.PutUint64(p[i+8:], content)
	}
}

// dayContent is by which change p was written, or why it is nothing that any change
// writes.
func dayContent(p []byte, number int) (uint64, error) {
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
