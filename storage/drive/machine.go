package drive

// A phase is where a drive is between having no medium and having one.
type phase uint8

const (
	disconnected  phase = iota // parameters can change
	connecting                 // the backend inserts
	connected                  // machines see the medium
	disconnecting              // the backend ejects
	numPhases
)

// An event is what can happen to a drive.
type event uint8

const (
	evParams      event = iota // somebody sets parameters
	evConnect                  // somebody connects
	evDisconnect               // somebody disconnects
	evForce                    // somebody disconnects, whatever machines do
	evReset                    // somebody wants all as it was at first
	evInserted                 // the backend has inserted
	evFailed                   // the backend has not inserted
	evEjected                  // the backend has ejected
	evLocked                   // the backend has not ejected
	evHostEjected              // a machine has ejected
	evImageGone                // the selected image is no more
	numEvents
)

// An action is what is then to be done outside of the machine.
type action uint8

const (
	nothing      action = iota
	setParams           // take the parameters over
	doInsert            // open the image and call Insert, then evInserted or evFailed
	doEject             // call Eject, then evEjected or evLocked
	doForce             // the same with force
	doRelease           // close the image, which no backend has any more
	doUnselect          // forget the selected image
	releaseReset        // close the image and forget all parameters
)

// A machine is the state of a drive, without its parameters. It is plain data.
type machine struct {
	phase    phase
	selected bool // an image is
	reset    bool // parameters are forgotten when the medium is out
	gone     bool // a machine ejected while the backend was being called
	empty    bool // the backend is told to eject, but has nothing
}

// step is the whole life of a drive: what an event leads to, or why it must not be.
func (m *machine) step(e event) (action, error) {
	switch m.phase {
	case disconnected:
		return m.atRest(e)
	case connected:
		return m.inUse(e)
	}
	switch e { // the backend is being called
	case evParams, evConnect, evDisconnect, evForce, evReset:
		return nothing, ErrBusy
	case evHostEjected:
		m.gone = true
		return nothing, nil
	}
	if m.phase == connecting {
		return m.insertion(e)
	}
	return m.ejection(e)
}

// atRest is step without a medium.
func (m *machine) atRest(e event) (action, error) {
	switch e {
	case evParams:
		return setParams, nil
	case evConnect:
		if !m.selected {
			return nothing, ErrNotSelected
		}
		m.phase = connecting
		return doInsert, nil
	case evDisconnect, evForce:
		return nothing, ErrDisconnected
	case evReset:
		m.phase, m.reset, m.empty = disconnecting, true, true
		return doForce, nil
	case evImageGone:
		m.selected = false
		return doUnselect, nil
	}
	return nothing, nil
}

// inUse is step with a medium.
func (m *machine) inUse(e event) (action, error) {
	switch e {
	case evParams, evConnect:
		return nothing, ErrConnected
	case evDisconnect:
		m.phase = disconnecting
		return doEject, nil
	case evForce:
		m.phase = disconnecting
		return doForce, nil
	case evReset:
		m.phase, m.reset = disconnecting, true
		return doForce, nil
	case evHostEjected:
		m.phase = disconnected
		return doRelease, nil
	}
	return nothing, nil
}

// insertion is step while the backend inserts.
func (m *machine) insertion(e event) (action, error) {
	gone := m.gone
	switch e {
	case evInserted:
		m.gone, m.phase = false, connected
		if gone {
			m.phase = disconnected
			return doRelease, nil
		}
	case evFailed:
		m.gone, m.phase = false, disconnected
		return doRelease, nil
	}
	return nothing, nil
}

// ejection is step while the backend ejects.
func (m *machine) ejection(e event) (action, error) {
	gone, reset := m.gone, m.reset
	switch e {
	case evLocked:
		if !gone && !m.empty {
			m.phase, m.reset = connected, false
			return nothing, nil
		}
	case evEjected:
	default:
		return nothing, nil
	}
	*m = machine{phase: disconnected, selected: m.selected && !reset}
	if reset {
		return releaseReset, nil
	}
	return doRelease, nil
}
