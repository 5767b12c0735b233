package imagestore

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func open(t *testing.T, c Config) *Store {
	t.Helper()
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// put uploads an image.
func put(t *testing.T, s *Store, u Upload, data []byte) error {
	t.Helper()
	w, err := s.Write(t.Context(), u)
	if err != nil {
		return err
	}
	if _, err = w.Write(data); err == nil {
		err = w.Finish()
	}
	return errors.Join(err, w.Close())
}

// TestCleanName has names taken, made clean, and refused.
func TestCleanName(t *testing.T) {
	for name, want := range map[string]string{
		"a": "a", " a.iso ": "a.iso", "/a//b/": "a/b", "a / b": "a/b", "ä b.img": "ä b.img", "a..b": "a..b", "lost+found.img": "lost+found.img",
		strings.Repeat("x", 255): strings.Repeat("x", 255),
	} {
		if got, err := CleanName(name); err != nil || got != want {
			t.Errorf("%.40q is %.40q, %v", name, got, err)
		}
	}
	for _, name := range []string{
		"", " ", "/", ".", "..", "a/..", "a/../b", ".a", "a/.b", "lost+found", "a/lost+found/b", "a\x00b", "a\nb", "a\u202eb", "\xff",
		strings.Repeat("x", 256), strings.Repeat("a/", 16) + "b", strings.Repeat("x/", 5000),
	} {
		got, err := CleanName(name)
		var e *NameError
		if !errors.As(err, &e) || e.Why == "" || len(err.Error()) > 400 {
			t.Errorf("%.40q is taken as %q, %v", name, got, err)
		}
	}
}

// FuzzCleanName has any name stay inside of the store: what comes out is in its one form,
// and local.
func FuzzCleanName(f *testing.F) {
	for _, s := range []string{"a/b.iso", "../x", " /a/ .b", "lost+found", "\xff/\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		clean, err := CleanName(name)
		if err != nil {
			return
		}
		if again, err := CleanName(clean); err != nil || again != clean {
			t.Errorf("%q becomes %q, and that %q, %v", name, clean, again, err)
		}
		if !filepath.IsLocal(clean) || !fs.ValidPath(clean) || len(clean) > maxName {
			t.Errorf("%q becomes %q", name, clean)
		}
	})
}

// FuzzJournal has any file be read as the journal of an upload.
func FuzzJournal(f *testing.F) {
	f.Add([]byte(`{"name":"a","size":9}` + "\n" + `{"offset":5}` + "\n" + `{"off`))
	f.Add([]byte("\n\n{}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		tree := newVolatileTree()
		file, err := tree.Create("j")
		if err != nil {
			t.Fatal(err)
		}
		file.WriteAt(text, 0)
		j, err := readJournal(tree, "j")
		if err == nil && (j.Offset < 0 || j.Size < -1 || j.size > int64(len(text)) || !isName(j.Name)) {
			t.Errorf("%q is read as %+v", text, j)
		}
	})
}

// TestUses has each use of an image beside each other.
func TestUses(t *testing.T) {
	refused := map[[2]use]error{
		{reading, writing}: ErrBusy, {reading, changing}: ErrBusy, {reading, mountedRW}: ErrBusy,
		{mounted, writing}: ErrMounted, {mounted, changing}: ErrMounted, {mounted, mountedRW}: ErrMounted,
	}
	for second := range numUses {
		refused[[2]use{writing, second}], refused[[2]use{changing, second}], refused[[2]use{mountedRW, second}] = ErrBusy, ErrBusy, ErrMounted
	}
	for first := range numUses {
		for second := range numUses {
			u := uses{}
			if err := u.take("a", first); err != nil {
				t.Fatal(err)
			}
			if err := u.take("a", second); err != refused[[2]use{first, second}] {
				t.Errorf("use %d after %d: %v, want %v", second, first, err, refused[[2]use{first, second}])
			} else if err == nil {
				u.drop("a", second)
			}
			if err := u.take("b", second); err != nil {
				t.Errorf("another image: %v", err)
			}
			u.drop("b", second)
			if u.drop("a", first); len(u) != 0 {
				t.Errorf("notes are left: %v", u)
			}
		}
	}
}

// TestByHand puts files into a store and takes them away: it notices, and knows what they
// are.
func TestByHand(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir, Static: []string{"golden/*"}})
	until := func(what string, ok func(State) bool) {
		t.Helper()
		late := time.After(time.Minute)
		for {
			state, changed := s.State()
			if ok(state) {
				return
			}
			select {
			case <-changed:
			case <-late:
				t.Fatalf("%s: the store has %v", what, state.Images)
			}
		}
	}
	images := filepath.Join(dir, "images")
	iso := make([]byte, 40000)
	copy(iso[32769:], "CD001")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(filepath.Join(images, "cd.bin"), iso, 0o600))
	until("a file", func(s State) bool {
		i := s.Images["cd.bin"]
		return i.Type == "iso" && i.Size == 40000 && i.Complete && i.Writable
	})
	must(os.MkdirAll(filepath.Join(images, "golden"), 0o700))
	must(os.WriteFile(filepath.Join(images, "golden", "g.img"), []byte("QFI\xfb"), 0o400))
	until("a file in a new directory", func(s State) bool {
		i := s.Images["golden/g.img"]
		return i.Type == "qcow2" && !i.Removable && !i.Writable
	})
	must(os.WriteFile(filepath.Join(images, ".__cd.bin.incomplete"), nil, 0o600))
	until("PiKVM's mark", func(s State) bool { return !s.Images["cd.bin"].Complete })
	must(os.WriteFile(filepath.Join(images, ".hidden"), nil, 0o600))
	must(os.Remove(filepath.Join(images, "golden", "g.img")))
	until("a removal", func(s State) bool { return len(s.Images) == 1 })
	if r, err := s.Read("cd.bin"); err != nil {
		t.Errorf("reading an incomplete image: %v", err)
	} else {
		r.Close()
	}
	if _, err := s.Mount("cd.bin", false); !errors.Is(err, ErrPartial) {
		t.Errorf("mounting an incomplete image: %v", err)
	}
}

// TestTwoProcesses has two stores in one directory, as two processes have: one writer of an
// image, no removal of what the other uses.
func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, Config{Dir: dir}), open(t, Config{Dir: dir})
	w, err := a.Write(t.Context(), Upload{Name: "x.img", Size: 10})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(t.Context(), Upload{Name: "x.img", Size: 10, Resume: true}); !errors.Is(err, ErrBusy) {
		t.Errorf("a second writer: %v", err)
	}
	if err := b.Remove("x.img"); !errors.Is(err, ErrBusy) {
		t.Errorf("removing what the other writes: %v", err)
	}
	w.Write(make([]byte, 10))
	if err := errors.Join(w.Finish(), w.Close()); err != nil {
		t.Fatal(err)
	}
	if err := put(t, b, Upload{Name: "x.img", Size: 1}, []byte("y")); !errors.Is(err, ErrExists) {
		t.Errorf("uploading what the other has uploaded: %v", err)
	}
	m, err := a.Mount("x.img", true)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Remove("x.img"); !errors.Is(err, ErrBusy) {
		t.Errorf("removing what the other has mounted: %v", err)
	}
	if _, err := b.Mount("x.img", false); !errors.Is(err, ErrBusy) {
		t.Errorf("mounting what the other writes: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Remove("x.img"); err != nil {
		t.Errorf("at last: %v", err)
	}
}

// TestDownloads has an image be read twice at the same time: it is listed until the last of
// both has ended, whichever that is.
func TestDownloads(t *testing.T) {
	for _, first := range []int{0, 1} {
		s := open(t, Config{Dir: t.TempDir()})
		if err := put(t, s, Upload{Name: "a.img", Size: 3}, []byte("abc")); err != nil {
			t.Fatal(err)
		}
		var readers []*Reader
		for range 2 {
			r, err := s.Read("a.img")
			if err != nil {
				t.Fatal(err)
			}
			readers = append(readers, r)
		}
		for n, i := range []int{first, 1 - first} {
			if err := readers[i].Close(); err != nil {
				t.Error(err)
			}
			state, _ := s.State()
			if _, listed := state.Downloads["a.img"]; listed != (n == 0) {
				t.Errorf("after %d of 2 have ended, number %d first, it is listed: %v", n+1, first, listed)
			}
		}
	}
}

// TestFull has no room for an upload: nothing is left of it.
func TestFull(t *testing.T) {
	tree := newVolatileTree()
	tree.room = 1 << 20
	s := open(t, Config{tree: tree, Quota: 3 << 20, MaxImages: 5, MaxUploads: 2})
	if err := put(t, s, Upload{Name: "big.img", Size: 2 << 20}, nil); !errors.Is(err, ErrFull) {
		t.Errorf("2 MB where 1 MB is left: %v", err)
	}
	if err := put(t, s, Upload{Name: "huge.img", Size: 4 << 20}, nil); !errors.Is(err, ErrQuota) {
		t.Errorf("4 MB of a quota of 3 MB: %v", err)
	}
	if entries, _ := tree.ReadDir(uploadsDir); len(entries) != 0 {
		t.Errorf("%d files are left in uploads", len(entries))
	}
	for i, want := range []error{nil, nil, ErrTooMany} {
		w, err := s.Write(t.Context(), Upload{Name: string(rune('a' + i)), Size: 1})
		if !errors.Is(err, want) {
			t.Errorf("upload %d: %v", i, err)
		}
		if err == nil {
			defer w.Close()
		}
	}
}

// TestHoles has zeroes of an upload be holes, and what is beside them be there.
func TestHoles(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	data := make([]byte, 20*zeroRun+100)
	copy(data[3*zeroRun-5:], "beside")
	copy(data[10*zeroRun:], bytes.Repeat([]byte{1}, zeroRun))
	for _, size := range []int64{int64(len(data)), -1} {
		if err := put(t, s, Upload{Name: "h.img", Size: size}, data); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(filepath.Join(dir, "images", "h.img"))
		if err != nil || !bytes.Equal(file, data) {
			t.Errorf("size %d: %d bytes come back, %v", size, len(file), err)
		}
		if room, ok := allocated(filepath.Join(dir, "images", "h.img")); ok && room > 6*zeroRun {
			t.Errorf("size %d: %d bytes of room are taken", size, room)
		}
		if err := s.Remove("h.img"); err != nil {
			t.Fatal(err)
		}
	}
}
