package scsi

import (
	"context"
	"slices"
	"testing"
)

// smallest is a CDB of a command with nothing set.
func (c *command) smallest() []byte {
	p := make([]byte, len(c.usage))
	p[0] = c.usage[0]
	if c.action {
		p[1] = c.usage[1]
	}
	return p
}

// TestReservedBits sets each bit of each command that must be zero: all are refused, and
// the sense points to the bit.
func TestReservedBits(t *testing.T) {
	for _, of := range []Type{Disk, CDROM} {
		r := newRig(t, UnitConfig{Type: of, Disk: newRig(t, UnitConfig{}).unit.config.Disk})
		for _, c := range commandsOf(of).all {
			for i := 1; i < len(c.usage); i++ {
				for bit := range 8 {
					if c.usage[i]>>bit&1 != 0 || i == 1 && c.action && bit < 5 {
						continue
					}
					p := c.smallest()
					p[i] |= 1 << bit
					r.fails(p, nil, 0, field(i, bit))
				}
			}
		}
	}
}

// TestShortCDBs cuts each CDB: the first byte that is missing is in error.
func TestShortCDBs(t *testing.T) {
	r := newRig(t, UnitConfig{})
	for _, c := range diskCommands().all {
		for n := 1; n < len(c.usage); n++ {
			if c.action && n < 2 {
				continue
			}
			r.fails(c.smallest()[:n], nil, 0, field(n, -1))
		}
	}
	r.fails(nil, nil, 0, Sense{Key: IllegalRequest, Code: CodeInvalidOpcode})
}

// TestUnknownCommands walks all operation codes and service actions that there are not.
func TestUnknownCommands(t *testing.T) {
	for _, of := range []Type{Disk, CDROM} {
		r := newRig(t, UnitConfig{Type: of, Disk: newRig(t, UnitConfig{}).unit.config.Disk})
		for op := range 256 {
			list := commandsOf(of).byOpcode[op]
			p := make([]byte, 16)
			p[0] = byte(op)
			switch {
			case len(list) == 0:
				r.fails(p, nil, 0, Sense{Key: IllegalRequest, Code: CodeInvalidOpcode}.PointTo(true, 0, -1))
			case list[0].action:
				for action := range byte(32) {
					if !slices.ContainsFunc(list, func(c *command) bool { return c.usage[1]&0x1f == action }) {
						p[1] = action
						r.fails(p, nil, 0, field(1, 4))
					}
				}
			}
		}
	}
}

// TestTables holds all rows against what a row must be.
func TestTables(t *testing.T) {
	for _, of := range []Type{Disk, CDROM} {
		for _, c := range commandsOf(of).all {
			if len(c.usage) < 6 || len(c.usage) > maxCDB {
				t.Errorf("%s has a CDB of %d bytes", c.name, len(c.usage))
			}
			if c.run == nil && c.locked == nil {
				t.Errorf("%s does nothing", c.name)
			}
			if c.flags&needsNoUnit != 0 && (c.run != nil || c.locked == nil) {
				t.Errorf("%s needs no unit and works on a device", c.name)
			}
			if c.flags&changesMedium != 0 && c.flags&needsMedium == 0 {
				t.Errorf("%s changes a medium that need not be there", c.name)
			}
			if size := map[byte]int{0: 6, 1: 10, 2: 10, 4: 16, 5: 12}[c.usage[0]>>5]; len(c.usage) != size {
				t.Errorf("%s has a CDB of %d bytes", c.name, len(c.usage))
			}
			for _, o := range commandsOf(of).byOpcode[c.usage[0]] {
				if o.action != c.action || !o.action && o.name != c.name {
					t.Errorf("%s and %s have one operation code", c.name, o.name)
				}
			}
		}
	}
}

// TestNoUnit walks all commands on a LUN without a unit.
func TestNoUnit(t *testing.T) {
	r := newRig(t, UnitConfig{})
	for _, lun := range []LUN{LUNOf(1), LUNOf(300), 0xc101 << 48, 1, 0x0100 << 48} {
		for _, c := range diskCommands().all {
			var task Task
			r.nexus.Begin(&task, lun, c.smallest())
			in := make([]byte, 256)
			task.Execute(context.Background(), nil, in)
			s, _ := r.ended(&task, in)
			switch c.usage[0] {
			case 0x12, 0x03:
				if task.Status != Good {
					t.Errorf("%s at %x: %v", c.name, uint64(lun), s)
				}
			case 0xa0:
				if s != field(6, 7) {
					t.Errorf("%s at %x: %v", c.name, uint64(lun), s)
				}
			default:
				if s != (Sense{Key: IllegalRequest, Code: CodeNoUnit}) {
					t.Errorf("%s at %x: %v", c.name, uint64(lun), s)
				}
			}
		}
	}
}
