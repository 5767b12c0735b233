package s3

import (
	"bytes"
	"errors"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
)

// TestVoidRecords has a power cut leave records behind a torn one. They are void when
// the disk was opened, whatever number comes next, and stay so.
func TestVoidRecords(t *testing.T) {
	m, c := newMemory(), small()
	c.Journal = journalOf(1 << 20)
	d := mustOpen(t, m, c)
	d.stop()
	put := func(area int, first uint64, torn bool, texts ...string) {
		var b []byte
		for i, text := range texts {
			b = record{1, recordWrite, first + uint64(i), int64(i) * 512, 9}.appendTo(b, d.layout.id, []byte(text))
		}
		if torn {
			b[len(b)-1]++
		}
		if _, err := c.Journal.WriteAt(b, d.layout.start(area)); err != nil {
			t.Fatal(err)
		}
	}
	put(0, 1, true, "record  1", "record  2") // of which the second is torn
	put(1, 3, false, "record  3", "record  4")
	for round := range 3 {
		d := mustOpen(t, m, c)
		p := make([]byte, 9)
		if _, err := d.ReadAt(p, 0); err != nil || string(p) != "record  1" {
			t.Errorf("round %d: %q, %v", round, p, err)
		}
		if _, err := d.ReadAt(p, 512); err != nil || !bytes.Equal(p, make([]byte, 9)) {
			t.Errorf("round %d: %q, %v", round, p, err)
		}
		d.stop()
	}
	// Numbers that follow each other make no difference: an epoch that is over is over.
	got, err := decodeManifest(m.objects[manifestKey(c.Name)].data)
	if err != nil {
		t.Fatal(err)
	}
	put(0, got.Applied+1, false, "record 10", "record 11")
	d2 := mustOpen(t, m, c)
	p := make([]byte, 9)
	if _, err := d2.ReadAt(p, 512); err != nil || !bytes.Equal(p, make([]byte, 9)) {
		t.Errorf("%q, %v", p, err)
	}
}

// A broken device fails writes, or Syncs, when it is told to.
type broken struct {
	block.Device
	write, sync error
}

func (b *broken) WriteAt(p []byte, off int64) (int, error) {
	if b.write != nil {
		return 0, b.write
	}
	return b.Device.WriteAt(p, off)
}

func (b *broken) Sync() error {
	if b.sync != nil {
		return b.sync
	}
	return b.Device.Sync()
}

// TestJournalFails has the journal fail: that is told, nothing is acknowledged any
// more, also when the journal seems to be well again, and what is in memory comes to
// the bucket.
func TestJournalFails(t *testing.T) {
	bad := errors.New("the drive is dead")
	for name, fail := range map[string]func(b *broken){
		"write": func(b *broken) { b.write = bad },
		"sync":  func(b *broken) { b.sync = bad },
	} {
		m, c := newMemory(), small()
		dev := &broken{Device: journalOf(1 << 20)}
		c.Journal = dev
		d := mustOpen(t, m, c)
		if _, err := d.WriteAtFUA([]byte("before"), 0); err != nil {
			t.Fatal(err)
		}
		fail(dev)
		_, err := d.WriteAtFUA([]byte("behind"), 100000)
		if !errors.Is(err, bad) {
			t.Errorf("%s: a write with FUA: %v", name, err)
		}
		dev.write, dev.sync = nil, nil
		if err := d.Sync(); !errors.Is(err, bad) {
			t.Errorf("%s: a Sync after that: %v", name, err)
		}
		p := make([]byte, 6)
		if _, err := d.ReadAt(p, 0); err != nil || string(p) != "before" {
			t.Errorf("%s: a read: %q, %v", name, p, err)
		}
		if err := d.Upload(t.Context(), nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		r := small()
		r.ReadOnly = true
		if _, err := mustOpen(t, m, r).ReadAt(p, 0); err != nil || string(p) != "before" {
			t.Errorf("%s: in the bucket is %q, %v", name, p, err)
		}
	}
}
