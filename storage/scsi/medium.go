package scsi

import (
	"fmt"

	"github.com/seed-012105e5/gonet/storage/block"
)

// mount makes a medium of a disk, and follows its size.
func (u *Unit) mount(d *block.Disk) (*medium, error) {
	size, err := d.Size()
	if err != nil {
		return nil, fmt.Errorf("scsi: the size of the medium: %w", err)
	}
	m := &medium{disk: d, info: d.Info(), blocks: uint64(size) >> u.shift}
	m.readOnly = m.info.ReadOnly || u.config.ReadOnly
	if i, ok := d.Device().(block.ImmediateDevice); ok {
		m.immediate = i.Immediate()
	}
	m.size.Store(size)
	m.stop = d.NotifyResize(m.size.Store)
	return m, nil
}

// lookAtSize has all initiators know that the capacity is another, if it is (SBC-3
// 5.15). The notice of the disk is only kept, since it must not wait for the token.
func (u *Unit) lookAtSize() {
	m := u.state.medium
	if m == nil {
		return
	}
	blocks := uint64(max(m.size.Load(), 0)) >> u.shift
	if blocks == m.blocks {
		return
	}
	m.blocks = blocks
	for _, l := range u.state.links {
		l.establish(CodeCapacityChanged)
	}
}

// Insert puts a medium into a removable unit that has none. Initiators learn it by the
// unit attention NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED.
func (u *Unit) Insert(d *block.Disk) error {
	m, err := u.mount(d)
	if err != nil {
		return err
	}
	u.lock()
	defer u.unlock()
	if !u.config.Removable || u.state.medium != nil {
		m.stop()
		return fmt.Errorf("scsi: the unit has a medium, or takes none")
	}
	u.state.medium, u.state.ejected = m, false
	u.state.tellMediumChanged(nil)
	return nil
}

// Eject takes the medium out. It fails with ErrPrevented if an initiator prevents that,
// unless forced. done is closed when no task uses the disk any more.
func (u *Unit) Eject(force bool) (done <-chan struct{}, err error) {
	u.lock()
	defer u.unlock()
	s := &u.state
	switch {
	case !u.config.Removable:
		return nil, fmt.Errorf("scsi: the medium of the unit is not removable")
	case s.medium == nil:
		return nil, ErrNoMedium
	case !force && s.prevented():
		s.note(mediaEjectRequest)
		return nil, ErrPrevented
	}
	return s.eject().done, nil
}

// Close ends the use of the disk, whatever initiators prevent: the unit has no medium from
// now on. done is closed when no task uses the disk any more.
func (u *Unit) Close() (done <-chan struct{}) {
	u.lock()
	defer u.unlock()
	if u.state.medium == nil {
		d := newDrain(nil)
		d.release()
		return d.done
	}
	return u.state.eject().done
}

// eject takes the medium out and returns what waits for the tasks that use it.
func (s *state) eject() *drain {
	m := s.medium
	s.medium, s.ejected = nil, false
	s.note(mediaRemoved)
	d := newDrain(m.stop)
	s.wait(d, func(*link) bool { return true })
	d.release()
	return d
}

// noMedium is why the unit is not ready without a medium. Of a CD-ROM it says whether the tray is open.
// The token is held.
func (u *Unit) noMedium() Code {
	switch {
	case u.config.Type != CDROM:
		return CodeMediumNotPresent
	case u.state.ejected:
		return CodeTrayOpen
	}
	return CodeTrayClosed
}

// prevented says whether an initiator prevents the removal of the medium.
func (s *state) prevented() bool {
	for _, l := range s.links {
		if l.prevents {
			return true
		}
	}
	return false
}
