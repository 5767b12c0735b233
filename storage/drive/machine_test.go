package drive

import (
	"errors"
	"testing"
)

// what a step of a table leads to.
type outcome struct {
	act action
	to  phase
	err error
}

// TestMachine has every event happen in every phase.
func TestMachine(t *testing.T) {
	busy := func(p phase) outcome { return outcome{nothing, p, ErrBusy} }
	stay := func(p phase) outcome { return outcome{nothing, p, nil} }
	table := map[phase][numEvents]outcome{
		disconnected: {
			evParams: {setParams, disconnected, nil}, evConnect: {doInsert, connecting, nil},
			evDisconnect: {nothing, disconnected, ErrDisconnected}, evForce: {nothing, disconnected, ErrDisconnected},
			evReset: {doForce, disconnecting, nil}, evInserted: stay(disconnected), evFailed: stay(disconnected),
			evEjected: stay(disconnected), evLocked: stay(disconnected), evHostEjected: stay(disconnected),
			evImageGone: {doUnselect, disconnected, nil},
		},
		connecting: {
			evParams: busy(connecting), evConnect: busy(connecting), evDisconnect: busy(connecting), evForce: busy(connecting),
			evReset: busy(connecting), evInserted: stay(connected), evFailed: {doRelease, disconnected, nil},
			evEjected: stay(connecting), evLocked: stay(connecting), evHostEjected: stay(connecting), evImageGone: stay(connecting),
		},
		connected: {
			evParams: {nothing, connected, ErrConnected}, evConnect: {nothing, connected, ErrConnected},
			evDisconnect: {doEject, disconnecting, nil}, evForce: {doForce, disconnecting, nil}, evReset: {doForce, disconnecting, nil},
			evInserted: stay(connected), evFailed: stay(connected), evEjected: stay(connected), evLocked: stay(connected),
			evHostEjected: {doRelease, disconnected, nil}, evImageGone: stay(connected),
		},
		disconnecting: {
			evParams: busy(disconnecting), evConnect: busy(disconnecting), evDisconnect: busy(disconnecting), evForce: busy(disconnecting),
			evReset: busy(disconnecting), evInserted: stay(disconnecting), evFailed: stay(disconnecting),
			evEjected: {doRelease, disconnected, nil}, evLocked: stay(connected), evHostEjected: stay(disconnecting), evImageGone: stay(disconnecting),
		},
	}
	if len(table) != int(numPhases) {
		t.Fatalf("the table has %d phases of %d", len(table), numPhases)
	}
	for from, row := range table {
		for e, want := range row {
			m := machine{phase: from, selected: true}
			act, err := m.step(event(e))
			if act != want.act || m.phase != want.to || !errors.Is(err, want.err) || (err == nil) != (want.err == nil) {
				t.Errorf("phase %d, event %d: action %d, phase %d, error %v; want %+v", from, e, act, m.phase, err, want)
			}
			if err != nil && (m != machine{phase: from, selected: true}) {
				t.Errorf("phase %d, event %d: refused, but the state is %+v", from, e, m)
			}
		}
	}
}

// TestMachineSequences has the cases that more than one event decides.
func TestMachineSequences(t *testing.T) {
	for _, c := range []struct {
		name   string
		events []event
		last   action
		want   machine
	}{
		{"ejected by the machine before the backend has said that it has inserted", []event{evConnect, evHostEjected, evInserted}, doRelease, machine{selected: true}},
		{"the same, and the backend has failed", []event{evConnect, evHostEjected, evFailed}, doRelease, machine{selected: true}},
		{"ejected by the machine while the backend ejects", []event{evConnect, evInserted, evDisconnect, evHostEjected, evLocked}, doRelease, machine{selected: true}},
		{"reset of a connected drive", []event{evConnect, evInserted, evReset, evEjected}, releaseReset, machine{}},
		{"reset of a connected drive that does not let go", []event{evConnect, evInserted, evReset, evLocked}, nothing, machine{phase: connected, selected: true}},
		{"that, then disconnected", []event{evConnect, evInserted, evReset, evLocked, evForce, evEjected}, doRelease, machine{selected: true}},
		{"reset of an empty drive", []event{evReset, evEjected}, releaseReset, machine{}},
		{"reset of an empty drive whose backend is not there", []event{evReset, evLocked}, releaseReset, machine{}},
		{"the image has gone", []event{evImageGone}, doUnselect, machine{}},
	} {
		m := machine{selected: true}
		var last action
		for _, e := range c.events {
			act, err := m.step(e)
			if err != nil {
				t.Errorf("%s: event %d: %v", c.name, e, err)
			}
			last = act
		}
		if last != c.last || m != c.want {
			t.Errorf("%s: action %d, %+v; want %d, %+v", c.name, last, m, c.last, c.want)
		}
	}
	m := machine{}
	if _, err := m.step(evConnect); err != ErrNotSelected {
		t.Errorf("connecting without an image: %v", err)
	}
}
