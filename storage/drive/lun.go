package drive

import (
	"context"
	"errors"

	"github.com/seed-012105e5/gonet/storage/scsi"
)

// LUN is a Backend that is a logical unit with a removable medium, of iSCSI or another
// transport of SCSI. Initiators see an empty drive while nothing is connected, and learn of
// changes by unit attentions. When a disk follows a CD-ROM, or the other way, the unit is
// replaced, since a unit has one type.
type LUN struct {
	target *scsi.Target
	number int
	config LUNConfig
	unit   *scsi.Unit
	cdrom  bool
	state  chan lunState // of capacity one: holds the state while nobody does
}

// LUNConfig says what initiators see of the drive. Zero values mean what is said.
type LUNConfig struct {
	Vendor, Product, Revision, Serial string // as in scsi.UnitConfig
	Disk                              bool   // without a medium the drive is at first one for disks, else for CD-ROMs
}

// lunState is what Eject and an initiator that ejects have in common.
type lunState struct {
	medium  *Medium
	drained <-chan struct{} // closed when nothing uses the last medium any more; nil: there was none
}

// NewLUN makes a unit of that number of a target.
func NewLUN(target *scsi.Target, number int, c LUNConfig) (*LUN, error) {
	b := &LUN{target: target, number: number, config: c, cdrom: !c.Disk, state: make(chan lunState, 1)}
	b.state <- lunState{}
	if err := b.add(); err != nil {
		return nil, err
	}
	return b, nil
}

// add makes the unit, without a medium.
func (b *LUN) add() error {
	c := scsi.UnitConfig{
		Type: scsi.Disk, Removable: true, Vendor: b.config.Vendor, Product: b.config.Product, Revision: b.config.Revision, Serial: b.config.Serial,
	}
	if b.cdrom {
		c.Type = scsi.CDROM
	}
	c.OnEject = func(load bool) {
		if !load {
			b.ejectedByInitiator()
		}
	}
	u, err := scsi.NewUnit(c)
	if err != nil {
		return err
	}
	b.unit = u
	return b.target.Add(b.number, u)
}

// remove takes the unit away.
func (b *LUN) remove(ctx context.Context) error {
	done, err := b.target.Remove(b.number)
	if err != nil {
		return err
	}
	return wait(ctx, done)
}

// ejectedByInitiator takes out what an initiator has ejected; it could load it again
// otherwise.
func (b *LUN) ejectedByInitiator() {
	s := <-b.state
	defer func() { b.state <- s }()
	if s.medium == nil {
		return
	}
	done, err := b.unit.Eject(true)
	if err != nil {
		return
	}
	tell := s.medium.Ejected
	s = lunState{drained: done}
	go func() {
		<-done
		tell()
	}()
}

// Insert puts the medium into the unit.
func (b *LUN) Insert(ctx context.Context, m Medium) error {
	if m.CDROM != b.cdrom {
		if err := b.remove(ctx); err != nil {
			return err
		}
		b.cdrom = m.CDROM
		if err := b.add(); err != nil {
			return err
		}
	}
	<-b.state // before an initiator can eject it
	err := b.unit.Insert(m.Disk)
	if err != nil {
		b.state <- lunState{}
		return err
	}
	b.state <- lunState{medium: &m}
	return nil
}

// Eject takes the medium out of the unit. Initiators hinder it by PREVENT ALLOW MEDIUM
// REMOVAL, unless forced.
func (b *LUN) Eject(ctx context.Context, force bool) error {
	s := <-b.state
	if s.medium != nil {
		done, err := b.unit.Eject(force)
		if err != nil {
			b.state <- s
			if errors.Is(err, scsi.ErrPrevented) {
				return ErrLocked
			}
			return err
		}
		s = lunState{drained: done}
	}
	b.state <- s
	return wait(ctx, s.drained)
}

// Close takes the unit away.
func (b *LUN) Close() error { return b.remove(context.Background()) }

// wait waits for what may be nil, which is done.
func wait(ctx context.Context, done <-chan struct{}) error {
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
