package drive_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
	"github.com/seed-012105e5/gonet/storage/iscsi"
	"github.com/seed-012105e5/gonet/storage/nbd"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// A bench has a drive that machines see by iSCSI and by NBD, and an initiator.
type bench struct {
	t      *testing.T
	dir    string
	store  *imagestore.Store
	drive  *drive.Drive
	client *iscsi.Client
	export string // URL of the export
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir()}
	exports, targets := new(nbd.Server), new(iscsi.Server)
	units, err := targets.Add(iscsi.Target{Name: "iqn.2026-01.org.example:drive"})
	if err != nil {
		t.Fatal(err)
	}
	lun, err := drive.NewLUN(units, 0, drive.LUNConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if b.store, err = imagestore.Open(imagestore.Config{Dir: b.dir}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.store.Close() })
	if b.drive, err = drive.New(drive.Config{Store: b.store, Backend: drive.Several(lun, drive.NewNBD(exports, "drive"))}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.drive.Close() })
	b.export = "nbd://" + serve(t, exports) + "/drive"
	b.client, err = new(iscsi.Dialer).Session(t.Context(), serve(t, targets), "iqn.2026-01.org.example:drive")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.client.Close() })
	return b
}

// put writes an image by hand.
func (b *bench) put(name string, data []byte) {
	b.t.Helper()
	if err := errors.Join(os.WriteFile(filepath.Join(b.dir, "images", name), data, 0o600), b.store.Refresh()); err != nil {
		b.t.Fatal(err)
	}
}

// connect selects an image and connects it.
func (b *bench) connect(name string, cdrom, rw, overlay bool) {
	b.t.Helper()
	err := b.drive.SetParams(b.t.Context(), drive.Params{Image: &name, CDROM: &cdrom, RW: &rw, Overlay: &overlay})
	if err == nil {
		err = b.drive.Connect(b.t.Context())
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// command does a SCSI command and returns its data and its sense; the sense code of none
// is zero.
func (b *bench) command(in int, cdb ...byte) ([]byte, scsi.Sense) {
	b.t.Helper()
	data := make([]byte, in)
	r, err := b.client.Command(b.t.Context(), 0, cdb, nil, data)
	if err != nil {
		b.t.Fatal(err)
	}
	var sense scsi.Sense
	if r.Status != scsi.Good {
		sense, _ = scsi.ParseSense(r.Sense)
	}
	return data[:r.N], sense
}

// until does TEST UNIT READY until its sense has the code; the unit attentions before it
// are passed.
func (b *bench) until(code scsi.Code) {
	b.t.Helper()
	for range 10 {
		_, sense := b.command(0, 0, 0, 0, 0, 0, 0)
		if sense.Code == code {
			return
		}
		if sense.Key != scsi.UnitAttention {
			b.t.Fatalf("the unit says %v, want %v", sense, code)
		}
	}
	b.t.Fatal("there is no end of unit attentions")
}

// TestLUN has an initiator see a medium come and go, lock it, eject it, and change its
// type.
func TestLUN(t *testing.T) {
	b := newBench(t)
	data := bytes.Repeat([]byte("0123456789abcdef"), 1024)
	b.put("a.iso", data)
	b.put("b.img", data)
	kind := func() byte {
		data, _ := b.command(36, 0x12, 0, 0, 0, 36, 0)
		return data[0]
	}
	if kind() != 5 {
		t.Error("the empty drive is not one for CD-ROMs")
	}
	b.until(scsi.CodeTrayClosed)
	b.connect("a.iso", true, true, false)
	if _, sense := b.command(0, 0, 0, 0, 0, 0, 0); sense.Code != scsi.CodeMediumChanged {
		t.Errorf("after the insertion the unit says %v", sense)
	}
	b.until(scsi.CodeNone)
	if got, sense := b.command(2048, 0x28, 0, 0, 0, 0, 1, 0, 0, 1, 0); sense.Code != 0 || !bytes.Equal(got, data[2048:4096]) {
		t.Errorf("block 1 is %.20q, %v", got, sense)
	}
	if state, _ := b.drive.State(); state.RW || !state.CDROM {
		t.Errorf("the state is %+v", state)
	}

	b.command(0, 0x1e, 0, 0, 0, 1, 0) // PREVENT ALLOW MEDIUM REMOVAL
	if err := b.drive.Disconnect(t.Context(), false); !errors.Is(err, drive.ErrLocked) {
		t.Errorf("disconnecting a locked medium: %v", err)
	}
	if state, _ := b.drive.State(); !state.Connected {
		t.Error("the drive is disconnected though the medium was locked")
	}
	if c, err := nbd.Dial(t.Context(), b.export); err != nil {
		t.Errorf("then the export is gone: %v", err)
	} else {
		c.Close()
	}
	if err := b.drive.Disconnect(t.Context(), true); err != nil {
		t.Errorf("disconnecting by force: %v", err)
	}
	if c, err := nbd.Dial(t.Context(), b.export); err == nil {
		t.Error("the export of an empty drive is there")
		c.Close()
	}
	b.command(0, 0x1e, 0, 0, 0, 0, 0)

	b.connect("a.iso", true, false, false)
	b.until(scsi.CodeNone)
	if _, sense := b.command(0, 0x1b, 0, 0, 0, 2, 0); sense.Code != 0 { // START STOP UNIT, eject
		t.Fatal(sense)
	}
	for {
		state, changed := b.drive.State()
		if !state.Connected {
			if state.Image == nil || state.Image.Name != "a.iso" {
				t.Errorf("after an ejection by the machine the state is %+v", state)
			}
			break
		}
		<-changed
	}
	if c, err := nbd.Dial(t.Context(), b.export); err == nil {
		t.Error("one way has ejected, and the other has not")
		c.Close()
	}
	if err := b.store.Remove("a.iso"); err != nil {
		t.Errorf("removing what was ejected: %v", err)
	}

	b.connect("b.img", false, true, false)
	if kind() != 0 {
		t.Error("a disk is not one")
	}
	b.until(scsi.CodeNone)
	if err := b.drive.Reset(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestOverlay has a machine write over an image that stays as it is, across a restart of
// the drive; then what it wrote is thrown away, and another time committed.
func TestOverlay(t *testing.T) {
	b := newBench(t)
	golden := bytes.Repeat([]byte("golden__"), 8192)
	b.put("golden.img", golden)
	write := func(text string) {
		t.Helper()
		c, err := nbd.Dial(t.Context(), b.export)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.WriteAt([]byte(text), 4096); err != nil {
			t.Fatal(err)
		}
		if err := c.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	read := func() string {
		t.Helper()
		c, err := nbd.Dial(t.Context(), b.export)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		p := make([]byte, 8)
		if _, err := c.ReadAt(p, 4096); err != nil {
			t.Fatal(err)
		}
		return string(p)
	}
	file := func() []byte {
		data, err := os.ReadFile(filepath.Join(b.dir, "images", "golden.img"))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	b.connect("golden.img", false, true, true)
	write("changed!")
	if err := b.drive.Disconnect(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file(), golden) {
		t.Error("the image has changed")
	}
	b.connect("golden.img", false, true, true)
	if got := read(); got != "changed!" {
		t.Errorf("what was written is %q after the next connection", got)
	}
	if err := b.store.DiscardOverlay("drive", "golden.img"); !errors.Is(err, imagestore.ErrMounted) {
		t.Errorf("throwing it away while it is connected: %v", err)
	}
	if err := b.drive.Disconnect(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := b.store.DiscardOverlay("drive", "golden.img"); err != nil {
		t.Fatal(err)
	}
	b.connect("golden.img", false, true, true)
	if got := read(); got != "golden__" {
		t.Errorf("after throwing it away it is %q", got)
	}
	write("commit!!")
	if err := b.drive.Disconnect(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := b.store.CommitOverlay(t.Context(), "drive", "golden.img", nil); err != nil {
		t.Fatal(err)
	}
	if want := append(append(bytes.Clone(golden[:4096]), "commit!!"...), golden[4104:]...); !bytes.Equal(file(), want) {
		t.Errorf("after the commit the image is not what the machine saw: %q", file()[4096:4104])
	}
	if err := b.store.CommitOverlay(t.Context(), "drive", "golden.img", nil); !errors.Is(err, imagestore.ErrUnknown) {
		t.Errorf("a second commit: %v", err)
	}
}
