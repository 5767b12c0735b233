package imagestore

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// A meddling tree has the store look at its files after each call that changes some, in the
// middle of an operation.
type meddling struct {
	tree
	t     *testing.T
	store atomic.Pointer[Store]
	busy  atomic.Bool // it looks already, and notes what it has found
}

func (m *meddling) look() {
	s := m.store.Load()
	if s == nil || !m.busy.CompareAndSwap(false, true) {
		return
	}
	defer m.busy.Store(false)
	if _, err := s.scan(false); err != nil {
		m.t.Error(err)
	}
}

func (m *meddling) Create(name string) (treeFile, error) {
	f, err := m.tree.Create(name)
	m.look()
	return f, err
}

func (m *meddling) Mkdir(name string) error {
	defer m.look()
	return m.tree.Mkdir(name)
}

func (m *meddling) Remove(name string) error {
	defer m.look()
	return m.tree.Remove(name)
}

func (m *meddling) Rename(from, to string) error {
	defer m.look()
	return m.tree.Rename(from, to)
}

func (m *meddling) Replace(from, to string) error {
	defer m.look()
	return m.tree.Replace(from, to)
}

// TestScanInTheMiddle has each operation be looked at after each of its steps: none of its
// files is taken for one that a crash has left.
func TestScanInTheMiddle(t *testing.T) {
	m := &meddling{tree: newVolatileTree(), t: t}
	s := open(t, Config{tree: m})
	m.store.Store(s)
	data := bytes.Repeat([]byte("data"), 1000)
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for range 3 {
		must("upload", put(t, s, Upload{Name: "dir/a.img", Size: int64(len(data))}, data))
		w, err := s.Write(context.Background(), Upload{Name: "b.img", Size: int64(len(data))})
		must("begin", err)
		_, err = w.Write(data[:100])
		must("break off", errors.Join(err, w.Close()))
		w, err = s.Write(context.Background(), Upload{Name: "b.img", Resume: true, Offset: 100, Size: -1})
		must("go on", err)
		_, err = w.Write(data[100:])
		must("end", errors.Join(err, w.Finish(), w.Close()))
		for _, name := range []string{"dir/a.img", "b.img"} {
			r, err := s.Read(name)
			must("read", err)
			got := make([]byte, len(data))
			_, err = r.ReadAt(got, 0)
			must("read", errors.Join(err, r.Close()))
			if !bytes.Equal(got, data) {
				t.Errorf("%s is another image", name)
			}
			must("remove", s.Remove(name))
		}
		w, err = s.Write(context.Background(), Upload{Name: "c.img", Size: 9, RemoveIncomplete: true})
		must("begin", err)
		must("give up", w.Close())
	}
	m.store.Store(nil)
}

// TestMovedByHand moves folders with images by hand, and changes files in them then: the
// store notices by the system's word alone.
func TestMovedByHand(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir, anyway: time.Hour})
	images := filepath.Join(dir, "images")
	at := func(name string) string { return filepath.Join(images, filepath.FromSlash(name)) }
	has := func(what string, names ...string) {
		t.Helper()
		late := time.After(time.Minute)
		for {
			state, changed := s.State()
			good := len(state.Images) == len(names)
			for _, n := range names {
				_, ok := state.Images[n]
				good = good && ok
			}
			if good {
				return
			}
			select {
			case <-changed:
			case <-late:
				t.Fatalf("%s: the store has %v, want %v", what, state.Images, names)
			}
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(at("a/sub"), 0o700))
	must(os.WriteFile(at("a/sub/x.img"), []byte("x"), 0o600))
	has("a file in a new folder", "a/sub/x.img")
	must(os.Rename(at("a"), at("b")))
	has("the folder has another name", "b/sub/x.img")
	must(os.WriteFile(at("b/sub/y.img"), []byte("y"), 0o600))
	has("a file in the folder", "b/sub/x.img", "b/sub/y.img")
	out := filepath.Join(dir, "out")
	must(os.Rename(at("b"), out))
	has("the folder is moved out")
	must(os.WriteFile(filepath.Join(out, "sub", "z.img"), []byte("z"), 0o600))
	must(os.Rename(out, at("c")))
	has("and in again", "c/sub/x.img", "c/sub/y.img", "c/sub/z.img")
	must(os.Remove(at("c/sub/x.img")))
	has("a file is removed there", "c/sub/y.img", "c/sub/z.img")
	must(os.Rename(at("c/sub/y.img"), at("y.img")))
	has("one is moved up", "y.img", "c/sub/z.img")
	must(os.RemoveAll(at("c")))
	must(os.Remove(at("y.img")))
	has("all is removed")
}

// TestManyByHand has more changes happen by hand than the system's queue holds, while the
// store does not listen: it knows then what is there.
func TestManyByHand(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "store-") // where changes are quick
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := open(t, Config{Dir: dir, anyway: time.Hour})
	if err := s.Refresh(); err != nil {
		t.Fatal(err)
	}
	st := <-s.state // whoever looks waits
	images := filepath.Join(dir, "images")
	for range 12000 { // two events each; Linux' queue has 16384
		if err := errors.Join(os.Mkdir(filepath.Join(images, "d"), 0o700), os.Remove(filepath.Join(images, "d"))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(images, "last.img"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.state <- st
	late := time.After(time.Minute)
	for {
		state, changed := s.State()
		if _, ok := state.Images["last.img"]; ok {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatal("the store has not noticed")
		}
	}
}
