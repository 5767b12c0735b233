package scsi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
)

// cdBlocks is how many blocks the CD of newCD has, dvdBlocks how many that of newDVD.
const (
	cdBlocks  = 1000
	dvdBlocks = maxCD + 1
)

func newCD(t *testing.T) *rig {
	return newRig(t, UnitConfig{Type: CDROM, Disk: newDisk(t, block.NewMemory(cdBlocks*2048))})
}

func newDVD(t *testing.T) *rig {
	return newRig(t, UnitConfig{Type: CDROM, Disk: newDisk(t, block.NewMemory(dvdBlocks*2048))})
}

// toc is READ TOC.
func toc(flags, format, number byte, n int) []byte {
	return cdb(0x43, flags, format, 0, 0, 0, number, byte(n>>8), byte(n), 0)
}

// TestTOC reads the table of contents in all formats, in blocks and in minutes.
func TestTOC(t *testing.T) {
	r := newCD(t)
	track, lead := []byte{0, 0x14, 1, 0, 0, 0, 0, 0}, []byte{0, 0x14, 0xaa, 0, 0, 0, 0x03, 0xe8}
	// Block 1000 is at 1150 frames: 15 seconds and 25 frames.
	trackMSF, leadMSF := []byte{0, 0x14, 1, 0, 0, 0, 2, 0}, []byte{0, 0x14, 0xaa, 0, 0, 0, 15, 25}
	session := []byte{0, 10, 1, 1}
	full := []byte{
		0, 46, 1, 1,
		1, 0x14, 0, 0xa0, 0, 0, 0, 0, 1, 0, 0, 1, 0x14, 0, 0xa1, 0, 0, 0, 0, 1, 0, 0,
		1, 0x14, 0, 0xa2, 0, 0, 0, 0, 0, 15, 25, 1, 0x14, 0, 1, 0, 0, 0, 0, 0, 2, 0,
	}
	old := toc(0, 0, 0, 512)
	old[9] = 0x40 // sessions, as before MMC
	for _, c := range []struct {
		cdb  []byte
		want [][]byte
	}{
		{toc(0, 0, 0, 512), [][]byte{{0, 18, 1, 1}, track, lead}},
		{toc(0, 0, 1, 512), [][]byte{{0, 18, 1, 1}, track, lead}},
		{toc(0, 0, 0xaa, 512), [][]byte{{0, 10, 1, 1}, lead}},
		{toc(2, 0, 0, 512), [][]byte{{0, 18, 1, 1}, trackMSF, leadMSF}},
		{toc(0, 1, 0, 512), [][]byte{session, track}},
		{old, [][]byte{session, track}},
		{toc(2, 1, 0, 512), [][]byte{session, trackMSF}},
		{toc(2, 2, 0, 512), [][]byte{full}},
		{toc(0, 0, 0, 4), [][]byte{{0, 18, 1, 1}}},
		{toc(0, 0, 0, 0), nil},
	} {
		if got, want := r.good(c.cdb, nil, 512), bytes.Join(c.want, nil); !bytes.Equal(got, want) {
			t.Errorf("% x gives % x, should be % x", c.cdb, got, want)
		}
	}
	r.fails(toc(0, 0, 2, 512), nil, 512, field(6, 7))
	r.fails(toc(0, 2, 2, 512), nil, 512, field(6, 7))
	for f := byte(3); f < 16; f++ {
		r.fails(toc(0, f, 0, 512), nil, 512, field(2, 3))
	}
	if got := newDVD(t).good(toc(2, 0, 0xaa, 512), nil, 512); !bytes.Equal(got[9:], []byte{80, 2, 1}) {
		t.Errorf("the lead-out of a DVD: % x", got)
	}
	if got := msf(1 << 40); got != [3]byte{255, 59, 74} {
		t.Errorf("the last address: %v", got)
	}
}

// features reads GET CONFIGURATION: the current profile, and the features by code, each with
// its third byte and what follows.
func (r *rig) features(kind byte, from int) (profile uint16, all map[int][]byte) {
	r.Helper()
	p := r.good(with(cdb(0x46, kind, 0, 0, 0, 0, 0, 4, 0, 0), 2, 2, uint64(from)), nil, 1024)
	if len(p) < 8 || int(binary.BigEndian.Uint32(p)) != len(p)-4 {
		r.Fatalf("% x", p)
	}
	all = map[int][]byte{}
	last := -1
	for q := p[8:]; len(q) > 0; q = q[4+int(q[3]):] {
		code := int(binary.BigEndian.Uint16(q))
		if code <= last || len(q) < 4+int(q[3]) {
			r.Fatalf("feature %04Xh in % x", code, p)
		}
		last = code
		all[code] = q[2 : 4+int(q[3])]
	}
	return binary.BigEndian.Uint16(p[6:]), all
}

// TestConfiguration reads profiles and features with a CD, a DVD, and nothing.
func TestConfiguration(t *testing.T) {
	for _, c := range []struct {
		r       *rig
		profile uint16
		current map[int]bool
	}{
		{newCD(t), profileCD, map[int]bool{0: true, 1: true, 3: true, 0x10: true, 0x1e: true}},
		{newDVD(t), profileDVD, map[int]bool{0: true, 1: true, 3: true, 0x10: true, 0x1f: true}},
		{newRig(t, UnitConfig{Type: CDROM, Removable: true}), profileNone, map[int]bool{0: true, 1: true, 3: true}},
	} {
		profile, all := c.r.features(0, 0)
		if profile != c.profile || len(all) != 6 {
			t.Errorf("profile %04Xh, features %x", profile, all)
		}
		for code, f := range all {
			if f[0]&1 != 0 != c.current[code] {
				t.Errorf("profile %04Xh, feature %04Xh: % x", c.profile, code, f)
			}
			if _, one := c.r.features(2, code); len(one) != 1 || !bytes.Equal(one[code], f) {
				t.Errorf("feature %04Xh alone: %x", code, one)
			}
			if _, from := c.r.features(0, code+1); from[code] != nil {
				t.Errorf("from %04Xh: %x", code+1, from)
			}
		}
		if _, current := c.r.features(1, 0); len(current) != len(c.current) {
			t.Errorf("current are %x", current)
		}
		if _, none := c.r.features(2, 0x0107); len(none) != 0 {
			t.Errorf("%x", none)
		}
		p := all[0][2:]
		if len(p) != 8 || p[2] != bit(c.profile == profileDVD, 1) || p[6] != bit(c.profile == profileCD, 1) {
			t.Errorf("profiles % x", p)
		}
		c.r.fails(cdb(0x46, 3, 0, 0, 0, 0, 0, 1, 0, 0), nil, 256, field(1, 1))
	}
}

// TestMediaEvents changes the medium from either side: each initiator learns it, once, by the
// event, and by sense.
func TestMediaEvents(t *testing.T) {
	r := newCD(t)
	other := r.attach("other")
	r.settle(other)
	ask := cdb(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0)
	want := func(what string, e mediaEvent, status byte) {
		t.Helper()
		for _, n := range []*Nexus{r.nexus, other} {
			for _, code := range []byte{byte(e), 0} {
				if _, p := r.on(n, ask, nil, 8); !bytes.Equal(p, []byte{0, 6, 4, 0x10, code, status, 0, 0}) {
					t.Errorf("%s: % x", what, p)
				}
			}
		}
	}
	want("at first", mediaUnchanged, 2)
	eject, load := cdb(0x1b, 0, 0, 0, 2, 0), cdb(0x1b, 0, 0, 0, 3, 0)
	r.good(eject, nil, 0)
	want("ejected", mediaRemoved, 1)
	r.fails(cdb(0, 0, 0, 0, 0, 0), nil, 0, Sense{Key: NotReady, Code: CodeTrayOpen})
	if p := r.good(cdb(0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0), nil, 8); !bytes.Equal(p, []byte{0, 0x10, 0, 0, 0, 1, 0, 0}) {
		t.Errorf("mechanism % x", p)
	}
	r.good(load, nil, 0)
	want("loaded", mediaNew, 2)
	if s, _ := r.on(other, cdb(0, 0, 0, 0, 0, 0), nil, 0); s != (Sense{Key: UnitAttention, Code: CodeMediumChanged}) {
		t.Error(s)
	}
	r.good(cdb(0x1e, 0, 0, 0, 1, 0), nil, 0)
	if p := r.good(cdb(0x1a, 0, 0x2a, 0, 255, 0), nil, 255); len(p) != 24 || p[4] != 0x2a || p[10]&0x03 != 0x03 {
		t.Errorf("capabilities of a locked drive: % x", p)
	}
	if _, err := r.unit.Eject(false); !errors.Is(err, ErrPrevented) {
		t.Error(err)
	}
	want("eject request", mediaEjectRequest, 2)
	r.good(cdb(0x1e, 0, 0, 0, 0, 0), nil, 0)
	done, err := r.unit.Eject(false)
	if err != nil {
		t.Fatal(err)
	}
	<-done
	want("taken out", mediaRemoved, 0)
	r.fails(cdb(0, 0, 0, 0, 0, 0), nil, 0, Sense{Key: NotReady, Code: CodeTrayClosed})
	if err := r.unit.Insert(newDisk(t, block.NewMemory(1<<20))); err != nil {
		t.Fatal(err)
	}
	// Events are told in spite of the unit attention that there is (MMC-5 4.1.6.1).
	want("put in", mediaNew, 2)
	r.fails(cdb(0, 0, 0, 0, 0, 0), nil, 0, Sense{Key: UnitAttention, Code: CodeMediumChanged})

	r.fails(cdb(0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8, 0), nil, 8, field(1, 0))
	if p := r.good(cdb(0x4a, 1, 0, 0, 0x02, 0, 0, 0, 8, 0), nil, 8); !bytes.Equal(p, []byte{0, 2, 0x80, 0x10}) {
		t.Errorf("another class: % x", p)
	}
	r.unit.state.note(mediaNew)
	if p := r.good(cdb(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 4, 0), nil, 8); len(p) != 4 {
		t.Errorf("% x", p)
	}
	want("cut off before", mediaNew, 2)
}

// TestDisc reads what the disc, its track and its structure are said to be.
func TestDisc(t *testing.T) {
	cd, dvd := newCD(t), newDVD(t)
	for _, r := range []*rig{cd, dvd} {
		if p := r.good(cdb(0x51, 0, 0, 0, 0, 0, 0, 1, 0, 0), nil, 256); len(p) != 34 || !bytes.Equal(p[:8], []byte{0, 32, 0x0e, 1, 1, 1, 1, 0x20}) {
			t.Errorf("disc % x", p)
		}
	}
	cd.fails(cdb(0x51, 1, 0, 0, 0, 0, 0, 1, 0, 0), nil, 256, field(1, 2))

	track := func(kind byte, n uint64) []byte {
		return with(cdb(0x52, kind, 0, 0, 0, 0, 0, 1, 0, 0), 2, 4, n)
	}
	for _, c := range [][]byte{track(0, 0), track(0, cdBlocks-1), track(1, 1), track(2, 1)} {
		p := cd.good(c, nil, 256)
		if len(p) != 36 || p[1] != 34 || p[2] != 1 || p[3] != 1 || p[5] != 4 || binary.BigEndian.Uint32(p[24:]) != cdBlocks ||
			binary.BigEndian.Uint32(p[8:]) != 0 || binary.BigEndian.Uint32(p[28:]) != cdBlocks-1 {
			t.Errorf("track % x", p)
		}
	}
	cd.fails(track(0, cdBlocks), nil, 256, Sense{Key: IllegalRequest, Code: CodeLBAOutOfRange})
	cd.fails(track(1, 2), nil, 256, field(2, 7))
	cd.fails(track(2, 0), nil, 256, field(2, 7))
	cd.fails(track(3, 1), nil, 256, field(1, 1))

	structure := func(format byte) []byte { return cdb(0xad, 0, 0, 0, 0, 0, 0, format, 0x10, 0, 0, 0) }
	cd.fails(structure(0), nil, 4096, Sense{Key: IllegalRequest, Code: CodeIncompatibleFormat})
	p := dvd.good(structure(0), nil, 4096)
	if len(p) != 2052 || int(binary.BigEndian.Uint16(p)) != len(p)-2 || p[4] != 1 ||
		binary.BigEndian.Uint32(p[8:]) != 0x030000 || binary.BigEndian.Uint32(p[12:]) != 0x030000+dvdBlocks-1 {
		t.Errorf("structure of %d bytes, % x", len(p), p[:16])
	}
	if p := dvd.good(structure(1), nil, 4096); !bytes.Equal(p, []byte{0, 6, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("copyright % x", p)
	}
	list := dvd.good(structure(0xff), nil, 4096)
	for q := list[4:]; len(q) > 0; q = q[4:] {
		if n := len(dvd.good(structure(q[0]), nil, 4096)); n != int(binary.BigEndian.Uint16(q[2:])) {
			t.Errorf("structure %02Xh has %d bytes, and is said to have % x", q[0], n, q[2:4])
		}
	}
	dvd.fails(structure(4), nil, 4096, field(7, 7))
}

// TestReadCD reads user data, and refuses all else.
func TestReadCD(t *testing.T) {
	device := block.NewMemory(cdBlocks * 2048)
	data := pattern(cdBlocks*2048, 9)
	if _, err := device.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, UnitConfig{Type: CDROM, Disk: newDisk(t, device)})
	read := func(kind byte, lba, n uint64, fields byte) []byte {
		c := with(with([]byte{0xbe, kind << 2, 11: 0}, 2, 4, lba), 6, 3, n)
		c[9] = fields
		return c
	}
	for _, kind := range []byte{0, 2} {
		if p := r.good(read(kind, 3, 5, 0x10), nil, 5*2048); !bytes.Equal(p, data[3*2048:8*2048]) {
			t.Error("other data")
		}
	}
	if p := r.good(read(0, 3, 5, 0), nil, 2048); len(p) != 0 {
		t.Errorf("%d bytes", len(p))
	}
	for _, kind := range []byte{1, 3, 4, 5} {
		r.fails(read(kind, 0, 1, 0x10), nil, 2048, Sense{Key: IllegalRequest, Code: CodeIllegalMode})
	}
	r.fails(read(6, 0, 1, 0x10), nil, 2048, field(1, 4))
	r.fails(read(0, 0, 1, 0xf8), nil, 2352, field(9, 7))
	r.fails(read(0, cdBlocks, 1, 0x10), nil, 2048, beyond(cdBlocks))
	if p := r.good(blocks(0xa8, 3, 5), nil, 5*2048); !bytes.Equal(p, data[3*2048:8*2048]) {
		t.Error("READ(12): other data")
	}
	for _, op := range []byte{0x2a, 0xaa, 0x0a} { // a drive that writes nothing does not know the commands (MMC-5 5.3.14)
		r.fails(blocks(op, 0, 1), make([]byte, 2048), 0, Sense{Key: IllegalRequest, Code: CodeInvalidOpcode}.PointTo(true, 0, -1))
	}
}

// TestGuestStarts does what the firmware and the kernel of a guest do with a drive, in their order: TEST UNIT READY
// until there is no unit attention, INQUIRY, READ CAPACITY, capabilities, events, and reading.
func TestGuestStarts(t *testing.T) {
	r := newCD(t)
	n := r.attach("guest")
	for range 3 {
		if s, _ := r.on(n, cdb(0, 0, 0, 0, 0, 0), nil, 0); s.Key != UnitAttention {
			break
		}
	}
	for _, c := range [][]byte{
		cdb(0, 0, 0, 0, 0, 0), cdb(0x12, 0, 0, 0, 36, 0), cdb(0x12, 1, 0, 0, 255, 0), cdb(0x12, 1, 0x83, 0, 255, 0),
		cdb(0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), cdb(0x1a, 0, 0x2a, 0, 128, 0), cdb(0x5a, 8, 0x2a, 0, 0, 0, 0, 0, 128, 0),
		cdb(0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 255, 0), cdb(0x46, 0, 0, 0, 0, 0, 0, 0, 8, 0), cdb(0x46, 2, 0, 0x20, 0, 0, 0, 0, 24, 0),
		cdb(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0), toc(0, 0, 0, 12), toc(2, 0, 1, 12), toc(2, 0, 0xaa, 12), cdb(0x43, 0, 0, 0, 0, 0, 0, 0, 12, 0x40),
		cdb(0x51, 0, 0, 0, 0, 0, 0, 0, 34, 0), cdb(0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0),
		cdb(0x1e, 0, 0, 0, 1, 0), blocks(0x28, 16, 1), cdb(0x1e, 0, 0, 0, 0, 0),
	} {
		if s, _ := r.on(n, c, nil, 4096); r.task.Status != Good {
			t.Errorf("% x: %v, %v", c, r.task.Status, s)
		}
	}
}
