package drive

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
)

// An owner is the goroutine that has the state of a drive. It reads requests, results of
// the one call of the backend that may be under way, ejections by machines and changes of
// the store; it writes the view. It blocks on writing a note of some hundred bytes to the
// store.
type owner struct {
	drive     *Drive
	machine   machine
	selection selection
	medium    *medium    // what the backend has
	early     *medium    // a machine ejected it before the backend had said that it has it
	waiting   chan error // who asked for the call that is under way; nil if nobody did
	online    bool
}

func (o *owner) run(ctx context.Context) {
	d := o.drive
	defer close(d.done)
	probe := time.NewTicker(d.config.Probe)
	defer probe.Stop()
	stopping := ctx.Done()
	for {
		_, changed := d.config.Store.State()
		o.look()
		o.show()
		requests := d.requests
		if stopping == nil {
			requests = nil
			if o.machine.phase == connected {
				o.leave()
			}
			if o.machine.phase == disconnected {
				return
			}
		}
		select {
		case r := <-requests:
			o.event(r)
		case r := <-d.results:
			o.result(r)
		case m := <-d.ejected:
			switch {
			case m == o.medium:
				o.event(request{event: evHostEjected})
			case o.machine.phase == connecting:
				o.early = m
			}
		case <-changed:
		case <-probe.C:
			o.probe(ctx)
		case <-stopping:
			stopping = nil
		}
	}
}

// event has the machine step, and does what it says.
func (o *owner) event(r request) {
	act, err := o.machine.step(r.event)
	if err != nil {
		o.answer(r.answer, err)
		return
	}
	switch act {
	case setParams:
		err = o.setParams(r.params)
	case doInsert:
		o.waiting = r.answer
		o.selection.Connected = true // before the backend is called: so it holds after a power cut
		o.save()
		go o.drive.insert(o.selection)
		return
	case doEject, doForce:
		o.waiting = r.answer
		go o.drive.eject(o.medium, act == doForce)
		return
	default:
		o.act(act)
	}
	o.answer(r.answer, err)
}

// answer tells who asked what came of it, if somebody did: after State shows it, so that
// whoever has the answer sees what he has done.
func (o *owner) answer(to chan error, err error) {
	if to != nil {
		o.show()
		to <- err
	}
}

// act does what does not call the backend.
func (o *owner) act(a action) {
	switch a {
	case doRelease, releaseReset, doUnselect:
		o.medium.close(o.drive.log)
		o.medium = nil
		switch a {
		case releaseReset:
			o.selection = selection{}
		case doUnselect:
			o.selection.Image, o.selection.Remote = "", nil
		}
		o.selection.Connected = false
		o.save()
	}
}

// result takes what a call of the backend has led to.
func (o *owner) result(r result) {
	if r.event == evInserted {
		o.medium = r.medium
	}
	act, _ := o.machine.step(r.event)
	o.act(act)
	if r.err != nil {
		o.drive.log.Warn("the drive", "err", r.err)
	}
	o.answer(o.waiting, r.err)
	o.waiting = nil
	if o.medium != nil && o.medium == o.early {
		o.event(request{event: evHostEjected})
	}
	o.early = nil
}

// leave is the end of the drive: the medium is taken away, and what is noted stays.
func (o *owner) leave() {
	o.drive.eject(o.medium, true)
	<-o.drive.results
	o.medium.close(o.drive.log)
	o.medium = nil
	o.machine.phase = disconnected
}

// setParams takes parameters over, or none of them.
func (o *owner) setParams(p Params) error {
	next := o.selection
	if p.Image != nil {
		next.Image, next.Remote = *p.Image, nil
		if IsURL(*p.Image) {
			if o.drive.config.OpenRemote == nil {
				return ErrRemoteDisabled
			}
			next.Remote = p.Remote
			if next.Remote == nil {
				next.Remote = map[string]string{}
			}
		} else if *p.Image != "" {
			if _, err := o.drive.config.Store.Image(*p.Image); err != nil {
				return err
			}
		}
	}
	if p.CDROM != nil {
		next.CDROM = *p.CDROM
	}
	if p.RW != nil {
		next.RW = *p.RW
	}
	if p.Overlay != nil {
		next.Overlay = *p.Overlay
	}
	if next.CDROM || next.Image != "" && !o.writable(&next) {
		next.RW = false
	}
	o.selection = next
	o.machine.selected = next.Image != ""
	return o.save()
}

// writable says whether a machine could write to what is selected.
func (o *owner) writable(s *selection) bool {
	if s.Remote != nil {
		return true // shows when it is opened
	}
	if strings.HasSuffix(strings.ToLower(s.Image), ".iso") {
		return false
	}
	i, err := o.drive.config.Store.Image(s.Image)
	return err == nil && (i.Writable || s.Overlay)
}

// save keeps the selection on disk.
func (o *owner) save() error {
	text, err := json.Marshal(o.selection)
	if err == nil {
		err = o.drive.config.Store.SetNote(o.drive.config.Name, text)
	}
	if err != nil {
		o.drive.log.Warn("what the drive holds cannot be noted", "err", err)
	}
	return err
}

// look sees whether the selected image is still there.
func (o *owner) look() {
	if o.machine.phase != disconnected || o.selection.Image == "" || o.selection.Remote != nil {
		return
	}
	if _, err := o.drive.config.Store.Image(o.selection.Image); errors.Is(err, imagestore.ErrUnknown) {
		act, _ := o.machine.step(evImageGone)
		o.act(act)
	}
}

// probe asks a backend that others may take away whether it is there.
func (o *owner) probe(ctx context.Context) {
	p, ok := o.drive.config.Backend.(Prober)
	if !ok || o.machine.phase == connecting || o.machine.phase == disconnecting {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	o.online = p.Probe(ctx) == nil
}

// show has State return what is now.
func (o *owner) show() {
	d := o.drive
	s := State{
		Name: d.config.Name, Online: o.online, CDROM: o.selection.CDROM, RW: o.selection.RW, Overlay: o.selection.Overlay,
		Connected: o.machine.phase == connected || o.machine.phase == disconnecting && o.medium != nil,
		Busy:      o.machine.phase == connecting || o.machine.phase == disconnecting,
		Image:     o.image(),
	}
	if o.medium != nil {
		s.Traffic = o.medium.traffic
	}
	v := <-d.view
	if !reflect.DeepEqual(v.state, s) {
		v.state = s
		close(v.changed)
		v.changed = make(chan struct{})
	}
	d.view <- v
}

// image is the selected image as State shows it.
func (o *owner) image() *Image {
	switch {
	case o.selection.Image == "":
		return nil
	case o.medium != nil:
		return &Image{Image: o.medium.image, Remote: o.selection.Remote != nil}
	case o.selection.Remote != nil:
		return &Image{Image: imagestore.Image{Name: o.selection.Image, Complete: true}, Remote: true}
	}
	i, err := o.drive.config.Store.Image(o.selection.Image)
	if err != nil {
		return nil
	}
	return &Image{Image: i}
}
