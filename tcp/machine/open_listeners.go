package machine

import (
	"slices"
	"time"

	"github.com/seed-012105e5/gonet/ip"
)

// A Share says which of the listeners that share an address gets a connection.
// One that has no room is passed over. Who waits in a listener that is closed
// goes to the others.
type Share uint8

const (
	ShareNone   Share = iota // the address is not shared
	ShareByTurn              // each in its turn
	ShareByHash              // by the two ends of the connection, in a way that only this stack knows
)

// A Listener is a connection in LISTEN: the state of a listener. Its fields do not
// change while it is in the tables, but those that say so.
type Listener struct {
	Local ip.Endpoint // the unspecified address is a wildcard
	Share Share
	Opts  *SocketOptions // that connections begin with

	FastOpenLimit int // how many connections may be accepted in SYN-RECEIVED; may be changed

	fastOpenPending int       // and how many are
	cookiesUntil    time.Time // the last SYN cookie is good for so long
}

// Listeners are those at one address: several, where they share it.
type listeners struct {
	all  []*Listener
	turn int // whose turn it is
}

// AddListener adds l, unless another has its address for itself. An unspecified
// address is all addresses, but the listener of one of them comes first where they
// share.
func (d *Tables) AddListener(l *Listener) bool {
	if d.listened[l.Local.Port] > 0 { // else there is no need to look at all listeners
		for at, others := range d.listeners {
			overlap := at == l.Local || at.Port == l.Local.Port && (at.IsWildcard() || l.Local.IsWildcard())
			if overlap && (l.Share == ShareNone || others.all[0].Share != l.Share) {
				return false
			}
		}
	}
	if d.listeners[l.Local] == nil {
		d.listeners[l.Local] = &listeners{}
		d.listened[l.Local.Port]++
	}
	d.listeners[l.Local].all = append(d.listeners[l.Local].all, l)
	return true
}

// RemoveListener takes l out, and says whether it was there.
func (d *Tables) RemoveListener(l *Listener) bool {
	at := d.listeners[l.Local]
	if at == nil {
		return false
	}
	i := slices.Index(at.all, l)
	if i < 0 {
		return false
	}
	if at.all = slices.Delete(at.all, i, i+1); len(at.all) == 0 {
		delete(d.listeners, l.Local)
		if d.listened[l.Local.Port]--; d.listened[l.Local.Port] == 0 {
			delete(d.listened, l.Local.Port)
		}
	}
	return true
}

// listenersAt are those that want SYNs for local: at the address itself, or at
// all addresses; nil when there are none.
func (d *Tables) listenersAt(local ip.Endpoint) *listeners {
	if at, ok := d.listeners[local]; ok {
		return at
	}
	return d.listeners[ip.Endpoint{Port: local.Port}]
}

// listener is the one for f, or nil.
func (d *Tables) listener(f ip.Flow) *Listener { return d.listenersAt(f.Local).choose(d, f) }

// Successor is the listener that gets the connection f, which has waited in l; nil
// when none shares the address of l, which has been removed.
func (d *Tables) Successor(l *Listener, f ip.Flow) *Listener {
	return d.listeners[l.Local].choose(d, f)
}

// choose is the listener for f: who has room, if any has.
func (ls *listeners) choose(d *Tables, f ip.Flow) *Listener {
	if ls == nil {
		return nil
	}
	first := 0
	if n := len(ls.all); n > 1 {
		if first = ls.turn % n; ls.all[0].Share == ShareByHash {
			first = int(d.secrets.share.Flow(f.Local.AddrPort(), f.Remote.AddrPort()) % uint64(n))
		}
		for i := range n {
			if l := ls.all[(first+i)%n]; d.host.Room(l) {
				return l
			}
		}
	}
	return ls.all[first]
}

// give gives l a connection; then it is the next one's turn.
func (d *Tables) give(l *Listener, t *TCB) {
	if at := d.listeners[l.Local]; len(at.all) > 1 {
		at.turn = slices.Index(at.all, l) + 1
	}
	d.host.Opened(l, t)
}
