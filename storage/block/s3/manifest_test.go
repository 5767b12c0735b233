package s3

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

const someID = "00112233445566778899aabbccddeeff"

func someManifest() manifest {
	return manifest{
		Format: 1, Disk: someID, Size: 1 << 40, Chunk: 4 << 20, Epoch: 3, Sequence: 9, Owner: "host, process 1 ab", Lease: 60,
		Journal: someID, Applied: 77, Floor: 2, Pages: map[int64]version{0: {1, 2}, 63: {3, 4}},
	}
}

// TestManifest writes manifests and reads them, and refuses what cannot be one.
func TestManifest(t *testing.T) {
	b, err := someManifest().encode()
	if err != nil {
		t.Fatal(err)
	}
	if m, err := decodeManifest(b); err != nil || !reflect.DeepEqual(m, someManifest()) {
		t.Errorf("%+v, %v", m, err)
	}
	for name, change := range map[string]func(m *manifest){
		"another format":               func(m *manifest) { m.Format = 2 },
		"a negative size":              func(m *manifest) { m.Size = -1 },
		"a size too large":             func(m *manifest) { m.Size = math.MaxInt64 },
		"no chunk":                     func(m *manifest) { m.Chunk = 0 },
		"a chunk of no power of two":   func(m *manifest) { m.Chunk = 5 << 20 },
		"a chunk too large":            func(m *manifest) { m.Chunk = 128 << 20 },
		"no id":                        func(m *manifest) { m.Disk = "" },
		"a journal of another form":    func(m *manifest) { m.Journal = "x" },
		"a negative lease":             func(m *manifest) { m.Lease = -1 },
		"a lease for ever":             func(m *manifest) { m.Lease = 1 << 40 },
		"a floor above the epoch":      func(m *manifest) { m.Floor = 4 },
		"a page beyond the end":        func(m *manifest) { m.Pages[64] = version{1, 1} },
		"a page before the beginning":  func(m *manifest) { m.Pages[-1] = version{1, 1} },
		"a page of no object":          func(m *manifest) { m.Pages[1] = version{} },
		"a page of an epoch to come":   func(m *manifest) { m.Pages[1] = version{4, 1} },
		"an owner that is a long tale": func(m *manifest) { m.Owner = strings.Repeat("x", 2000) },
	} {
		m := someManifest()
		change(&m)
		b, _ := m.encode()
		if _, err := decodeManifest(b); !errors.Is(err, errManifest) && !errors.Is(err, errFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzManifest reads anything as a manifest: what is taken can be written and read
// again, and names no page that is not there.
func FuzzManifest(f *testing.F) {
	b, _ := someManifest().encode()
	f.Add(b)
	f.Add([]byte(`{"format":1,"disk":"` + someID + `","size":0,"chunk":4096}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeManifest(b)
		if err != nil {
			return
		}
		again, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		if m2, err := decodeManifest(again); err != nil || m2.Size != m.Size || len(m2.Pages) != len(m.Pages) {
			t.Fatalf("%+v is read as %+v (%v)", m, m2, err)
		}
	})
}

// FuzzPage reads anything as a page of the index.
func FuzzPage(f *testing.F) {
	p := &page{}
	p.entries[7] = entry{version{1, 2}, 3}
	f.Add(p.encode(5), int64(5))
	f.Add([]byte(pageMagic), int64(0))
	f.Fuzz(func(t *testing.T, b []byte, number int64) {
		p, err := decodePage(b, number)
		if err != nil {
			return
		}
		again, err := decodePage(p.encode(number), number)
		if err != nil || again.used != p.used || again.entries != p.entries {
			t.Fatalf("a page is read as another one (%v)", err)
		}
	})
}

// TestPlan decides who may write.
func TestPlan(t *testing.T) {
	other := newID()
	var mine journalID
	for i := range mine {
		mine[i] = byte(i) * 0x11
	}
	type given struct {
		owner, journal string
		age            time.Duration
		known, records bool
		id             journalID
		disk           string
		takeOver       bool
	}
	for name, c := range map[string]struct {
		given given
		want  plan
		err   error
	}{
		"new":                            {given{disk: someID}, plan{format: true}, nil},
		"closed, its journal":            {given{journal: someID, known: true, id: mine, disk: someID}, plan{}, nil},
		"closed, an empty journal":       {given{journal: someID, known: true, id: other, disk: someID}, plan{format: true}, nil},
		"closed, another full journal":   {given{journal: someID, known: true, id: other, disk: someID, records: true}, plan{}, ErrJournal},
		"closed, that of another disk":   {given{journal: someID, known: true, id: mine, disk: other.String(), records: true}, plan{}, ErrJournal},
		"killed, its journal":            {given{owner: "a b", journal: someID, known: true, id: mine, disk: someID, records: true}, plan{replay: true}, nil},
		"killed, its journal, takeover":  {given{owner: "a b", journal: someID, known: true, id: mine, disk: someID, takeOver: true}, plan{replay: true}, nil},
		"alive, none":                    {given{owner: "a b", journal: someID, age: 59 * time.Second}, plan{}, ErrHeld},
		"alive, takeover":                {given{owner: "a b", journal: someID, age: 59 * time.Second, takeOver: true}, plan{}, ErrHeld},
		"alive without a journal":        {given{owner: "a b", age: 59 * time.Second}, plan{}, ErrHeld},
		"alive, an empty journal":        {given{owner: "a b", journal: someID, known: true, id: other, disk: someID}, plan{}, ErrHeld},
		"silent, its journal elsewhere":  {given{owner: "a b", journal: someID, age: 61 * time.Second}, plan{}, ErrNotClosed},
		"silent, taken over":             {given{owner: "a b", journal: someID, age: 61 * time.Second, takeOver: true}, plan{format: true}, nil},
		"silent without a journal":       {given{owner: "a b", age: 61 * time.Second}, plan{format: true}, nil},
		"taken over since, full journal": {given{owner: "a b", age: 61 * time.Second, known: true, id: mine, disk: someID, records: true, takeOver: true}, plan{}, ErrJournal},
	} {
		m := someManifest()
		m.Owner, m.Journal, m.Lease = c.given.owner, c.given.journal, 60
		f := found{manifest: m, age: c.given.age, journal: true, known: c.given.known, records: c.given.records,
			layout: layout{id: c.given.id, disk: c.given.disk}}
		if p, err := f.plan(c.given.takeOver); p != c.want && err == nil || !errors.Is(err, c.err) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

// A disk that is only read reads its manifest once; one that is written must be sure that
// it has the ETag of what it has read.
func TestManifestReads(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		m := newMemory()
		d := mustOpen(t, m, small())
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		reads := 0
		m.set(func(what, key string) error {
			if what == "get" && key == manifestKey("disk") {
				reads++
			}
			return nil
		}, nil)
		c := small()
		c.Create, c.ReadOnly = false, readOnly
		mustOpen(t, m, c)
		m.set(nil, nil)
		if want := map[bool]int{false: 2, true: 1}[readOnly]; reads != want {
			t.Errorf("read only %v: the manifest is read %d times, want %d", readOnly, reads, want)
		}
	}
}
