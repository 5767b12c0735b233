package scsi

import (
	"encoding/json"
	"fmt"
)

// saved is the form of what a Store keeps, as JSON.
type saved struct {
	Caching    bool `json:"wce"`
	Descriptor bool `json:"d_sense"`
	Protect    bool `json:"swp"`
	Status     bool `json:"tas"`

	Reservations *savedReservations `json:"reservations,omitempty"`
}

// persist saves the state of the unit as it is when its turn comes, so that what is saved
// last is what is newest. The command fails if that cannot be done.
func (t *Task) persist() {
	u := t.unit
	u.saving <- struct{}{}
	defer func() { <-u.saving }()
	u.lock()
	state, err := u.state.encode()
	u.unlock()
	if err == nil {
		err = u.config.Store.Save(state)
	}
	if err != nil {
		t.fail(Sense{Key: HardwareError, Code: CodeInternalFailure})
	}
}

func (s *state) encode() ([]byte, error) {
	p := s.savedPages
	return json.Marshal(saved{
		Caching: p.cache, Descriptor: p.descriptor, Protect: p.protect, Status: p.status,
		Reservations: s.reservations.encode(),
	})
}

// restore reads what the store has.
func (u *Unit) restore() error {
	if u.config.Store == nil {
		return nil
	}
	text, err := u.config.Store.Load()
	if err != nil {
		return fmt.Errorf("scsi: the saved state: %w", err)
	}
	if text == nil {
		return nil
	}
	var v saved
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("scsi: the saved state: %w", err)
	}
	u.state.savedPages = modePages{cache: v.Caching, descriptor: v.Descriptor, protect: v.Protect, status: v.Status}
	u.state.pages = u.state.savedPages
	if !u.state.reservations.decode(v.Reservations) {
		return fmt.Errorf("scsi: the saved state: impossible reservations")
	}
	return nil
}
