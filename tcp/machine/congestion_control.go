package machine

import (
	"fmt"
	"time"

	"github.com/seed-012105e5/gonet/tcp/congestion"
)

// Congestion control and loss recovery of a connection, by name.

// controller is the factory of that name: the program's own, or a built-in.
func (c *Config) controller(name string) (congestion.Factory, error) {
	if f, ok := c.Controllers[name]; ok {
		return f, nil
	}
	if f, ok := congestion.ByName(name); ok {
		return f, nil
	}
	return nil, fmt.Errorf("tcp: no congestion control has the name %q", name)
}

// newDetector returns the loss detection of that name, for a peer that sends
// SACK or does not. RACK's has its state in room.
func newDetector(name string, sack bool, room *rack) (detector, error) {
	switch {
	case name != "rack" && name != "sack" && name != "newreno":
		return nil, fmt.Errorf("tcp: no loss recovery has the name %q", name)
	case name == "newreno" || !sack:
		return byDuplicates{}, nil
	case name == "sack":
		return &bySACK{}, nil
	}
	*room = rack{}
	return room, nil
}

// What connections begin with.
const (
	defaultCongestion = "cubic"
	defaultRecovery   = "rack"
)

// Check says what is wrong with the configuration: names that nothing has.
// What Demux gets must have passed it.
func (c Config) Check() error {
	c = c.withDefaults()
	return c.checkOptions(&c.options)
}

// beginControl begins with the names that the connection has, which have been
// checked: when it opens actively, and anew when MSS and SACK are known.
func (t *TCB) beginControl(now time.Time) {
	t.setCongestionControl(now, t.opts.Congestion, 0)
	t.SetLossRecovery(t.opts.Recovery)
}

// setCongestionControl changes to the controller of that name, with a window
// to begin with, and the threshold of before; or 0 for the initial window.
func (t *TCB) setCongestionControl(now time.Time, name string, window int) error {
	f, err := t.cfg.controller(name)
	if err != nil {
		return err
	}
	p := congestion.Params{Now: now, MSS: t.snd.mss, Window: window, Random: t.cfg.Random}
	if window > 0 {
		p.Threshold = t.cc.Threshold()
	}
	t.cc = f(p)
	if name != t.opts.Congestion {
		t.OwnOptions().Congestion = name
	}
	return nil
}

// ChangeCongestionControl is what the user may do at any time: it begins with the
// window and the threshold of the controller before.
func (t *TCB) ChangeCongestionControl(now time.Time, name string) error {
	return t.setCongestionControl(now, name, t.cc.Window())
}

func (t *TCB) SetLossRecovery(name string) error {
	d, err := newDetector(name, t.sackOK, &t.rack)
	if err == nil {
		t.detector = d
		if name != t.opts.Recovery {
			t.OwnOptions().Recovery = name
		}
		t.reordering = reordering{mult: 1}
		t.probe.end()
	}
	return err
}
