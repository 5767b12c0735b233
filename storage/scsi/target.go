package scsi

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
)

// Errors of the calls that change what a target has.
var (
	ErrLUNInUse  = errors.New("scsi: the target has a unit of this number")
	ErrNoUnit    = errors.New("scsi: the target has no unit of this number")
	ErrPrevented = errors.New("scsi: an initiator prevents the removal of the medium")
	ErrNoMedium  = errors.New("scsi: there is no medium")
)

// A Target is a SCSI target device: units under numbers. Its methods may be called at
// the same time.
type Target struct {
	luns    atomic.Pointer[map[int]*mapping] // replaced by whoever holds the token
	token   chan struct{}                    // of changes of luns and of nexuses
	nexuses map[*Nexus]struct{}
	noUnit  *commandSet // of numbers without a unit
}

// A mapping is a unit under a number, from Add to Remove.
type mapping struct{ unit *Unit }

// NewTarget makes a target without units.
func NewTarget() *Target {
	t := &Target{token: make(chan struct{}, 1), nexuses: map[*Nexus]struct{}{}, noUnit: diskCommands()}
	t.luns.Store(&map[int]*mapping{})
	return t
}

// Add gives u the number lun, 0 to MaxLUN. Initiators learn it by a unit attention
// condition. A unit may be in several targets, but only once in each.
func (t *Target) Add(lun int, u *Unit) error {
	if lun < 0 || lun > MaxLUN {
		return fmt.Errorf("scsi: %d is not a number from 0 to %d", lun, MaxLUN)
	}
	t.token <- struct{}{}
	defer func() { <-t.token }()
	luns := maps.Clone(*t.luns.Load())
	if luns[lun] != nil {
		return fmt.Errorf("%w: %d", ErrLUNInUse, lun)
	}
	for n, have := range luns {
		if have.unit == u {
			return fmt.Errorf("%w: the unit is there as number %d", ErrLUNInUse, n)
		}
	}
	luns[lun] = &mapping{u}
	t.replace(luns)
	return nil
}

// Remove takes the unit of number lun away. What initiators of this target have under
// way on it is aborted; done is closed when it has ended, and the unit may then be
// closed if no other target has it.
func (t *Target) Remove(lun int) (done <-chan struct{}, err error) {
	t.token <- struct{}{}
	defer func() { <-t.token }()
	luns := maps.Clone(*t.luns.Load())
	m := luns[lun]
	if m == nil {
		return nil, fmt.Errorf("%w: %d", ErrNoUnit, lun)
	}
	u := m.unit
	delete(luns, lun)
	t.replace(luns)
	u.lock()
	defer u.unlock()
	mine := func(l *link) bool { return l.nexus.target == t }
	done = u.state.abort(mine, nil)
	for _, l := range slices.Clone(u.state.links) {
		if mine(l) {
			u.state.loseNexus(l)
		}
	}
	return done, nil
}

// replace makes luns those of the target, and tells initiators. The token is held.
func (t *Target) replace(luns map[int]*mapping) {
	t.luns.Store(&luns)
	for _, m := range luns {
		u := m.unit
		u.lock()
		for _, l := range u.state.links {
			if l.nexus.target == t {
				l.establish(CodeLUNsChanged)
			}
		}
		u.unlock()
	}
	for n := range t.nexuses {
		n.tell(Event{Kind: EventLUNsChanged})
	}
}

// Units are the units by number.
func (t *Target) Units() map[int]*Unit {
	units := map[int]*Unit{}
	for lun, m := range *t.luns.Load() {
		units[lun] = m.unit
	}
	return units
}
