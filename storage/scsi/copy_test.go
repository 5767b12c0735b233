package scsi

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/seed-012105e5/gonet/storage/block"
)

// newCopyRig has a disk of blocks of 512 bytes as unit 0, one of 4096 as unit 1 that takes little
// at once, and a CD-ROM as unit 2.
func newCopyRig(t *testing.T) (*rig, *block.Memory) {
	r := newRig(t, UnitConfig{Serial: "A"})
	second := block.NewMemory(testBlocks * 512)
	for lun, c := range map[int]UnitConfig{
		1: {Disk: newDisk(t, second), BlockSize: 4096, MaxTransfer: 12 << 10, Serial: "B"},
		2: {Type: CDROM, Disk: newDisk(t, block.NewMemory(1<<20)), Serial: "C"},
	} {
		u, err := NewUnit(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.target.Add(lun, u); err != nil {
			t.Fatal(err)
		}
	}
	r.settle(r.nexus)
	return r, second
}

// unitOf is a CSCD descriptor of a unit of the rig.
func (r *rig) unitOf(lun int) []byte {
	u := r.target.Units()[lun]
	d := append([]byte{0xe4, 0, 0, 0, 1, 3, 0, 8}, be64(u.naa())...)
	d = append(d, make([]byte, 12)...)
	return append(d, be32(uint32(u.BlockSize()))...)
}

// segmentOf is a segment descriptor.
func segmentOf(from, to, blocks int, fromLBA, toLBA uint64, flags byte) []byte {
	d := []byte{0x02, flags, 0, 24, byte(from >> 8), byte(from), byte(to >> 8), byte(to), 0, 0, byte(blocks >> 8), byte(blocks)}
	return append(append(d, be64(fromLBA)...), be64(toLBA)...)
}

// copyOf is EXTENDED COPY and its parameter list.
func copyOf(id, usage byte, units, segments [][]byte) (c, list []byte) {
	u, s := bytes.Join(units, nil), bytes.Join(segments, nil)
	list = []byte{id, usage << 3}
	list = append(append(list, be16(len(u))...), 0, 0, 0, 0)
	list = append(append(append(list, be32(uint32(len(s)))...), 0, 0, 0, 0), u...)
	list = append(list, s...)
	return with([]byte{0x83, 15: 0}, 10, 4, uint64(len(list))), list
}

func receive(action, id byte) []byte { return with([]byte{0x84, action, id, 15: 0}, 10, 4, 1024) }

// TestCopyModel copies at random, within a unit, also where source and destination overlap, and
// between units whose blocks differ, and holds the bytes against a model.
func TestCopyModel(t *testing.T) {
	r, second := newCopyRig(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	devices := []*block.Memory{r.device, second}
	model := [2][]byte{pattern(testBlocks*512, 3), pattern(testBlocks*512, 101)}
	for i, d := range devices {
		if _, err := d.WriteAt(model[i], 0); err != nil {
			t.Fatal(err)
		}
	}
	sizes := []int{512, 4096}
	for range 30 {
		var segments [][]byte
		want := [2][]byte{bytes.Clone(model[0]), bytes.Clone(model[1])}
		var moved int64
		for range 1 + rnd.IntN(3) {
			from, to, flags := rnd.IntN(2), rnd.IntN(2), byte(rnd.IntN(2))<<1
			counted := sizes[from]
			if flags != 0 {
				counted = sizes[to]
			}
			n := rnd.IntN(100) * max(sizes[from], sizes[to])
			if rnd.IntN(4) == 0 && from == to {
				n = rnd.IntN(2048) * 512 / counted * counted
			}
			a := rnd.IntN((testBlocks*512-n)/sizes[from]+1) * sizes[from]
			b := rnd.IntN((testBlocks*512-n)/sizes[to]+1) * sizes[to]
			f, g := from, to
			if rnd.IntN(4) == 0 && f == 0 {
				f = ownUnit
			}
			segments = append(segments, segmentOf(f, g, n/counted, uint64(a/sizes[from]), uint64(b/sizes[to]), flags))
			copy(want[to][b:b+n], bytes.Clone(want[from][a:a+n]))
			moved += int64(n)
		}
		r.copies(copyOf(7, 0, [][]byte{r.unitOf(0), r.unitOf(1)}, segments))
		model = want
		for i, d := range devices {
			p := make([]byte, testBlocks*512)
			if _, err := d.ReadAt(p, 0); err != nil || !bytes.Equal(p, model[i]) {
				t.Fatalf("unit %d is not as the model, %v", i, err)
			}
		}
		p := r.good(receive(0, 7), nil, 1024)
		if want := append([]byte{0, 0, 0, 8, 1, 0, byte(len(segments)), 0}, be32(uint32(moved))...); !bytes.Equal(p, want) {
			t.Fatalf("status % x, should be % x", p, want)
		}
	}
	if len(r.target.nexuses) != 1 {
		t.Errorf("%d nexuses are left", len(r.target.nexuses))
	}
	for lun, u := range r.target.Units() {
		if n := len(u.state.links); n > 1 {
			t.Errorf("unit %d has %d links", lun, n)
		}
	}
}

// copies runs a copy that must end with GOOD.
func (r *rig) copies(c, list []byte) {
	r.Helper()
	r.good(c, list, 0)
}

// TestCopyRefused walks parameter lists that are wrong: nothing is copied.
func TestCopyRefused(t *testing.T) {
	r, _ := newCopyRig(t)
	r.good(blocks(0x2a, 0, 8), pattern(8*512, 1), 0)
	illegal := func(c Code) Sense { return Sense{Key: IllegalRequest, Code: c} }
	aborted := func(c Code) Sense { return Sense{Key: CopyAborted, Code: c} }
	own, seg := r.unitOf(0), segmentOf(0, 0, 4, 0, 100, 0)
	change := func(d []byte, at int, v byte) []byte {
		d = bytes.Clone(d)
		d[at] = v
		return d
	}
	many := func(n int, d []byte) [][]byte { return slices.Repeat([][]byte{d}, n) }
	one := func(d []byte) [][]byte { return [][]byte{d} }
	for _, c := range []struct {
		what            string
		id, usage       byte
		units, segments [][]byte
		want            Sense
	}{
		{"usage 1", 1, 1, one(own), one(seg), parameter(1, 4)},
		{"an identifier that is not used", 1, 3, one(own), one(seg), parameter(1, 4)},
		{"too many units", 1, 0, many(maxCopyUnits+1, own), one(seg), illegal(CodeTooManyUnits)},
		{"too many segments", 1, 0, one(own), many(maxCopySegments+1, seg), illegal(CodeTooManySegments)},
		{"too long", 1, 0, many(maxCopyUnits+1, own), many(140, seg), illegal(CodeParameterListLength)},
		{"kind of unit", 1, 0, one(change(own, 0, 0xe0)), one(seg), illegal(CodeUnitDescriptorType)},
		{"kind of segment", 1, 0, one(own), one(change(seg, 0, 0x03)), illegal(CodeSegmentDescriptorType)},
		{"type of device", 1, 0, one(change(own, 1, 5)), one(seg), parameter(17, 4)},
		{"code set", 1, 0, one(change(own, 4, 2)), one(seg), parameter(20, -1)},
		{"kind of designator", 1, 0, one(change(own, 5, 1)), one(seg), parameter(20, -1)},
		{"length of designator", 1, 0, one(change(own, 7, 16)), one(seg), parameter(23, -1)},
		{"block size", 1, 0, one(change(own, 30, 4)), one(seg), parameter(45, -1)},
		{"length of segment", 1, 0, one(own), one(change(seg, 3, 25)), parameter(50, -1)},
		{"segment that is cut", 1, 0, one(own), one(seg[:20]), illegal(CodeParameterListLength)},
		{"unit that is cut", 1, 0, one(own[:30]), one(seg), illegal(CodeParameterListLength)},
		{"unknown unit", 1, 0, one(change(own, 15, own[15]+1)), one(seg), aborted(CodeCopyUnitNotReachable)},
		{"unknown number", 1, 0, one(own), one(change(seg, 5, 1)), aborted(CodeCopyUnitNotReachable)},
		{"unknown destination", 1, 0, one(own), one(change(seg, 7, 1)), aborted(CodeCopyUnitNotReachable)},
		{"beyond the end", 1, 0, one(own), one(segmentOf(0, 0, 4, 0, testBlocks-1, 0)), aborted(CodeNone)},
		{"from beyond the end", 1, 0, one(own), one(segmentOf(0, 0, 4, testBlocks-3, 0, 0)), aborted(CodeNone)},
		{"far beyond the end", 1, 0, one(own), one(segmentOf(0, 0, 4, 0, 1<<64-1, 0)), aborted(CodeNone)},
		{"part of a block", 1, 0, [][]byte{own, r.unitOf(1)}, one(segmentOf(0, 1, 4, 0, 0, 0)), aborted(CodeInexactSegment)},
		{"to a CD-ROM", 1, 0, [][]byte{own, r.unitOf(2)}, one(segmentOf(0, 1, 4, 0, 0, 0)), aborted(CodeCopyUnitType)},
	} {
		cdb, list := copyOf(c.id, c.usage, c.units, c.segments)
		s, _ := r.on(r.nexus, cdb, list, 0)
		if r.task.Status != CheckCondition || s != c.want {
			t.Errorf("%s: %v, %v; want %v", c.what, r.task.Status, s, c.want)
		}
	}
	cdb, list := copyOf(1, 0, one(own), one(seg))
	for _, n := range []int{1, 15, 16, 16 + 31, 16 + 32 + 27} {
		r.fails(with(cdb, 10, 4, uint64(n)), list[:n], 0, illegal(CodeParameterListLength))
	}
	r.fails(cdb, list[:20], 0, illegal(CodeParameterListLength))
	r.fails(with(cdb, 10, 4, 1<<32-1), list, 0, illegal(CodeParameterListLength))
	r.fails(cdb, change(list, 15, 1), 0, illegal(CodeInlineDataLength))
	r.good(with(cdb, 10, 4, 0), nil, 0)
	if p := r.good(blocks(0x28, 100, 4), nil, 4*512); !bytes.Equal(p, make([]byte, 4*512)) {
		t.Error("something was copied")
	}
	r.copies(cdb, list)
	if p := r.good(blocks(0x28, 100, 4), nil, 4*512); !bytes.Equal(p, pattern(4*512, 1)) {
		t.Error("it was not copied")
	}
	// LU ID TYPE and NUL are not looked at.
	cdb, list = copyOf(1, 0, one(change(own, 1, 0xe0)), one(seg))
	r.copies(cdb, list)
}

// TestCopyResults reads what became of copies by all service actions.
func TestCopyResults(t *testing.T) {
	r, _ := newCopyRig(t)
	for _, action := range []byte{0, 1, 4} {
		r.fails(receive(action, 9), nil, 1024, field(2, 7))
	}
	p := r.good(receive(3, 0), nil, 1024)
	if len(p) != 46 || int(binary.BigEndian.Uint32(p)) != len(p)-4 || !bytes.Equal(p[43:], []byte{2, 0x02, 0xe4}) ||
		binary.BigEndian.Uint16(p[8:]) != maxCopyUnits || binary.BigEndian.Uint16(p[10:]) != maxCopySegments ||
		binary.BigEndian.Uint32(p[12:]) != maxCopyDescriptors || binary.BigEndian.Uint32(p[16:]) != 65535*512 || p[37] != 9 {
		t.Errorf("parameters % x", p)
	}
	good, bad := segmentOf(0, 0, 8, 0, 100, 0), segmentOf(0, 0, 8, 0, testBlocks, 0)
	one := [][]byte{r.unitOf(0)}
	c, list := copyOf(9, 0, one, [][]byte{good, bad, good})
	r.fails(c, list, 0, Sense{Key: CopyAborted})
	if p := r.good(receive(0, 9), nil, 1024); !bytes.Equal(p, []byte{0, 0, 0, 8, 2, 0, 1, 0, 0, 0, 0x10, 0}) {
		t.Errorf("status % x", p)
	}
	p = r.good(receive(4, 9), nil, 1024)
	if len(p) < 60 || int(binary.BigEndian.Uint32(p)) != len(p)-4 || Status(p[56]) != CheckCondition {
		t.Fatalf("% x", p)
	}
	if s, ok := ParseSense(p[60:]); !ok || s != beyond(testBlocks) || len(p) != 60+int(binary.BigEndian.Uint16(p[58:])) {
		t.Errorf("% x", p)
	}
	if p := r.good(receive(1, 9), nil, 1024); !bytes.Equal(p, make([]byte, 4)) {
		t.Errorf("data % x", p)
	}
	// Another nexus knows nothing of it.
	other := r.attach("other")
	r.settle(other)
	if s, _ := r.on(other, receive(0, 9), nil, 1024); s != field(2, 7) {
		t.Error(s)
	}
	r.copies(copyOf(9, 0, one, [][]byte{good})) // the same identifier again
	if p := r.good(receive(0, 9), nil, 1024); p[4] != 1 {
		t.Errorf("status % x", p)
	}
	if p := r.good(receive(4, 9), nil, 1024); !bytes.Equal(p, make([]byte, 4)) {
		t.Errorf("failure % x", p)
	}
	r.copies(copyOf(10, 2, one, [][]byte{good})) // not held
	r.fails(receive(0, 10), nil, 1024, field(2, 7))
	r.copies(copyOf(0, 3, one, [][]byte{good}))
	for id := range byte(maxCopies + 4) {
		r.copies(copyOf(id, 0, one, [][]byte{good}))
	}
	if n := len(r.nexus.find(LUNOf(0)).copies); n != maxCopies {
		t.Errorf("%d are held", n)
	}
	r.fails(receive(0, 3), nil, 1024, field(2, 7))
	r.good(receive(0, maxCopies+3), nil, 1024)
}

// TestCopyAccess: a copy may do what its initiator may, and no more.
func TestCopyAccess(t *testing.T) {
	r, _ := newCopyRig(t)
	fence := r.nexuses(1)[0]
	mine := Task{}
	second := func(n *Nexus, cdb, out []byte) Status {
		for range 3 {
			n.Begin(&mine, LUNOf(1), cdb)
			mine.Execute(context.Background(), out, nil)
			if mine.Status != CheckCondition {
				break
			}
		}
		return mine.Status
	}
	both := [][]byte{r.unitOf(0), r.unitOf(1)}
	to, from := segmentOf(0, 1, 8, 0, 0, 0), segmentOf(1, 0, 1, 0, 0, 0)
	abortedBy := func(what string, s []byte, want bool) {
		t.Helper()
		c, list := copyOf(1, 0, both, [][]byte{s})
		sense, _ := r.on(r.nexus, c, list, 0)
		if (r.task.Status == Good) == want || want && sense != (Sense{Key: CopyAborted}) {
			t.Errorf("%s: %v, %v", what, r.task.Status, sense)
		}
	}
	c, list := out(outRegister, 0, 0, 1, 0)
	second(fence, c, list)
	c, list = out(outReserve, writeExclusive, 1, 0, 0)
	if second(fence, c, list) != Good {
		t.Fatal(mine.Status, mine.SenseError())
	}
	abortedBy("to a reserved unit", to, true)
	abortedBy("from a unit reserved for writing", from, false)
	c, list = out(outPreempt, exclusiveAccess, 1, 1, 0)
	second(fence, c, list)
	abortedBy("from a reserved unit", from, true)
	c, list = out(outClear, 0, 1, 0, 0)
	second(fence, c, list)
	abortedBy("to a free unit", to, false)

	if second(r.nexus, cdb(0x16, 0, 0, 0, 0, 0), nil) != Good { // RESERVE by the nexus itself
		t.Fatal(mine.Status)
	}
	abortedBy("to a unit that its initiator has reserved", to, false)
	if second(fence, blocks(0x28, 0, 0), nil) != ReservationConflict {
		t.Error("the copy has released the unit")
	}

	masked := r.target.Attach(NexusConfig{Access: func(lun int) Access {
		if lun == 1 {
			return Hidden
		}
		return ReadWrite
	}})
	r.settle(masked)
	c, list = copyOf(1, 0, both, [][]byte{to})
	if s, _ := r.on(masked, c, list, 0); s != (Sense{Key: CopyAborted, Code: CodeCopyUnitNotReachable}) {
		t.Error(s)
	}
}

// TestCopyFailsAsDevice: an error of a device aborts the copy.
func TestCopyFailsAsDevice(t *testing.T) {
	f := &faulty{Memory: block.NewMemory(1 << 20)}
	r := newRig(t, UnitConfig{Disk: newDisk(t, f)})
	f.write = syscall.EIO
	c, list := copyOf(1, 0, [][]byte{r.unitOf(0)}, [][]byte{segmentOf(0, 0, 1, 0, 1, 0)})
	r.fails(c, list, 0, Sense{Key: CopyAborted, Code: CodeCopyUnitFailure})
	p := r.good(receive(4, 1), nil, 1024)
	if s, _ := ParseSense(p[60:]); s.Key != MediumError || s.Code != CodeWriteError {
		t.Error(s)
	}
}

// A gate is a device whose writes wait.
type gate struct {
	*block.Memory
	open chan struct{}
}

func (g *gate) WriteAt(p []byte, off int64) (int, error) {
	<-g.open
	return g.Memory.WriteAt(p, off)
}

// TestCopyAborted aborts copies that run: by their initiator, by a reset of the destination and by the
// loss of the nexus. None goes on after the one piece that is under way.
func TestCopyAborted(t *testing.T) {
	for name, abort := range map[string]func(r *rig, other *Nexus) <-chan struct{}{
		"abort task set":       func(r *rig, _ *Nexus) <-chan struct{} { d, _ := r.nexus.AbortTaskSet(LUNOf(0)); return d },
		"reset of destination": func(r *rig, o *Nexus) <-chan struct{} { d, _ := o.ResetUnit(LUNOf(1)); return d },
		"loss of nexus":        func(r *rig, _ *Nexus) <-chan struct{} { return r.nexus.Detach() },
		"removal":              func(r *rig, _ *Nexus) <-chan struct{} { d, _ := r.target.Remove(1); return d },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &gate{block.NewMemory(4 << 20), make(chan struct{})}
				r := newRig(t, UnitConfig{Serial: "A"})
				u, err := NewUnit(UnitConfig{Serial: "B", Disk: newDisk(t, g)})
				if err != nil {
					t.Fatal(err)
				}
				if err := r.target.Add(1, u); err != nil {
					t.Fatal(err)
				}
				other := r.attach("other")
				r.settle(other)
				r.settle(r.nexus)
				r.good(blocks(0x2a, 0, 2048), pattern(1<<20, 1), 0)
				c, list := copyOf(3, 0, [][]byte{r.unitOf(0), r.unitOf(1)}, [][]byte{segmentOf(0, 1, 2048, 0, 0, 0)})
				var copying Task
				r.nexus.Begin(&copying, LUNOf(0), c)
				ended := false
				go func() {
					copying.Execute(context.Background(), list, nil)
					ended = true
				}()
				synctest.Wait()
				if p := r.good(receive(0, 3), nil, 1024); p[4] != copyRuns {
					t.Errorf("status % x", p)
				}
				again, empty := copyOf(3, 0, nil, nil)
				r.fails(again, empty, 0, Sense{Key: IllegalRequest, Code: CodeOperationInProgress})
				var done <-chan struct{}
				go func() {
					done = abort(r, other)
					<-done
					done = nil
				}()
				synctest.Wait()
				if done == nil || ended {
					t.Error("it ended while a write was under way")
				}
				close(g.open)
				synctest.Wait()
				if done != nil || !ended {
					t.Error("it does not end")
				}
				p := make([]byte, 1<<20)
				if _, err := g.Memory.ReadAt(p, 0); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(p[copyBuffer:], make([]byte, 1<<20-copyBuffer)) {
					t.Error("it went on")
				}
				if len(u.state.links) > 1 {
					t.Errorf("%d links are left", len(u.state.links))
				}
			})
		})
	}
}

// TestThirdPartyCopyPage holds the commands that the page names against the table.
func TestThirdPartyCopyPage(t *testing.T) {
	r := newRig(t, UnitConfig{})
	kinds := map[uint16][]byte{}
	for p := r.vital(0x8f); len(p) > 0; {
		n := 4 + int(binary.BigEndian.Uint16(p[2:]))
		if n%4 != 0 {
			t.Errorf("a descriptor of %d bytes", n)
		}
		kinds[binary.BigEndian.Uint16(p)] = p[4:n]
		p = p[n:]
	}
	var want []byte
	for _, opcode := range []byte{0x83, 0x84} {
		list := diskCommands().byOpcode[opcode]
		want = append(want, opcode, byte(len(list)))
		for _, c := range list {
			want = append(want, c.usage[1])
		}
	}
	if got := kinds[1]; len(got) < 1 || !bytes.Equal(got[1:1+got[0]], want) {
		t.Errorf("commands % x, should be % x", got, want)
	}
	if len(kinds) != 5 || len(kinds[0x8001]) != 32 || len(kinds[4]) != 28 {
		t.Errorf("%x", kinds)
	}
	if p := r.good(cdb(0x12, 0, 0, 0, 36, 0), nil, 36); p[5]&0x08 == 0 {
		t.Error("3PC is zero")
	}
}

// FuzzCopyList reads parameter lists of any form: a list that is taken is within its bounds.
func FuzzCopyList(f *testing.F) {
	_, list := copyOf(1, 0, [][]byte{make([]byte, 32)}, [][]byte{segmentOf(0, 0, 1, 0, 1, 0)})
	list[16], list[20], list[21], list[23] = 0xe4, 1, 3, 8
	f.Add(list)
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) < copyHeader || len(p) > copyHeader+maxCopyDescriptors {
			return
		}
		l, s := parseCopyList(p)
		if s.Key == NoSense && (len(l.units) > maxCopyUnits || len(l.segments) > maxCopySegments ||
			len(p) != copyHeader+len(l.units)*unitLength+len(l.segments)*blockLength) {
			t.Errorf("%+v", l)
		}
	})
}

// FuzzPersistentOut sends two parameter lists of any form, and looks that what is registered
// makes sense and can be saved.
func FuzzPersistentOut(f *testing.F) {
	w := reply{p: make([]byte, 256)}
	w.transportID(InitiatorPort{Protocol: ProtocolISCSI, Name: "iqn.a"})
	for action := range byte(8) {
		_, list := out(action, 0, 0, 1, 0)
		f.Add(action, byte(1), list, action, byte(1), list)
		list[20] = 8
		list = append(append(list, be32(uint32(w.n))...), w.p[:w.n]...)
		f.Add(byte(0), byte(1), list, action, byte(1), list)
	}
	f.Fuzz(func(t *testing.T, action1, type1 byte, list1 []byte, action2, type2 byte, list2 []byte) {
		store := &memoryStore{}
		r := newRig(t, UnitConfig{Store: store})
		for _, c := range []struct {
			action, kind byte
			list         []byte
		}{{action1, type1, list1}, {outReserve, type1, list1}, {action2, type2, list2}} {
			r.on(r.nexus, with(cdb(0x5f, c.action&0x1f, c.kind, 0, 0, 0, 0, 0, 0, 0), 5, 4, uint64(len(c.list))), c.list, 0)
			r.settle(r.nexus)
			s := &r.unit.state.reservations
			if s.kind != notReserved && (len(s.registrants) == 0 || (s.holder == nil) != s.kind.allRegistrants()) ||
				s.holder != nil && !slices.Contains(s.registrants, s.holder) {
				t.Fatalf("%+v", s)
			}
			r.good(cdb(0x5e, 3, 0, 0, 0, 0, 0, 0xff, 0xff, 0), nil, 1<<16)
			if s.persists {
				again := newRig(t, UnitConfig{Store: &memoryStore{state: store.state}})
				if a := &again.unit.state.reservations; a.kind != s.kind || len(a.registrants) != len(s.registrants) {
					t.Fatalf("%+v was saved as %+v", s, a)
				}
			}
		}
	})
}
