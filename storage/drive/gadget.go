package drive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/seed-012105e5/gonet/storage/usb/gadget"
)

// Gadget is a Backend that is a USB gadget of the kernel's: what machines on the other end
// of a cable see. The kernel opens the medium by itself, so it must be a file.
type Gadget struct {
	// NoFUA has the kernel ignore FUA, which is faster; set before the first call.
	NoFUA bool
	// Resumed says that the gadget is one that a program has left which had died, and that
	// the unit may have its medium; set before the first call.
	Resumed bool

	gadget *gadget.Gadget
	unit   int
	turn   chan struct{} // held by who uses the gadget
	medium Medium
	stop   chan struct{} // closed to have watch end; nil without a medium
}

// ejectPoll is how often a gadget is asked whether its host has ejected the medium.
const ejectPoll = 500 * time.Millisecond

// NewGadget uses a unit of a gadget, which is empty, or see Resumed. The gadget is the
// caller's to bind and to remove.
func NewGadget(g *gadget.Gadget, unit int) *Gadget {
	return &Gadget{gadget: g, unit: unit, turn: make(chan struct{}, 1)}
}

// Insert puts the medium into the unit.
func (b *Gadget) Insert(_ context.Context, m Medium) error {
	if m.Path == "" {
		return fmt.Errorf("%w: the kernel opens files only, and %s has none", ErrPermission, m.Name)
	}
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	g := gadget.Medium{File: m.Path, CDROM: m.CDROM, ReadOnly: m.ReadOnly || m.CDROM, NoFUA: b.NoFUA}
	resumed, err := b.resumed(g)
	if err == nil && !resumed {
		err = b.gadget.Insert(b.unit, g)
	}
	if err != nil {
		return gadgetError(err)
	}
	b.medium, b.stop = m, make(chan struct{})
	go b.watch(m, b.stop)
	return nil
}

// resumed says whether the unit has this medium already, as a program has left it that has
// died: its host goes on to use it. Another one is taken out.
func (b *Gadget) resumed(m gadget.Medium) (bool, error) {
	if !b.Resumed {
		return false, nil
	}
	b.Resumed = false
	was, err := b.gadget.State(b.unit)
	if err != nil || was.File == "" {
		return false, err
	}
	file := was.File
	if was.File = m.File; was == m && sameFile(file, m.File) {
		return true, nil
	}
	return false, b.gadget.Eject(b.unit, true)
}

func sameFile(a, b string) bool {
	one, err1 := os.Stat(a)
	two, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(one, two)
}

// Resume asks the kernel what the unit of a gadget has that a program has left.
func (b *Gadget) Resume(_ context.Context, connected bool) bool {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	if !b.Resumed {
		return connected
	}
	was, err := b.gadget.State(b.unit)
	switch {
	case err != nil:
		return connected // Insert says what is wrong
	case was.File == "":
		return false
	case !connected:
		b.gadget.Eject(b.unit, true)
	}
	return connected
}

// watch tells when the host has ejected the medium, until stop is closed.
func (b *Gadget) watch(m Medium, stop chan struct{}) {
	ticks := time.NewTicker(ejectPoll)
	defer ticks.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticks.C:
		}
		select {
		case <-stop:
			return
		case b.turn <- struct{}{}:
		}
		state, err := b.gadget.State(b.unit)
		gone := err == nil && state.File == "" && b.stop == stop
		if gone {
			b.stop = nil
		}
		<-b.turn
		if gone {
			syncFile(m)
			if m.Ejected != nil {
				m.Ejected()
			}
			return
		}
	}
}

// Eject takes the medium out of the unit. What the host has written is durable then.
func (b *Gadget) Eject(_ context.Context, force bool) error {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	if b.stop == nil {
		return nil
	}
	if err := b.gadget.Eject(b.unit, force); err != nil {
		return gadgetError(err)
	}
	close(b.stop)
	b.stop = nil
	return syncFile(b.medium)
}

// syncFile makes durable what the kernel has written.
func syncFile(m Medium) error {
	if m.ReadOnly {
		return nil
	}
	f, err := os.OpenFile(m.Path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Probe asks the kernel whether the gadget is there and bound.
func (b *Gadget) Probe(context.Context) error {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	controller, err := b.gadget.Controller()
	if err == nil && controller == "" {
		err = gadget.ErrNoController
	}
	return gadgetError(err)
}

// Close does nothing: the gadget is the caller's.
func (b *Gadget) Close() error { return nil }

// gadgetError says which of a drive's errors one of a gadget is.
func gadgetError(err error) error {
	for _, e := range []struct{ of, is error }{
		{gadget.ErrLocked, ErrLocked}, {gadget.ErrBusy, ErrBusy}, {fs.ErrPermission, ErrPermission},
		{gadget.ErrNoController, ErrOffline}, {gadget.ErrUnsupported, ErrOffline}, {fs.ErrNotExist, ErrOffline},
	} {
		if errors.Is(err, e.of) {
			return fmt.Errorf("%w: %w", e.is, err)
		}
	}
	return err
}
