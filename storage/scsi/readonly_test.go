package scsi

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
)

// refusedReadOnly are the commands that a nexus which may only read is refused, by their
// names before the parenthesis or comma; "when" are refused by what the CDB says.
var refusedReadOnly = map[string]string{
	"WRITE": "", "WRITE AND VERIFY": "", "ORWRITE": "", "COMPARE AND WRITE": "", "WRITE SAME": "", "UNMAP": "",
	"RESERVE": "", "PERSISTENT RESERVE OUT": "", "MODE SELECT": "",
	"START STOP UNIT":              "when LOEJ",
	"PREVENT ALLOW MEDIUM REMOVAL": "when PREVENT",
}

// othersSee is all of a unit that others notice.
func othersSee(u *Unit, device *block.Memory, store *memoryStore) string {
	u.lock()
	defer u.unlock()
	var b strings.Builder
	s := &u.state
	fmt.Fprintf(&b, "pages %+v, saved %+v, ejected %v, legacy %p, kind %v, generation %d, persists %v, medium %v", s.pages, s.savedPages, s.ejected,
		s.reservations.legacy, s.reservations.kind, s.reservations.generation, s.reservations.persists, s.medium != nil)
	for _, g := range s.reservations.registrants {
		fmt.Fprintf(&b, " %+v", *g)
	}
	for _, l := range s.links {
		fmt.Fprintf(&b, " prevents %v", l.prevents)
	}
	p := make([]byte, 8<<10)
	device.ReadAt(p, 0)
	return b.String() + string(p) + string(store.state)
}

// A nexus that may only read changes nothing that others notice, whatever its commands
// say: those that would are refused, and no others.
func TestReadOnlyNexus(t *testing.T) {
	for _, of := range []Type{Disk, CDROM} {
		device, store := block.NewMemory(8<<10), &memoryStore{}
		device.WriteAt(bytes.Repeat([]byte{7}, 8<<10), 0)
		r := newRig(t, UnitConfig{Type: of, Removable: true, Disk: newDisk(t, device), Store: store})
		owner := r.nexus
		reader := r.target.Attach(NexusConfig{
			Initiator: InitiatorPort{Protocol: ProtocolISCSI, Name: "iqn.2026-01.org.example:reader"},
			Access:    func(int) Access { return ReadOnly },
		})
		r.settle(reader)
		g := rand.New(rand.NewPCG(1, uint64(of)))
		refused := map[string]bool{}
		for _, c := range commandsOf(of).all {
			name, _, _ := strings.Cut(c.name, "(")
			name, _, _ = strings.Cut(name, ",")
			for range 150 {
				before := othersSee(r.unit, device, store)
				cdb := randomCDB(g, &c)
				reader.Begin(&r.task, LUNOf(0), cdb)
				refuses := r.task.Done() && r.task.SenseError() == Sense{Key: DataProtect, Code: CodeWriteProtected}
				out := make([]byte, max(r.task.DataOut, 24))
				for i := range out {
					out[i] = byte(g.Uint32() >> (8 * g.IntN(4)))
				}
				r.task.Execute(context.Background(), out, make([]byte, r.task.DataIn))
				if after := othersSee(r.unit, device, store); after != before {
					t.Fatalf("%s: % x changes the unit:\n%.600s\n%.600s", c.name, cdb, before, after)
				}
				if refuses {
					refused[name] = true
				}
				if when, ok := refusedReadOnly[name]; refuses && !ok {
					t.Fatalf("%s is refused: % x", c.name, cdb)
				} else if ok && !refuses && when == "" && r.task.Status == Good {
					t.Fatalf("%s is done: % x", c.name, cdb)
				}
			}
		}
		for name := range refusedReadOnly {
			if known := slices.ContainsFunc(commandsOf(of).all, func(c command) bool { return strings.HasPrefix(c.name, name) }); known && !refused[name] {
				t.Errorf("type %d: %s was never refused", of, name)
			}
		}
		t.Logf("type %d: %v", of, slices.Sorted(maps.Keys(refused)))
		if s, _ := r.on(owner, cdb(0x00, 0, 0, 0, 0, 0), nil, 0); s.Key != NoSense {
			t.Errorf("the owner hears %v", s)
		}
	}
}

// randomCDB sets bits that the command knows, few of its addresses and lengths.
func randomCDB(g *rand.Rand, c *command) []byte {
	p := make([]byte, len(c.usage))
	for i, mask := range c.usage {
		if g.IntN(3) == 0 || i > 1 && i < len(p)-2 && mask == 0xff && g.IntN(4) > 0 {
			continue
		}
		p[i] = mask & byte(g.Uint32()>>g.IntN(8))
	}
	p[0] = c.usage[0]
	if c.action {
		p[1] = p[1]&^0x1f | c.usage[1]&0x1f
	}
	return p
}
