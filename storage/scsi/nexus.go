package scsi

// A Protocol is a transport's identifier (SPC-4 7.6.1).
type Protocol uint8

const (
	ProtocolISCSI Protocol = 0x5
	ProtocolUSB   Protocol = 0x9 // USB attached, which is also bulk-only here
)

// An InitiatorPort names an initiator port. It is what reservations go by.
type InitiatorPort struct {
	Protocol Protocol
	Name     string  // of the device, for iSCSI an iSCSI name
	ISID     [6]byte // for iSCSI
}

// A TargetPort names a port of a target.
type TargetPort struct {
	Protocol Protocol
	Device   string // name of the target, for iSCSI an iSCSI name
	Name     string // of the port, for iSCSI the iSCSI name, ",t,0x" and the portal group tag
	Relative uint16 // relative port identifier, from 1
	Group    uint16 // target port group
}

// An Access says what a nexus may do with a unit.
type Access uint8

const (
	ReadWrite Access = iota
	// ReadOnly takes nothing from others: no writes, no reservations, no MODE SELECT, and
	// no say about the removal of the medium. Task management is left to it.
	ReadOnly
	Hidden // as if there were no such unit
)

// An EventKind is what an Event tells.
type EventKind uint8

const (
	// EventAborted: tasks of the nexus on unit LUN were aborted on behalf of others.
	// The transport looks at Aborted of those that it has not given to Execute and
	// ends them by Abandon.
	EventAborted EventKind = iota
	// EventAttention: unit LUN has a unit attention condition, Code, to tell.
	EventAttention
	// EventLUNsChanged: units came to the target or went.
	EventLUNsChanged
)

// An Event tells a transport what others have done to a nexus.
type Event struct {
	Kind EventKind
	LUN  int
	Code Code
}

// NexusConfig is what a transport says of a nexus.
type NexusConfig struct {
	Initiator InitiatorPort
	Port      TargetPort

	// Access says what the nexus may do with a unit (LUN masking). nil is ReadWrite
	// for all.
	Access func(lun int) Access

	// Notify, if set, is told events. It is called with the state of units held: it
	// must neither block nor call this package.
	Notify func(Event)
}

// A Nexus is one initiator port at one port of a target. Begin, the calls of task
// management and Detach are made by one goroutine at a time, the owner of the session.
type Nexus struct {
	config NexusConfig
	target *Target
	links  map[int]*link // by number of the unit
}

// A link is a nexus and a unit of its target (SAM-4: an I_T_L nexus). But for what
// stands here as fixed it belongs to the holder of the unit's token.
type link struct {
	nexus    *Nexus // fixed, as are mapping, unit, lun and readOnly
	mapping  *mapping
	unit     *Unit
	lun      int
	readOnly bool

	attentions attentions
	tasks      taskList
	registrant *registrant   // the registration of the nexus, if it has one
	lost       bool          // the nexus has gone; the link goes with its last task
	copies     []*copyRecord // third-party copies, in the order in which they began
	event      mediaEvent
	prevents   bool // the removal of the medium (SBC-3 5.10)
}

// Attach makes the nexus of a new session. A transport ends the old session of the same
// ports first. Each unit greets it by the unit attention POWER ON, RESET, OR BUS DEVICE
// RESET OCCURRED.
func (t *Target) Attach(c NexusConfig) *Nexus {
	n := &Nexus{config: c, target: t, links: map[int]*link{}}
	t.token <- struct{}{}
	t.nexuses[n] = struct{}{}
	<-t.token
	return n
}

// Detach ends the nexus (I_T nexus loss, SAM-4 6.3.4): its tasks are aborted, what it
// had reserved by RESERVE or prevented is free. done is closed when its last task has
// ended.
func (n *Nexus) Detach() (done <-chan struct{}) {
	n.target.token <- struct{}{}
	delete(n.target.nexuses, n)
	<-n.target.token
	all := newDrain(nil)
	for _, l := range n.links {
		l.unit.lock()
		l.unit.state.abortFor(all, func(o *link) bool { return o == l }, l)
		l.unit.state.loseNexus(l)
		l.unit.unlock()
	}
	all.release()
	return all.done
}

// Initiator is the initiator port of the nexus.
func (n *Nexus) Initiator() InitiatorPort { return n.config.Initiator }

// Port is the target port of the nexus.
func (n *Nexus) Port() TargetPort { return n.config.Port }

func (n *Nexus) tell(e Event) {
	if n.config.Notify != nil {
		n.config.Notify(e)
	}
}

// access is what the nexus may do with unit lun of its target.
func (n *Nexus) access(lun int) Access {
	if n.config.Access == nil {
		return ReadWrite
	}
	return n.config.Access(lun)
}

// find returns the link to the unit of this LUN, or nil if the nexus has none. A link
// is made when the nexus uses the unit first.
func (n *Nexus) find(lun LUN) *link {
	number, ok := lun.Number()
	if !ok {
		return nil
	}
	m := (*n.target.luns.Load())[number]
	if l := n.links[number]; l != nil {
		if l.mapping == m {
			return l
		}
		delete(n.links, number)
	}
	if m == nil {
		return nil
	}
	access := n.access(number)
	if access == Hidden {
		return nil
	}
	u := m.unit
	l := &link{nexus: n, mapping: m, unit: u, lun: number, readOnly: access == ReadOnly}
	u.lock()
	defer u.unlock()
	if (*n.target.luns.Load())[number] != m { // taken away just now, and Remove has not seen the link
		return nil
	}
	n.links[number] = l
	u.state.links = append(u.state.links, l)
	l.registrant = u.state.reservations.find(n.name())
	l.attentions.establish(CodePowerOn)
	return l
}

// establish adds a unit attention condition and tells the transport. The unit's token
// is held.
func (l *link) establish(c Code) {
	l.attentions.establish(c)
	l.nexus.tell(Event{EventAttention, l.lun, c})
}
