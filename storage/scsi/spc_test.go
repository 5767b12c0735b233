package scsi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
)

// TestInquiry looks at the standard INQUIRY data, whole and cut off.
func TestInquiry(t *testing.T) {
	r := newRig(t, UnitConfig{Vendor: "ACME", Product: "DISK", Revision: "0.1"})
	p := r.good(cdb(0x12, 0, 0, 0, 255, 0), nil, 255)
	want := append([]byte{0x00, 0x00, 0x06, 0x12, 69, p[5], 0x00, 0x02}, "ACME    DISK            0.1 "...)
	if len(p) != 74 || !bytes.Equal(p[:36], want) {
		t.Errorf("% x (%d)", p, len(p))
	}
	if v := p[58:66]; !bytes.Equal(v, []byte{0x00, 0x80, 0x04, 0x60, 0x04, 0xc0, 0x09, 0x60}) {
		t.Errorf("versions % x", v)
	}
	for n := range 300 {
		if got := r.good(append(append(cdb(0x12, 0, 0), be16(n)...), 0), nil, 512); !bytes.Equal(got, p[:min(n, 74)]) {
			t.Errorf("allocation length %d: % x", n, got)
		}
	}
	r.fails(cdb(0x12, 0, 0x83, 0, 255, 0), nil, 255, field(2, 7))
	r.fails(cdb(0x12, 1, 0x99, 0, 255, 0), nil, 255, field(2, 7))

	cd := newRig(t, UnitConfig{Type: CDROM, Removable: true})
	p = cd.good(cdb(0x12, 0, 0, 0, 255, 0), nil, 255)
	if p[0] != 0x05 || p[1] != 0x80 || binary.BigEndian.Uint16(p[62:]) != 0x0420 {
		t.Errorf("a CD-ROM: % x", p)
	}
}

// vital reads a page of vital product data, without its header.
func (r *rig) vital(page byte) []byte {
	r.Helper()
	p := r.good(cdb(0x12, 1, page, 0x01, 0, 0), nil, 256)
	if p[1] != page || len(p) != 4+int(binary.BigEndian.Uint16(p[2:])) {
		r.Fatalf("page %02Xh: % x", page, p)
	}
	return p[4:]
}

// TestVital reads all pages that there are said to be.
func TestVital(t *testing.T) {
	r := newRig(t, UnitConfig{Serial: "S123"})
	pages := r.vital(0)
	if !bytes.Equal(pages, []byte{0x00, 0x80, 0x83, 0x86, 0x8f, 0xb0, 0xb1, 0xb2}) {
		t.Errorf("pages % x", pages)
	}
	for _, p := range pages {
		r.vital(p)
	}
	if got := r.vital(0x80); string(got) != "S123" {
		t.Errorf("serial number %q", got)
	}
	cd := newRig(t, UnitConfig{Type: CDROM})
	if got := cd.vital(0); !bytes.Equal(got, []byte{0x00, 0x80, 0x83, 0x86}) {
		t.Errorf("pages of a CD-ROM: % x", got)
	}

	limits := r.vital(0xb0)
	if len(limits) != 0x3c || limits[1] != 255 || binary.BigEndian.Uint32(limits[4:]) != 8<<20/512 ||
		binary.BigEndian.Uint32(limits[16:]) != 1<<32-1 || binary.BigEndian.Uint32(limits[20:]) != maxUnmap ||
		binary.BigEndian.Uint64(limits[32:]) != maxSame {
		t.Errorf("block limits % x", limits)
	}
	if p := r.vital(0xb1); len(p) != 0x3c || binary.BigEndian.Uint16(p) != 1 {
		t.Errorf("characteristics % x", p)
	}
	if p := r.vital(0xb2); !bytes.Equal(p, []byte{0, 0xe4, 2, 0}) {
		t.Errorf("provisioning % x", p)
	}
}

// A designator of page 83h.
type designator struct {
	kind, of, protocol byte
	value              []byte
}

func (r *rig) designators() (all []designator) {
	r.Helper()
	for p := r.vital(0x83); len(p) > 0; p = p[4+int(p[3]):] {
		all = append(all, designator{p[1] & 0x0f, p[1] >> 4 & 3, p[0] >> 4, p[4 : 4+int(p[3])]})
	}
	return all
}

// TestIdentification looks at the names of page 83h.
func TestIdentification(t *testing.T) {
	r := newRig(t, UnitConfig{Serial: "S1"})
	all := r.designators()
	if len(all) != 6 {
		t.Fatalf("%+v", all)
	}
	if d := all[0]; d.kind != 3 || len(d.value) != 8 || d.value[0]>>4 != 3 {
		t.Errorf("NAA: %+v", d)
	}
	if d := all[1]; d.kind != 1 || string(d.value) != "GONET   VIRTUAL-DISK    S1" {
		t.Errorf("vendor: %q", d.value)
	}
	if d := all[5]; d.kind != 8 || d.of != 2 || d.protocol != 5 || string(bytes.TrimRight(d.value, "\x00")) != "iqn.2026-01.org.example:t" || len(d.value)%4 != 0 {
		t.Errorf("target: %+v", d)
	}
	other := newRig(t, UnitConfig{Serial: "S2"}).designators()
	if bytes.Equal(other[0].value, all[0].value) {
		t.Error("two units have one name")
	}
	same := newRig(t, UnitConfig{Serial: "S2", Identifier: "x"}).designators()
	again := newRig(t, UnitConfig{Serial: "S3", Identifier: "x"}).designators()
	if !bytes.Equal(same[0].value, again[0].value) {
		t.Error("the name is not made of the identifier")
	}
}

// TestCapacity reads the capacity of small and large disks.
func TestCapacity(t *testing.T) {
	for _, c := range []struct {
		size  int64
		block int
		last  uint64
		ten   uint32
	}{
		{512, 512, 0, 0}, {testBlocks * 512, 512, testBlocks - 1, testBlocks - 1}, {1 << 20, 4096, 255, 255},
		{513, 512, 0, 0}, {1<<41 - 512, 512, 1<<32 - 2, 1<<32 - 2}, {1 << 41, 512, 1<<32 - 1, 1<<32 - 1}, {1 << 50, 512, 1<<41 - 1, 1<<32 - 1},
		{0, 512, 0, 0},
	} {
		r := newRig(t, UnitConfig{Disk: newDisk(t, block.NewMemory(c.size)), BlockSize: c.block})
		p := r.good(cdb(0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), nil, 8)
		if binary.BigEndian.Uint32(p) != c.ten || int(binary.BigEndian.Uint32(p[4:])) != c.block {
			t.Errorf("%+v: % x", c, p)
		}
		long := cdb(0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0)
		q := r.good(long, nil, 32)
		if len(q) != 32 || binary.BigEndian.Uint64(q) != c.last || int(binary.BigEndian.Uint32(q[8:])) != c.block || q[14] != 0xc0 {
			t.Errorf("%+v: % x", c, q)
		}
		if exponent := q[13]; c.block<<exponent != 4096 {
			t.Errorf("%+v: a physical block is 2^%d blocks", c, exponent)
		}
		for n := range 40 {
			if got := r.good(with(long, 10, 4, uint64(n)), nil, 64); !bytes.Equal(got, q[:min(n, 32)]) {
				t.Errorf("allocation length %d: % x", n, got)
			}
		}
	}
}

// TestLUNs looks at REPORT LUNS of a target with many units, one of which is hidden.
func TestLUNs(t *testing.T) {
	r := newRig(t, UnitConfig{})
	for _, n := range []int{3, 255, 256, MaxLUN} {
		u, err := NewUnit(UnitConfig{Removable: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.target.Add(n, u); err != nil {
			t.Fatal(err)
		}
		if err := r.target.Add(n, r.unit); !errors.Is(err, ErrLUNInUse) {
			t.Errorf("adding another: %v", err)
		}
	}
	if err := r.target.Add(7, r.unit); !errors.Is(err, ErrLUNInUse) {
		t.Errorf("adding a unit twice: %v", err)
	}
	for _, n := range []int{-1, MaxLUN + 1} {
		if r.target.Add(n, r.unit) == nil {
			t.Errorf("number %d was taken", n)
		}
	}
	r.nexus = r.target.Attach(NexusConfig{Access: func(lun int) Access {
		if lun == 3 {
			return Hidden
		}
		return ReadWrite
	}})
	report := func(what byte, limit uint32) []byte {
		return r.good(append(append(cdb(0xa0, 0, what, 0, 0, 0), be32(limit)...), 0, 0), nil, int(limit))
	}
	want := append([]byte{0, 0, 0, 32, 0, 0, 0, 0}, bytes.Join([][]byte{be64(0), be64(0xff << 48), be64(0x4100 << 48), be64(0x7fff << 48)}, nil)...)
	for _, what := range []byte{0, 2} {
		if got := report(what, 1000); !bytes.Equal(got, want) {
			t.Errorf("% x, want % x", got, want)
		}
	}
	if got := report(0, 20); !bytes.Equal(got, want[:20]) {
		t.Errorf("cut off: % x", got)
	}
	if got := report(1, 100); !bytes.Equal(got, make([]byte, 8)) {
		t.Errorf("well known units: % x", got)
	}
	r.fails(cdb(0xa0, 0, 3, 0, 0, 0, 0, 0, 0, 16, 0, 0), nil, 16, field(2, 7))
	r.fails(cdb(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 15, 0, 0), nil, 16, field(6, 7))
	for n, wire := range map[int]uint64{0: 0, 255: 0xff << 48, 256: 0x4100 << 48, MaxLUN: 0x7fff << 48} {
		l := LUNOf(n)
		if got, ok := l.Number(); uint64(l) != wire || got != n || !ok || ParseLUN(l.Bytes()) != l {
			t.Errorf("%d is %x, and back %d", n, uint64(l), got)
		}
	}
	for _, l := range []LUN{1, 0x0101 << 48, 0x8000 << 48, 0xc101 << 48, 1 << 47} {
		if n, ok := l.Number(); ok {
			t.Errorf("%x is unit %d", uint64(l), n)
		}
	}
}

// TestAllLUNs fills a target.
func TestAllLUNs(t *testing.T) {
	r := newRig(t, UnitConfig{})
	luns := map[int]*mapping{}
	for n := range MaxLUN + 1 {
		luns[n] = (*r.target.luns.Load())[0]
	}
	r.target.luns.Store(&luns)
	p := r.good(cdb(0xa0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0), nil, 1<<20)
	if len(p) != maxReply || int(binary.BigEndian.Uint32(p)) != maxReply-8 {
		t.Fatalf("%d bytes", len(p))
	}
	for n := range MaxLUN + 1 {
		if l := LUN(binary.BigEndian.Uint64(p[8+8*n:])); l != LUNOf(n) {
			t.Fatalf("number %d is %x", n, uint64(l))
		}
	}
}

// TestOpcodes holds REPORT SUPPORTED OPERATION CODES against the table, for all commands
// and each alone, with timeouts and without.
func TestOpcodes(t *testing.T) {
	for _, of := range []Type{Disk, CDROM} {
		r := newRig(t, UnitConfig{Type: of, Disk: newDisk(t, memory(1<<20))})
		all := commandsOf(of).all
		report := func(options, op byte, action int) []byte {
			return append(append(append(cdb(0xa3, 0x0c, options, op), be16(action)...), be32(65535)...), 0, 0)
		}
		for _, timeouts := range []byte{0, 0x80} {
			size := 8
			if timeouts != 0 {
				size = 20
			}
			p := r.good(report(timeouts, 0, 0), nil, 65535)
			if len(p) != 4+size*len(all) || int(binary.BigEndian.Uint32(p)) != len(p)-4 {
				t.Fatalf("%d bytes for %d commands", len(p), len(all))
			}
			for i, c := range all {
				d := p[4+i*size:][:size]
				action := int(binary.BigEndian.Uint16(d[2:]))
				if d[0] != c.usage[0] || (d[5]&1 != 0) != c.action || c.action && action != int(c.usage[1]&0x1f) || !c.action && action != 0 ||
					int(binary.BigEndian.Uint16(d[6:])) != len(c.usage) || (d[5]&2 != 0) != (timeouts != 0) || size == 20 && d[9] != 0x0a {
					t.Errorf("%s: % x", c.name, d)
				}
				right, wrong := byte(1), byte(2)
				if c.action {
					right, wrong = 2, 1
				}
				for _, option := range []byte{right, 3} {
					one := r.good(report(timeouts|option, c.usage[0], action), nil, 65535)
					if one[1]&7 != 3 || (one[1]&0x80 != 0) != (timeouts != 0) || int(binary.BigEndian.Uint16(one[2:])) != len(c.usage) ||
						!bytes.Equal(one[4:4+len(c.usage)], c.usage) || len(one) != 4+len(c.usage)+size-8 {
						t.Errorf("%s alone: % x", c.name, one)
					}
				}
				r.fails(report(timeouts|wrong, c.usage[0], action), nil, 0, field(2, 2))
			}
		}
		for _, op := range []byte{0x01, 0xff} {
			if p := r.good(report(1, op, 0), nil, 100); !bytes.Equal(p, []byte{0, 1, 0, 0}) {
				t.Errorf("of a command that there is not: % x", p)
			}
		}
		if p := r.good(report(2, 0xa3, 0x1f), nil, 100); !bytes.Equal(p, []byte{0, 1, 0, 0}) {
			t.Errorf("of a service action that there is not: % x", p)
		}
		for options := byte(4); options < 8; options++ {
			r.fails(report(options, 0, 0), nil, 0, field(2, 2))
		}
	}
}

// TestUnmapIsTold: a disk that cannot forget has no UNMAP, nowhere.
func TestUnmapIsTold(t *testing.T) {
	r := newRig(t, UnitConfig{Disk: newDisk(t, plain{block.NewMemory(1 << 20)})})
	r.fails(cdb(0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0), make([]byte, 24), 0, Sense{Key: IllegalRequest, Code: CodeInvalidOpcode}.PointTo(true, 0, -1))
	r.fails(set(blocks(0x93, 0, 1), 8), make([]byte, 512), 0, field(1, 3))
	r.fails(set(blocks(0x41, 0, 1), 8), make([]byte, 512), 0, field(1, 3))
	if p := r.good(cdb(0xa3, 0x0c, 1, 0x42, 0, 0, 0, 0, 1, 0, 0, 0), nil, 100); !bytes.Equal(p, []byte{0, 1, 0, 0}) {
		t.Errorf("% x", p)
	}
	if p := r.vital(0xb2); !bytes.Equal(p, []byte{0, 0, 1, 0}) {
		t.Errorf("provisioning % x", p)
	}
	if p := r.vital(0xb0); binary.BigEndian.Uint32(p[16:]) != 0 || binary.BigEndian.Uint32(p[20:]) != 0 {
		t.Errorf("limits % x", p)
	}
	if p := r.good(cdb(0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0), nil, 32); p[14] != 0 {
		t.Errorf("capacity % x", p)
	}
}

// plain is a device without any power.
type plain struct{ m *block.Memory }

func (p plain) ReadAt(b []byte, off int64) (int, error)  { return p.m.ReadAt(b, off) }
func (p plain) WriteAt(b []byte, off int64) (int, error) { return p.m.WriteAt(b, off) }
func (p plain) Size() (int64, error)                     { return p.m.Size() }
func (p plain) Sync() error                              { return p.m.Sync() }

// TestLogs reads all log pages that there are said to be.
func TestLogs(t *testing.T) {
	r := newRig(t, UnitConfig{})
	log := func(page, subpage byte) []byte { return cdb(0x4d, 0, 0x40|page, subpage, 0, 0, 0, 1, 0, 0) }
	if p := r.good(log(0, 0), nil, 256); !bytes.Equal(p, []byte{0, 0, 0, 2, 0x00, 0x2f}) {
		t.Errorf("% x", p)
	}
	p := r.good(log(0, 0xff), nil, 256)
	if !bytes.Equal(p[:4], []byte{0x40, 0xff, 0, 6}) {
		t.Errorf("% x", p)
	}
	for p := p[4:]; len(p) > 0; p = p[2:] {
		if q := r.good(log(p[0], p[1]), nil, 256); q[0]&0x3f != p[0] || int(binary.BigEndian.Uint16(q[2:])) != len(q)-4 {
			t.Errorf("page %02X, %02X: % x", p[0], p[1], q)
		}
	}
	r.fails(log(0x0d, 0), nil, 256, field(2, 5))
	r.fails(log(0x2f, 1), nil, 256, field(3, 7))
}

// TestDefects: there are none.
func TestDefects(t *testing.T) {
	r := newRig(t, UnitConfig{})
	if p := r.good(cdb(0x37, 0, 0x1d, 0, 0, 0, 0, 0, 32, 0), nil, 32); !bytes.Equal(p, []byte{0, 0x1d, 0, 0}) {
		t.Errorf("% x", p)
	}
	if p := r.good(cdb(0xb7, 0x0d, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0), nil, 32); !bytes.Equal(p, []byte{0, 0x0d, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("% x", p)
	}
}

// TestFunctions looks at REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS.
func TestFunctions(t *testing.T) {
	r := newRig(t, UnitConfig{})
	if p := r.good(cdb(0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0), nil, 16); !bytes.Equal(p, []byte{0xda, 0, 0, 0}) {
		t.Errorf("% x", p)
	}
	if p := r.good(cdb(0xa3, 0x0d, 0x80, 0, 0, 0, 0, 0, 0, 16, 0, 0), nil, 16); len(p) != 16 || p[3] != 12 {
		t.Errorf("% x", p)
	}
	r.fails(cdb(0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0), nil, 16, field(6, 7))
	r.good(cdb(0x1d, 0x04, 0, 0, 0, 0), nil, 0) // SEND DIAGNOSTIC, self-test
}

// TestStatus looks at GET LBA STATUS of a device with holes.
func TestStatus(t *testing.T) {
	const page = 64 << 10 / 512 // of Memory
	r := newRig(t, UnitConfig{})
	r.good(blocks(0x2a, 2*page, 1), pattern(512, 1), 0)
	r.good(blocks(0x2a, 4*page, 2*page), pattern(2*page*512, 1), 0)
	status := func(lba uint64, limit uint32) (at []uint64, mapped []bool) {
		t.Helper()
		p := r.good(append(append(append(cdb(0x9e, 0x12), be64(lba)...), be32(limit)...), 0, 0), nil, int(limit))
		next := lba
		if len(p) < 8 {
			return nil, nil
		}
		for p = p[8:]; len(p) >= 16; p = p[16:] {
			if binary.BigEndian.Uint64(p) != next {
				t.Errorf("a descriptor of block %d, not %d", binary.BigEndian.Uint64(p), next)
			}
			at, mapped = append(at, next), append(mapped, p[12] == 0)
			next += uint64(binary.BigEndian.Uint32(p[8:]))
		}
		return at, mapped
	}
	at, mapped := status(0, 1000)
	if !slices.Equal(at, []uint64{0, 2 * page, 3 * page, 4 * page, 6 * page}) || !slices.Equal(mapped, []bool{false, true, false, true, false}) {
		t.Errorf("%v %v", at, mapped)
	}
	if at, mapped = status(2*page+5, 24); !slices.Equal(at, []uint64{2*page + 5}) || !mapped[0] {
		t.Errorf("%v %v", at, mapped)
	}
	if at, mapped = status(testBlocks-1, 24); !slices.Equal(at, []uint64{testBlocks - 1}) || mapped[0] {
		t.Errorf("%v %v", at, mapped)
	}
	for limit := range uint32(24) {
		status(0, limit)
		if r.task.Transferred != int(limit) {
			t.Errorf("allocation length %d: %d bytes", limit, r.task.Transferred)
		}
	}
	r.fails(append(append(append(cdb(0x9e, 0x12), be64(testBlocks)...), be32(24)...), 0, 0), nil, 24, beyond(testBlocks))
	r.good(set(blocks(0x93, 4*page, page), 8), make([]byte, 512), 0)
	if at, mapped = status(3*page, 40); !slices.Equal(at, []uint64{3 * page, 5 * page}) || mapped[0] || !mapped[1] {
		t.Errorf("after UNMAP: %v %v", at, mapped)
	}
}
