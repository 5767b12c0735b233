package blocktest

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/seed-012105e5/gonet/storage/block"
)

// SectorSize is what a power cut leaves whole: a sector is as it was before a write
// or as it is after it.
const SectorSize = 512

// A Model knows what each sector of a disk may hold after a power cut: what it held
// when it was last made durable, or what any write since has put there. Sectors are
// written by one user each at a time; Syncs come from any. Its methods may be called
// at the same time.
//
// Writes of a Model are of whole sectors, each of which carries its number and the
// number of the write, so that a sector is recognized wherever it turns up.
type Model struct {
	mu      sync.Mutex
	sectors []sector
	dirty   map[int64]bool // sectors with more than one version
	next    uint64
}

// A sector is the versions that it may have, the oldest first. Version 0 is zeroes.
type sector struct {
	versions []uint64
	done     int // so many of them are of writes that have returned
}

// NewModel is of a disk of so many sectors that hold zeroes.
func NewModel(sectors int) *Model {
	m := &Model{sectors: make([]sector, sectors), dirty: map[int64]bool{}, next: 1}
	for i := range m.sectors {
		m.sectors[i] = sector{[]uint64{0}, 1}
	}
	return m
}

// fill writes all sectors of the device, if it is not nil.
func (m *Model) fill(dev block.Device) error {
	if dev == nil {
		return nil
	}
	p := make([]byte, len(m.sectors)*SectorSize)
	m.Write(p, 0)(true)
	_, err := dev.WriteAt(p, 0)
	return err
}

// fillSector makes p the sector's content in that version.
func fillSector(p []byte, number int64, version uint64) {
	if version == 0 {
		clear(p)
		return
	}
	for i := 0; i < len(p); i += 16 {
		binary.LittleEndian.PutUint64(p[i:], uint64(number))
		binary.LittleEndian.PutUint64(p[i+8:], version)
	}
}

// version reads p, or says why it is not a sector of that number.
func version(p []byte, number int64) (uint64, error) {
	v := binary.LittleEndian.Uint64(p[8:])
	n := binary.LittleEndian.Uint64(p)
	for i := 0; i < len(p); i += 16 {
		if binary.LittleEndian.Uint64(p[i:]) != n || binary.LittleEndian.Uint64(p[i+8:]) != v {
			return 0, fmt.Errorf("sector %d is torn at byte %d: write %d of sector %d at first, then write %d of sector %d", number, i,
				v, n, binary.LittleEndian.Uint64(p[i+8:]), binary.LittleEndian.Uint64(p[i:]))
		}
	}
	if v == 0 && n == 0 {
		return 0, nil
	}
	if n != uint64(number) {
		return 0, fmt.Errorf("sector %d holds write %d of sector %d", number, v, n)
	}
	return v, nil
}

// Write notes that p, whole sectors, is to be written at sector first, and fills p
// with what the caller must write. Call done when the write has returned.
func (m *Model) Write(p []byte, first int64) (done func(durable bool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.next
	m.next++
	return m.put(p, first, int64(len(p)/SectorSize), v)
}

// Zero is Write for zeroes made by other means.
func (m *Model) Zero(first, count int64) (done func(durable bool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.put(nil, first, count, 0)
}

func (m *Model) put(p []byte, first, count int64, v uint64) (done func(durable bool)) {
	for i := range count {
		s := &m.sectors[first+i]
		s.versions = append(s.versions, v)
		m.dirty[first+i] = true
		if p != nil {
			fillSector(p[i*SectorSize:][:SectorSize], first+i, v)
		}
	}
	return func(durable bool) {
		m.mu.Lock()
		defer m.mu.Unlock()
		for i := range count {
			s := &m.sectors[first+i]
			s.done = len(s.versions)
			if durable {
				m.settle(first+i, s.done)
			}
		}
	}
}

// settle makes the version before number done the oldest that the sector may have.
func (m *Model) settle(i int64, done int) {
	s := &m.sectors[i]
	s.versions = s.versions[done-1:]
	s.done -= done - 1
	if len(s.versions) == 1 {
		delete(m.dirty, i)
	}
}

// Sync notes that a Sync begins. Call done when it has succeeded.
func (m *Model) Sync() (done func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	latest := map[int64]uint64{}
	for i := range m.dirty {
		s := m.sectors[i]
		latest[i] = s.versions[s.done-1]
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		for i, v := range latest {
			s := m.sectors[i]
			for n := s.done - 1; n > 0; n-- { // unless it has been settled meanwhile
				if s.versions[n] == v {
					m.settle(i, n+1)
					break
				}
			}
		}
	}
}

// CheckNow holds p, read from sector first while nobody writes there, against the
// last write.
func (m *Model) CheckNow(p []byte, first int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range int64(len(p) / SectorSize) {
		s := m.sectors[first+i]
		v, err := version(p[i*SectorSize:][:SectorSize], first+i)
		if err != nil {
			return err
		}
		if want := s.versions[len(s.versions)-1]; v != want {
			return fmt.Errorf("sector %d holds write %d, and write %d was the last", first+i, v, want)
		}
	}
	return nil
}

// CheckAfterCut reads all of the disk and holds it against what may be left. What
// is there is from then on what must stay.
func (m *Model) CheckAfterCut(d *block.Disk) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := make([]byte, 128*SectorSize)
	for first := int64(0); first < int64(len(m.sectors)); first += 128 {
		p := p[:min(128, int64(len(m.sectors))-first)*SectorSize]
		if _, err := d.ReadAt(p, first*SectorSize); err != nil {
			return err
		}
		for i := range int64(len(p) / SectorSize) {
			if err := m.checkLeft(p[i*SectorSize:][:SectorSize], first+i); err != nil {
				return err
			}
		}
	}
	clear(m.dirty)
	return nil
}

func (m *Model) checkLeft(p []byte, number int64) error {
	s := &m.sectors[number]
	v, err := version(p, number)
	if err != nil {
		return err
	}
	for _, may := range s.versions {
		if v == may {
			*s = sector{[]uint64{v}, 1}
			return nil
		}
	}
	return fmt.Errorf("sector %d holds write %d after the cut; it may hold %d, of which the first is durable", number, v, s.versions)
}
