package scsi

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// A reserveModel is persistent reservations once more, in the plainest way: nexuses are
// numbers, a key of 0 is no registration, a holder of -1 is all registrants.
type reserveModel struct {
	keys       []uint64
	kind       reservationType
	holder     int
	generation uint32
	told       [][]Code
}

func (m *reserveModel) all() bool { return m.kind == 7 || m.kind == 8 }

func (m *reserveModel) holds(i int) bool {
	return m.kind != 0 && m.keys[i] != 0 && (m.all() || m.holder == i)
}

func (m *reserveModel) tellOthers(by int, c Code) {
	for i := range m.keys {
		if i != by && m.keys[i] != 0 {
			m.told[i] = append(m.told[i], c)
		}
	}
}

// do returns whether the operation succeeds.
func (m *reserveModel) do(by int, action byte, kind reservationType, key, newKey uint64) bool {
	mine := m.keys[by]
	if action == outRegister || action == outRegisterIgnore {
		if action == outRegister && key != mine {
			return false
		}
		if mine == 0 && newKey == 0 {
			return true
		}
		m.generation++
		held := m.holds(by)
		m.keys[by] = newKey
		if newKey == 0 && held && (!m.all() || slices.Max(m.keys) == 0) {
			if m.kind == 5 || m.kind == 6 {
				m.tellOthers(by, CodeReservationsReleased)
			}
			m.kind = 0
		}
		return true
	}
	if mine == 0 || key != mine {
		return false
	}
	switch action {
	case outReserve:
		if m.kind == 0 {
			m.kind, m.holder = kind, by
			return true
		}
		return m.holds(by) && kind == m.kind
	case outRelease:
		if !m.holds(by) {
			return true
		}
		if kind != m.kind {
			return false
		}
		if m.kind >= 5 {
			m.tellOthers(by, CodeReservationsReleased)
		}
		m.kind = 0
	case outClear:
		m.tellOthers(by, CodeReservationsPreempted)
		clear(m.keys)
		m.kind = 0
		m.generation++
	case outPreempt, outPreemptAndAbort:
		return m.preempt(by, kind, newKey)
	}
	return true
}

func (m *reserveModel) preempt(by int, kind reservationType, victim uint64) bool {
	takes := m.kind != 0 && (m.all() && victim == 0 || !m.all() && m.keys[m.holder] == victim)
	if !takes && (victim == 0 || !slices.Contains(m.keys, victim)) {
		return false
	}
	for i := range m.keys {
		hit := m.keys[i] != 0 && (m.keys[i] == victim || takes && victim == 0)
		if !hit || i == by && takes {
			continue
		}
		if m.keys[i] = 0; i != by {
			m.told[i] = append(m.told[i], CodeRegistrationsPreempted)
		}
	}
	if takes {
		if m.kind != kind {
			m.tellOthers(by, CodeReservationsReleased)
		}
		m.kind, m.holder = kind, by
	} else if m.all() && slices.Max(m.keys) == 0 {
		m.kind = 0
	}
	m.generation++
	return true
}

// access says whether a nexus may read and write.
func (m *reserveModel) access(i int) (reads, writes bool) {
	free := m.kind == 0 || m.holds(i) || m.kind >= 5 && m.keys[i] != 0
	return free || m.kind == 1 || m.kind == 5 || m.kind == 7, free
}

// TestReservationModel does random operations of several nexuses, and holds all that can be
// seen against the model after each.
func TestReservationModel(t *testing.T) {
	const nexuses = 5
	seeds, steps := uint64(6), 1000
	if testing.Short() {
		seeds, steps = 2, 500
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			r := newRig(t, UnitConfig{})
			all := r.nexuses(nexuses)
			m := &reserveModel{keys: make([]uint64, nexuses), told: make([][]Code, nexuses)}
			for step := range steps {
				by, kind := rnd.IntN(nexuses), allTypes[rnd.IntN(len(allTypes))]
				if rnd.IntN(2) == 0 && m.kind != 0 {
					kind = m.kind
				}
				action := []byte{0, 0, 1, 1, 2, 3, 4, 4, 5, 6, 6}[rnd.IntN(11)]
				if action == outClear && rnd.IntN(4) > 0 {
					action = outReserve
				}
				key, newKey := m.keys[by], uint64(rnd.IntN(4))
				if rnd.IntN(8) == 0 {
					key = uint64(rnd.IntN(4))
				}
				want := m.do(by, action, kind, key, newKey)
				status, sense := r.out(all[by], action, kind, key, newKey, 0)
				what := fmt.Sprintf("step %d: %d does %d, type %d, keys %d and %d", step, by, action, kind, key, newKey)
				if (status == Good) != want {
					t.Fatalf("%s: %v, %v", what, status, sense)
				}
				checkModel(t, r, all, m, what)
				if rnd.IntN(50) == 0 { // what persists does so over the loss of a nexus
					i := rnd.IntN(nexuses)
					<-all[i].Detach()
					all[i] = r.attach(fmt.Sprintf("n%d", i))
					r.settle(all[i])
				}
			}
		})
	}
}

func checkModel(t *testing.T, r *rig, all []*Nexus, m *reserveModel, what string) {
	t.Helper()
	for i, n := range all {
		if got := r.attentions(n); !slices.Equal(got, m.told[i]) {
			t.Fatalf("%s: %d is told %v, should be %v", what, i, got, m.told[i])
		}
		m.told[i] = nil
		reads, writes := m.access(i)
		if got := r.status(n, blocks(0x28, 0, 1), nil); got != Good && got != ReservationConflict || (got == Good) != reads {
			t.Fatalf("%s: %d reads: %v", what, i, got)
		}
		if got := r.status(n, blocks(0x2a, 0, 1), make([]byte, 512)); got != Good && got != ReservationConflict || (got == Good) != writes {
			t.Fatalf("%s: %d writes: %v", what, i, got)
		}
	}
	generation, keys := r.keys(all[0])
	var want []uint64
	for _, k := range m.keys {
		if k != 0 {
			want = append(want, k)
		}
	}
	slices.Sort(keys)
	slices.Sort(want)
	if generation != m.generation || !slices.Equal(keys, want) {
		t.Fatalf("%s: generation %d and keys %v, should be %d and %v", what, generation, keys, m.generation, want)
	}
	var holder uint64
	if m.kind != 0 && !m.all() {
		holder = m.keys[m.holder]
	}
	if key, kind := r.reservation(all[0]); kind != m.kind || key != holder {
		t.Fatalf("%s: type %d of %d, should be %d of %d", what, kind, key, m.kind, holder)
	}
}
