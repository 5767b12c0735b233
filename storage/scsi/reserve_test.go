package scsi

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/seed-012105e5/gonet/storage/block"
)

// allTypes are the six types of persistent reservations.
var allTypes = []reservationType{
	writeExclusive, exclusiveAccess, writeExclusiveRegistrantsOnly, exclusiveAccessRegistrantsOnly,
	writeExclusiveAllRegistrants, exclusiveAccessAllRegistrants,
}

// out is a PERSISTENT RESERVE OUT and its parameter list.
func out(action byte, kind reservationType, key, newKey uint64, flags byte) (cdb, list []byte) {
	list = make([]byte, outHeader)
	binary.BigEndian.PutUint64(list, key)
	binary.BigEndian.PutUint64(list[8:], newKey)
	list[20] = flags
	return []byte{0x5f, action, byte(kind), 0, 0, 0, 0, 0, outHeader, 0}, list
}

// out does a PERSISTENT RESERVE OUT.
func (r *rig) out(n *Nexus, action byte, kind reservationType, key, newKey uint64, flags byte) (Status, Sense) {
	r.Helper()
	c, list := out(action, kind, key, newKey, flags)
	s, _ := r.on(n, c, list, 0)
	return r.task.Status, s
}

// outGood does one that must succeed.
func (r *rig) outGood(n *Nexus, action byte, kind reservationType, key, newKey uint64, flags byte) {
	r.Helper()
	if status, s := r.out(n, action, kind, key, newKey, flags); status != Good {
		r.Fatalf("service action %d: %v, %v", action, status, s)
	}
}

// status is the status of a command of a nexus.
func (r *rig) status(n *Nexus, cdb, out []byte) Status {
	r.Helper()
	r.on(n, cdb, out, 512)
	return r.task.Status
}

// keys are what READ KEYS says.
func (r *rig) keys(n *Nexus) (generation uint32, keys []uint64) {
	r.Helper()
	s, p := r.on(n, cdb(0x5e, 0, 0, 0, 0, 0, 0, 0x40, 0, 0), nil, 1<<14)
	if r.task.Status != Good || len(p) < 8 || int(binary.BigEndian.Uint32(p[4:])) != len(p)-8 {
		r.Fatalf("READ KEYS: %v, %v, % x", r.task.Status, s, p)
	}
	for k := p[8:]; len(k) > 0; k = k[8:] {
		keys = append(keys, binary.BigEndian.Uint64(k))
	}
	return binary.BigEndian.Uint32(p), keys
}

// reservation is what READ RESERVATION says.
func (r *rig) reservation(n *Nexus) (key uint64, kind reservationType) {
	r.Helper()
	_, p := r.on(n, cdb(0x5e, 1, 0, 0, 0, 0, 0, 0x40, 0, 0), nil, 1<<14)
	switch {
	case r.task.Status == Good && len(p) == 8:
	case r.task.Status == Good && len(p) == 24 && p[7] == 16:
		return binary.BigEndian.Uint64(p[8:]), reservationType(p[21])
	default:
		r.Fatalf("READ RESERVATION: %v, % x", r.task.Status, p)
	}
	return 0, 0
}

// attentions are the codes that a nexus is told, which ends them.
func (r *rig) attentions(n *Nexus) (codes []Code) {
	r.Helper()
	for range 20 {
		_, in := r.on(n, cdb(0x03, 0, 0, 0, 18, 0), nil, 18)
		s, _ := ParseSense(in)
		if s.Key != UnitAttention {
			return codes
		}
		codes = append(codes, s.Code)
	}
	r.Fatal("unit attentions without end")
	return nil
}

// nexuses attaches some, and takes their first attentions.
func (r *rig) nexuses(n int) (all []*Nexus) {
	for i := range n {
		x := r.attach(fmt.Sprintf("n%d", i))
		r.settle(x)
		all = append(all, x)
	}
	return all
}

// TestReservationConflicts walks all commands, all types of reservations and whoever there
// may be, against the tables of SPC-2 5.5.1, SPC-4 5.12.1 and SBC-3 4.16, as they stand there.
func TestReservationConflicts(t *testing.T) {
	// By operation code, and service action where there are such: whether the command is
	// allowed under RESERVE, through write exclusive, and through exclusive access.
	type row struct{ legacy, write, all bool }
	always, reads, writes := row{true, true, true}, row{false, true, false}, row{}
	want := map[[2]byte]row{
		{0x00}: {false, true, true}, {0x03}: always, {0x12}: always, {0xa0}: always, {0x4d}: always,
		{0x1a}: reads, {0x5a}: reads, {0x15}: writes, {0x55}: writes, {0x1d}: writes, {0x1c}: reads,
		{0xa3, 0x0c}: reads, {0xa3, 0x0d}: reads,
		{0x1e}: always, // PREVENT is zero
		{0x1b}: writes, // START is zero
		{0x25}: always, {0x9e, 0x10}: always, {0x9e, 0x12}: reads,
		{0x08}: reads, {0x28}: reads, {0xa8}: reads, {0x88}: reads,
		{0x2f}: reads, {0xaf}: reads, {0x8f}: reads, {0x34}: reads, {0x90}: reads,
		{0x37}: reads, {0xb7}: reads,
		{0x83}: writes, {0x84}: writes,
	}
	for _, of := range []Type{Disk, CDROM} {
		for _, kind := range append([]reservationType{notReserved}, allTypes...) {
			disk := newDisk(t, block.NewMemory(1<<20))
			r := newRig(t, UnitConfig{Type: of, Disk: disk})
			all := r.nexuses(3)
			holder, registered, other := all[0], all[1], all[2]
			if kind == notReserved {
				if r.status(holder, cdb(0x16, 0, 0, 0, 0, 0), nil) != Good {
					t.Fatal("RESERVE")
				}
			} else {
				r.outGood(holder, outRegister, 0, 0, 1, 0)
				r.outGood(registered, outRegister, 0, 0, 2, 0)
				r.outGood(holder, outReserve, kind, 1, 0, 0)
			}
			for _, c := range commandsOf(of).all {
				if c.reserve == reserveOwn || c.reserve == reservePersistent {
					continue
				}
				var action byte
				if c.action {
					action = c.usage[1]
				}
				w, known := want[[2]byte{c.usage[0], action}]
				if c.usage[0] == 0x83 || c.usage[0] == 0x84 {
					w, known = writes, true
				}
				switch c.usage[0] {
				case 0x46, 0x4a, 0x43, 0x51, 0x52, 0xbd, 0xb9, 0xbe, 0xad, 0x44: // MMC: they read
					w, known = reads, true
					if c.usage[0] == 0x46 || c.usage[0] == 0x4a {
						w = always
					}
				}
				if !known {
					w = writes
				}
				allowed := w.legacy
				if kind != notReserved {
					allowed = w.write
					if kind.excludesReads() {
						allowed = w.all
					}
				}
				check := func(who string, n *Nexus, allowed bool) {
					if conflicts := r.unit.state.reservations.conflict(n.find(LUNOf(0)), &c, c.smallest()); conflicts == allowed {
						t.Errorf("type %d, %s, of %s: conflict is %v", kind, c.name, who, conflicts)
					}
				}
				check("the holder", holder, true)
				check("another", other, allowed)
				check("a registrant", registered, allowed || kind.registrantsOnly() || kind.allRegistrants())
			}
			prevent, start := cdb(0x1e, 0, 0, 0, 1, 0), cdb(0x1b, 0, 0, 0, 1, 0)
			if r.status(other, prevent, nil) != ReservationConflict {
				t.Errorf("type %d: PREVENT is allowed", kind)
			}
			if s := r.status(other, start, nil); (s == Good) != (kind != notReserved) {
				t.Errorf("type %d: START: %v", kind, s)
			}
			if r.status(holder, prevent, nil) != Good || r.status(holder, start, nil) != Good {
				t.Errorf("type %d: the holder cannot prevent or start", kind)
			}
		}
	}
}

// TestReserveUnit walks RESERVE and RELEASE, of both sizes (SPC-2 7.21, 7.16).
func TestReserveUnit(t *testing.T) {
	for _, size := range []int{6, 10} {
		reserve, release := make([]byte, size), make([]byte, size)
		reserve[0], release[0] = 0x16, 0x17
		if size == 10 {
			reserve[0], release[0] = 0x56, 0x57
		}
		r := newRig(t, UnitConfig{})
		all := r.nexuses(3)
		a, b := all[0], all[1]
		want := func(what string, n *Nexus, c []byte, s Status) {
			t.Helper()
			if got := r.status(n, c, nil); got != s {
				t.Errorf("%s: %v", what, got)
			}
		}
		ready, read, sense := cdb(0, 0, 0, 0, 0, 0), blocks(0x28, 0, 1), cdb(0x1a, 0, 0x3f, 0, 255, 0)
		keys := cdb(0x5e, 0, 0, 0, 0, 0, 0, 1, 0, 0)
		want("reserve", a, reserve, Good)
		want("again", a, reserve, Good)
		want("by another", b, reserve, ReservationConflict)
		want("released by another", b, release, Good)
		want("ready, holder", a, ready, Good)
		want("ready", b, ready, ReservationConflict)
		want("read", b, read, ReservationConflict)
		want("mode sense", b, sense, ReservationConflict)
		want("mode sense, holder", a, sense, Good)
		want("inquiry", b, cdb(0x12, 0, 0, 0, 36, 0), Good)
		want("keys", b, keys, ReservationConflict)
		want("keys, holder", a, keys, ReservationConflict)
		want("release", a, release, Good)
		want("read", b, read, Good)
		want("keys", b, keys, Good)

		want("reserve", b, reserve, Good)
		<-b.Detach() // nexus loss
		want("after a loss", a, reserve, Good)
		a.ResetUnit(LUNOf(0))
		c := all[2]
		r.settle(c)
		want("after a reset", c, reserve, Good)
		want("release", c, release, Good)

		// With registrations: SPC-4 5.12.3.
		r.settle(a)
		r.outGood(a, outRegister, 0, 0, 1, 0)
		want("with registrations", a, reserve, ReservationConflict)
		want("with registrations", c, release, ReservationConflict)
		r.outGood(a, outReserve, writeExclusive, 1, 0, 0)
		want("by the holder", a, reserve, Good)
		want("by the holder", a, release, Good)
		want("by another", c, reserve, ReservationConflict)
		if _, kind := r.reservation(c); kind != writeExclusive {
			t.Errorf("type %d", kind)
		}
	}
}

// TestPersistentOutRefused walks parameter lists and CDBs that are wrong.
func TestPersistentOutRefused(t *testing.T) {
	r := newRig(t, UnitConfig{})
	all := r.nexuses(2)
	r.nexus = all[0]
	length := Sense{Key: IllegalRequest, Code: CodeParameterListLength}
	for _, n := range []uint64{0, 1, 23, 25, maxOutList + 1, 1<<32 - 1} {
		c, list := out(outRegister, 0, 0, 1, 0)
		r.fails(with(c, 5, 4, n), append(list, 0), 0, length)
	}
	c, list := out(outRegister, 0, 0, 1, 0)
	r.fails(c, list[:20], 0, length)
	for _, f := range []struct {
		flags byte
		bit   int
	}{{0x01, 0}, {0x04, 2}} { // APTPL without a store, ALL_TG_PT
		c, list := out(outRegister, 0, 0, 1, f.flags)
		r.fails(c, list, 0, parameter(20, f.bit))
	}
	r.outGood(all[0], outRegister, 0, 0, 1, 0)
	for kind := range reservationType(16) {
		if !kind.valid() {
			c, list := out(outReserve, kind, 1, 0, 0)
			r.fails(c, list, 0, field(2, 3))
		}
	}
	c, list = out(outReserve, writeExclusive|0x10, 1, 0, 0)
	r.fails(c, list, 0, field(2, 7))
	c, list = out(outReserve, writeExclusive, 1, 0, 0x08)
	r.fails(c, list, 0, parameter(20, 3))
	c, list = out(outRegister, 0, 1, 2, 0x08)
	r.fails(with(c, 5, 4, 28), append(list, 0, 0, 0, 0), 0, parameter(20, 3))
	r.outGood(all[0], outReserve, writeExclusive, 1, 0, 0)
	c, list = out(outRelease, exclusiveAccess, 1, 0, 0)
	r.fails(c, list, 0, Sense{Key: IllegalRequest, Code: CodeInvalidRelease})
	c, list = out(outPreempt, writeExclusive, 1, 0, 0)
	r.fails(c, list, 0, parameter(8, -1))
	if _, kind := r.reservation(all[1]); kind != writeExclusive {
		t.Errorf("type %d", kind)
	}
}

// TestReadersReserveNothing: a nexus that may only read is refused whatever shuts out others.
func TestReadersReserveNothing(t *testing.T) {
	r := newRig(t, UnitConfig{})
	r.nexus = r.target.Attach(NexusConfig{Access: func(int) Access { return ReadOnly }})
	r.settle(r.nexus)
	protected := Sense{Key: DataProtect, Code: CodeWriteProtected}
	for action := range byte(8) {
		c, list := out(action, writeExclusive, 0, 1, 0)
		r.fails(c, list, 0, protected)
	}
	r.fails(cdb(0x16, 0, 0, 0, 0, 0), nil, 0, protected)
	r.fails(cdb(0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0), nil, 0, protected)
	r.good(cdb(0x17, 0, 0, 0, 0, 0), nil, 0)
	if _, keys := r.keys(r.nexus); keys != nil {
		t.Error(keys)
	}
}

// TestTransportID reads what was written, and refuses what is cut or changed.
func TestTransportID(t *testing.T) {
	p := InitiatorPort{Protocol: ProtocolISCSI, Name: "iqn.2026-01.org.example:host", ISID: [6]byte{0x80, 1, 2, 0xab, 0xcd, 0xef}}
	w := reply{p: make([]byte, 256)}
	w.transportID(p)
	text := w.p[:w.n]
	if want := "iqn.2026-01.org.example:host,i,0x800102abcdef\x00\x00\x00"; string(text[4:]) != want || !bytes.Equal(text[:4], []byte{0x45, 0, 0, 48}) {
		t.Fatalf("%q", text)
	}
	if got, device, n, ok := parseTransportID(append(slices.Clone(text), 1, 2, 3)); got != p || device || n != len(text) || !ok {
		t.Fatal(got, device, n, ok)
	}
	for i := range text {
		if _, _, _, ok := parseTransportID(text[:i]); ok {
			t.Errorf("%d bytes of it are taken", i)
		}
	}
	for _, bad := range []string{
		"\x46\x00\x00\x14" + "iqn.a,i,0x0000000000", "\x45\x00\x00\x10iqn.a,i,0x00000\x00",
		"\x45\x00\x00\x14iqn.a,i,0x000000000\x00", "\x45\x00\x00\x14,i,0x000000000000\x00\x00\x00",
		"\x45\x00\x00\x14iqn.aaaaaaaaaaaaaaa\x00", "\x05\x00\x00\x14aaaaaaaaaaaaaaaaaaaa",
		"\x05\x00\x00\x14a,i,0x\x00aaaaaaaaaaaaa", "\xc5\x00\x00\x14a,i,0x000000000000\x00\x00",
	} {
		if p, _, _, ok := parseTransportID([]byte(bad)); ok {
			t.Errorf("%q is taken for %+v", bad, p)
		}
	}
	got, device, _, ok := parseTransportID([]byte("\x05\x00\x00\x14iqn.a\x00aaaaaaaaaaaaaa"))
	if !ok || !device || got.Name != "iqn.a" {
		t.Error(got, device, ok)
	}
}

// TestRegisterOthers registers ports that SPEC_I_PT names.
func TestRegisterOthers(t *testing.T) {
	r := newRig(t, UnitConfig{})
	all := r.nexuses(3)
	id := func(n *Nexus) []byte {
		w := reply{p: make([]byte, 256)}
		w.transportID(n.Initiator())
		return w.p[:w.n]
	}
	spec := func(ids ...[]byte) (c, list []byte) {
		c, list = out(outRegister, 0, 0, 7, 0x08)
		tail := bytes.Join(ids, nil)
		list = append(append(list, be32(uint32(len(tail)))...), tail...)
		return with(c, 5, 4, uint64(len(list))), list
	}
	r.nexus = all[0]
	c, list := spec(id(all[1]), id(all[0]), id(all[1]))
	r.good(c, list, 0)
	if g, keys := r.keys(all[2]); g != 1 || !slices.Equal(keys, []uint64{7, 7}) {
		t.Fatal(g, keys)
	}
	if all[1].find(LUNOf(0)).registrant == nil {
		t.Error("the other port does not know")
	}
	r.nexus = all[2]
	c, list = spec(id(all[1])) // is there already: nothing is done
	r.fails(c, list, 0, parameter(24, -1))
	c, list = spec([]byte{0x45, 0, 0, 20})
	r.fails(c, list, 0, parameter(28, -1))
	c, list = spec(id(all[2]))
	list[27]++
	r.fails(c, list, 0, Sense{Key: IllegalRequest, Code: CodeParameterListLength})
	device := func(name string) []byte {
		p := append([]byte{0x05, 0, 0, 40}, name...)
		return append(p, make([]byte, 44-len(p))...)
	}
	c, list = spec(device("iqn.2026-01.org.example:nobody"))
	r.fails(c, list, 0, parameter(28, -1))
	if _, keys := r.keys(all[2]); len(keys) != 2 {
		t.Fatal(keys)
	}
	c, list = spec(device("iqn.2026-01.org.example:host-a")) // a nexus of the rig
	r.good(c, list, 0)
	if _, keys := r.keys(all[2]); len(keys) != 4 {
		t.Fatal(keys)
	}
}

// TestRegisterAndMove walks REGISTER AND MOVE (SPC-4 5.12.8).
func TestRegisterAndMove(t *testing.T) {
	r := newRig(t, UnitConfig{})
	all := r.nexuses(3)
	far := r.target.Attach(NexusConfig{
		Initiator: all[2].Initiator(),
		Port:      TargetPort{Protocol: ProtocolISCSI, Device: "iqn.2026-01.org.example:t", Name: "iqn.2026-01.org.example:t,t,0x0002", Relative: 2},
	})
	r.settle(far)
	move := func(to InitiatorPort, key, newKey uint64, relative uint16, flags byte) (c, list []byte) {
		c, list = out(outMove, 0, key, newKey, 0)
		list[17] = flags
		binary.BigEndian.PutUint16(list[18:], relative)
		w := reply{p: make([]byte, 256)}
		w.transportID(to)
		binary.BigEndian.PutUint32(list[20:], uint32(w.n))
		list = append(list, w.p[:w.n]...)
		return with(c, 5, 4, uint64(len(list))), list
	}
	r.nexus = all[0]
	port := all[1].Initiator()
	c, list := move(port, 1, 2, 1, 0)
	if r.status(all[0], c, list) != ReservationConflict {
		t.Error("not registered")
	}
	r.outGood(all[0], outRegister, 0, 0, 1, 0)
	r.fails(c, list, 0, field(1, 4)) // nothing is reserved
	r.outGood(all[0], outReserve, exclusiveAccess, 1, 0, 0)
	bad, badList := move(port, 1, 0, 1, 0)
	r.fails(bad, badList, 0, parameter(8, -1))
	bad, badList = move(port, 1, 2, 9, 0)
	r.fails(bad, badList, 0, parameter(18, -1))
	bad, badList = move(all[0].Initiator(), 1, 2, 1, 0)
	r.fails(bad, badList, 0, parameter(24, -1))
	badList = slices.Clone(list)
	badList[23]++
	r.fails(c, badList, 0, Sense{Key: IllegalRequest, Code: CodeParameterListLength})

	r.good(c, list, 0)
	if key, kind := r.reservation(all[2]); key != 2 || kind != exclusiveAccess {
		t.Fatal(key, kind)
	}
	if _, keys := r.keys(all[2]); !slices.Equal(keys, []uint64{1, 2}) {
		t.Fatal(keys)
	}
	if r.status(all[0], blocks(0x28, 0, 1), nil) != ReservationConflict || r.status(all[1], blocks(0x28, 0, 1), nil) != Good {
		t.Error("the reservation has not moved")
	}
	if c, list := move(all[2].Initiator(), 1, 3, 1, 0); r.status(all[0], c, list) != ReservationConflict {
		t.Error("by one that holds nothing")
	}
	c, list = move(all[2].Initiator(), 2, 3, 2, 0x02) // to the other port, and leave
	if r.status(all[1], c, list) != Good {
		t.Fatal("to the other port")
	}
	if _, keys := r.keys(all[2]); !slices.Equal(keys, []uint64{1, 3}) {
		t.Fatal(keys)
	}
	if r.status(far, blocks(0x28, 0, 1), nil) != Good || r.status(all[2], blocks(0x28, 0, 1), nil) != ReservationConflict {
		t.Error("the reservation is not at the other port")
	}
	// READ FULL STATUS names both, and the holder.
	_, p := r.on(all[0], cdb(0x5e, 3, 0, 0, 0, 0, 0, 8, 0, 0), nil, 2048)
	first := p[8:]
	second := first[24+int(binary.BigEndian.Uint32(first[20:])):]
	if first[12] != 0 || second[12] != 0x01 || second[13] != byte(exclusiveAccess) || second[19] != 2 {
		t.Errorf("% x", p)
	}
	got, _, n, ok := parseTransportID(second[24:])
	if !ok || got != all[2].Initiator() || n != len(second)-24 {
		t.Errorf("% x", second)
	}
}

// TestRegistrationBounds has one initiator with many ports, and then many with one.
func TestRegistrationBounds(t *testing.T) {
	r := newRig(t, UnitConfig{})
	register := func(name string, isid int) Sense {
		n := r.target.Attach(NexusConfig{Initiator: InitiatorPort{Protocol: ProtocolISCSI, Name: name, ISID: [6]byte{4: byte(isid >> 8), 5: byte(isid)}}})
		defer n.Detach()
		r.settle(n)
		_, s := r.out(n, outRegister, 0, 0, 1, 0)
		return s
	}
	full := Sense{Key: IllegalRequest, Code: CodeRegistrationResources}
	for i := range maxRegistrantsEach {
		if s := register("a", i); s != (Sense{}) {
			t.Fatal(i, s)
		}
	}
	if s := register("a", maxRegistrantsEach); s != full {
		t.Error(s)
	}
	if s := register("b", 0); s != (Sense{}) {
		t.Error(s)
	}
	for i := range maxRegistrants - maxRegistrantsEach - 1 {
		if s := register(fmt.Sprint("c", i), 0); s != (Sense{}) {
			t.Fatal(i, s)
		}
	}
	if s := register("d", 0); s != full {
		t.Error(s)
	}
	if _, keys := r.keys(r.nexus); len(keys) != maxRegistrants {
		t.Error(len(keys))
	}
}

// TestPreemptAndAbort aborts a write of the nexus that is preempted, and does not end before
// that has ended: no byte of it comes later.
func TestPreemptAndAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, UnitConfig{})
		all := r.nexuses(3)
		a, b, c := all[0], all[1], all[2]
		r.outGood(a, outRegister, 0, 0, 1, 0)
		r.outGood(b, outRegister, 0, 0, 2, 0)
		r.outGood(a, outReserve, writeExclusiveRegistrantsOnly, 1, 0, 0)
		var write, other, preempt Task
		a.Begin(&write, LUNOf(0), blocks(0x2a, 0, 1))
		c.Begin(&other, LUNOf(0), blocks(0x28, 0, 1))
		command, list := out(outPreemptAndAbort, writeExclusiveRegistrantsOnly, 2, 1, 0)
		b.Begin(&preempt, LUNOf(0), command)
		if preempt.Inline() {
			t.Error("it is said not to wait")
		}
		ended := false
		go func() {
			preempt.Execute(context.Background(), list, nil)
			ended = true
		}()
		synctest.Wait()
		if aborted, answer := write.Aborted(); !aborted || !answer || ended {
			t.Error(aborted, answer, ended)
		}
		if aborted, _ := other.Aborted(); aborted {
			t.Error("the task of a third was aborted")
		}
		write.Execute(context.Background(), pattern(512, 1), nil) // comes too late
		synctest.Wait()
		if !ended || preempt.Status != Good {
			t.Error(ended, preempt.Status)
		}
		other.Execute(context.Background(), nil, make([]byte, 512))
		if other.Status != Good {
			t.Error(other.Status)
		}
		if _, p := r.on(b, blocks(0x28, 0, 1), nil, 512); !bytes.Equal(p, make([]byte, 512)) {
			t.Error("it was written")
		}
		if got := r.attentions(a); !slices.Contains(got, CodeRegistrationsPreempted) {
			t.Error(got)
		}
		if r.status(a, blocks(0x2a, 0, 1), make([]byte, 512)) != ReservationConflict {
			t.Error("the nexus that was preempted writes")
		}
	})
}

// TestPersistThroughPowerLoss makes the unit anew from its store after each step.
func TestPersistThroughPowerLoss(t *testing.T) {
	store := &memoryStore{}
	var r *rig
	var all []*Nexus
	restart := func() {
		t.Helper()
		r = newRig(t, UnitConfig{Store: store})
		all = r.nexuses(3)
	}
	restart()
	want := func(kind reservationType, holder uint64, keys ...uint64) {
		t.Helper()
		restart()
		_, have := r.keys(all[2])
		if key, k := r.reservation(all[2]); k != kind || key != holder || !slices.Equal(have, keys) {
			t.Errorf("type %d, holder %d, keys %v", k, key, have)
		}
	}
	r.outGood(all[0], outRegister, 0, 0, 1, 0)
	want(0, 0) // APTPL was zero
	r.outGood(all[0], outRegister, 0, 0, 1, 1)
	want(0, 0, 1)
	if p := r.good(cdb(0x5e, 2, 0, 0, 0, 0, 0, 0, 8, 0), nil, 8); p[2]&0x01 == 0 || p[3]&0x01 == 0 {
		t.Errorf("PTPL_C or PTPL_A is zero: % x", p)
	}
	r.outGood(all[1], outRegister, 0, 0, 2, 1)
	r.outGood(all[0], outReserve, exclusiveAccess, 1, 0, 0)
	want(exclusiveAccess, 1, 1, 2)
	if r.status(all[1], blocks(0x28, 0, 1), nil) != ReservationConflict || r.status(all[0], blocks(0x28, 0, 1), nil) != Good {
		t.Error("the reservation is not kept after a restart")
	}
	r.outGood(all[1], outPreempt, writeExclusiveAllRegistrants, 2, 1, 0)
	want(writeExclusiveAllRegistrants, 0, 2)
	r.outGood(all[1], outRelease, writeExclusiveAllRegistrants, 2, 0, 0)
	want(0, 0, 2)
	r.outGood(all[1], outClear, 0, 2, 0, 0)
	want(0, 0)
	r.outGood(all[1], outRegister, 0, 0, 5, 1)
	r.outGood(all[1], outRegister, 0, 5, 6, 0) // APTPL is zero: none persists any more
	want(0, 0)

	// What cannot be saved is not reported as kept.
	store.err = errors.New("no room")
	if _, s := r.out(all[0], outRegister, 0, 0, 1, 1); s != (Sense{Key: HardwareError, Code: CodeInternalFailure}) {
		t.Error(s)
	}
	for _, bad := range []string{
		`{"reservations":{"type":1,"registrants":[{"key":1}]}}`, `{"reservations":{"type":2,"registrants":[{"key":1,"holder":true}]}}`,
		`{"reservations":{"type":7,"registrants":[]}}`, `{"reservations":{"registrants":[{"key":0}]}}`,
		`{"reservations":{"type":3,"registrants":[{"key":1,"holder":true},{"key":1}]}}`,
		`{"reservations":{"registrants":[{"key":1,"holder":true}]}}`,
	} {
		if _, err := NewUnit(UnitConfig{Disk: newDisk(t, block.NewMemory(512)), Store: &memoryStore{state: []byte(bad)}}); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
