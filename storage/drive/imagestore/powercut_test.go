package imagestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"syscall"
	"testing"
	"testing/synctest"
)

var (
	eof        = io.EOF
	errNoSpace = syscall.ENOSPC
)

// A history is what a user has been told, and what may be.
type history struct {
	r      *rand.Rand
	there  map[string][]byte // images whose upload was acknowledged
	maybe  map[string][]byte // what the last operation, which was cut, may have made of a name; nil: nothing
	unsure map[string]bool   // names that the cut operation concerned
	begun  map[string][]byte // uploads that were begun and not ended: what they are to be
	kept   map[string]int    // so much of them was acknowledged
}

// contents of some size, with runs of zeroes.
func (h *history) contents() []byte {
	data := make([]byte, h.r.IntN(5*zeroRun))
	for off := 0; off < len(data); off += zeroRun {
		if h.r.IntN(3) > 0 {
			for i := off; i < min(off+zeroRun, len(data)); i += 1 + h.r.IntN(100) {
				data[i] = byte(h.r.Uint32())
			}
		}
	}
	return data
}

// work does operations until one fails because the power is gone.
func (h *history) work(t *testing.T, tree *volatileTree, s *Store) {
	names := []string{"a.img", "dir/b.iso", "dir/sub/c.img"}
	for {
		name := names[h.r.IntN(len(names))]
		h.unsure = map[string]bool{name: true}
		var err error
		switch h.r.IntN(5) {
		case 0:
			h.maybe[name] = nil
			if err = s.Remove(name); err == nil {
				delete(h.there, name)
				delete(h.begun, name)
				delete(h.kept, name)
			}
		case 1, 2:
			err = h.upload(s, name, false)
		default:
			err = h.upload(s, name, true)
		}
		switch {
		case tree.dead():
			return
		case err == nil, errors.Is(err, ErrUnknown), errors.Is(err, ErrExists):
		default:
			t.Fatalf("%s: %v", name, err)
		}
	}
}

// upload begins an upload or goes on with one, and ends it or breaks it off.
func (h *history) upload(s *Store, name string, whole bool) error {
	if _, ok := h.there[name]; ok {
		return nil
	}
	u := Upload{Name: name}
	data, begun := h.begun[name]
	if begun {
		u.Resume = true
		u.Offset = int64(h.r.IntN(h.kept[name] + 1))
	} else {
		data = h.contents()
	}
	u.Size = int64(len(data))
	h.begun[name], h.maybe[name] = data, data
	if !begun {
		h.kept[name] = 0
	}
	w, err := s.Write(context.Background(), u)
	if err != nil {
		return err
	}
	h.kept[name] = min(h.kept[name], int(u.Offset))
	end := len(data)
	if !whole && end > int(u.Offset) {
		end = int(u.Offset) + h.r.IntN(end-int(u.Offset))
	}
	for off := int(u.Offset); off < end && err == nil; {
		n := min(1+h.r.IntN(2*zeroRun), end-off)
		_, err = w.Write(data[off : off+n])
		off += n
	}
	if err == nil && end == len(data) {
		if err = w.Finish(); err == nil {
			h.there[name] = data
		}
	}
	if e := w.Close(); e == nil && err == nil {
		if _, ok := h.there[name]; ok {
			delete(h.begun, name)
			delete(h.kept, name)
		} else {
			h.kept[name] = end
		}
	} else {
		err = errors.Join(err, e)
	}
	return err
}

// check compares a store after a cut with the history.
func (h *history) check(t *testing.T, tree *volatileTree, s *Store, what string) {
	t.Helper()
	state, _ := s.State()
	for name, data := range h.there {
		if h.unsure[name] {
			continue
		}
		if i := state.Images[name]; !i.Complete {
			t.Fatalf("%s: %s, which was acknowledged, is %+v", what, name, i)
		}
		h.same(t, tree, name, data, what)
	}
	for name, i := range state.Images {
		_, there := h.there[name]
		switch {
		case !i.Complete:
			h.goOn(t, tree, s, name, what)
		case there:
			h.same(t, tree, name, h.there[name], what)
		case h.unsure[name] && h.maybe[name] != nil:
			h.same(t, tree, name, h.maybe[name], what)
		default:
			t.Fatalf("%s: %s is there, and should not be", what, name)
		}
	}
	for name := range h.begun {
		if _, ok := state.Images[name]; !ok && !h.unsure[name] {
			t.Fatalf("%s: the upload of %s is lost", what, name)
		}
	}
	found := 0
	for _, dir := range []string{uploadsDir} {
		entries, err := tree.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		found += len(entries)
	}
	if want := 2 * len(state.Uploads); found > want {
		t.Fatalf("%s: %d files in uploads, of %d uploads", what, found, len(state.Uploads))
	}
}

func (h *history) same(t *testing.T, tree *volatileTree, name string, data []byte, what string) {
	t.Helper()
	n, err := tree.find(path.Join(imagesDir, name))
	if err != nil || !bytes.Equal(n.data, data) {
		t.Fatalf("%s: the contents of %s are others (%v)", what, name, err)
	}
}

// goOn sees that what an interrupted upload has is true, and ends the upload.
func (h *history) goOn(t *testing.T, tree *volatileTree, s *Store, name, what string) {
	t.Helper()
	state, _ := s.State()
	u := state.Uploads[name]
	data, begun := h.begun[name]
	if !begun {
		data = h.maybe[name]
	}
	if !h.unsure[name] && int(u.Done) != h.kept[name] {
		t.Fatalf("%s: %d bytes of %s are there, %d were acknowledged", what, u.Done, name, h.kept[name])
	}
	n, err := tree.find(path.Join(uploadsDir, fileID(name)+".data"))
	if err != nil || u.Done > int64(len(n.data)) || !bytes.Equal(n.data[:u.Done], data[:u.Done]) {
		t.Fatalf("%s: %s does not have the first %d bytes of what was sent (%v)", what, name, u.Done, err)
	}
	w, err := s.Write(context.Background(), Upload{Name: name, Size: int64(len(data)), Resume: true, Offset: u.Done})
	if err != nil {
		t.Fatalf("%s: going on with %s at %d: %v", what, name, u.Done, err)
	}
	_, err = w.Write(data[u.Done:])
	if err := errors.Join(err, w.Finish(), w.Close()); err != nil {
		t.Fatalf("%s: ending %s: %v", what, name, err)
	}
	h.same(t, tree, name, data, what)
	if image, _ := s.Image(name); image.SHA256 == "" || !image.Complete {
		t.Fatalf("%s: then %s is %+v", what, name, image)
	}
}

// TestPowerCut has the power go at any call of the file system while images are uploaded,
// broken off, gone on with and removed; any of what was volatile may be lost. What was
// acknowledged is there, what is there is whole, and uploads go on.
func TestPowerCut(t *testing.T) {
	runs := 400
	if testing.Short() {
		runs = 100
	}
	if os.Getenv("GONET_LONG") != "" {
		runs = 20000
	}
	for seed := range runs {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 1))
			h := &history{r: r, there: map[string][]byte{}, maybe: map[string][]byte{}, begun: map[string][]byte{}, kept: map[string]int{}}
			tree := newVolatileTree()
			s, err := Open(Config{tree: tree, SyncEvery: 2 * zeroRun})
			if err != nil {
				t.Fatal(err)
			}
			tree.mutex.Lock()
			tree.budget = r.IntN(400)
			tree.mutex.Unlock()
			func() {
				defer s.Close()
				h.work(t, tree, s)
			}()
			after := tree.cut(r)
			again, err := Open(Config{tree: after})
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			h.check(t, after, again, fmt.Sprintf("seed %d", seed))
		})
	}
}

// TestPowerCutNote has the power go while a drive notes what it holds: it is what it was or
// what it was to be.
func TestPowerCutNote(t *testing.T) {
	for seed := range 60 {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 2))
			tree := newVolatileTree()
			s, err := Open(Config{tree: tree})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.SetNote("d", []byte("old")); err != nil {
				t.Fatal(err)
			}
			tree.mutex.Lock()
			tree.budget = r.IntN(12)
			tree.mutex.Unlock()
			noted := s.SetNote("d", []byte("newer")) == nil
			s.Close()
			again, err := Open(Config{tree: tree.cut(r)})
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			if text, err := again.Note("d"); string(text) != "newer" && (noted || string(text) != "old") {
				t.Errorf("seed %d: noted %v, then it is %q, %v", seed, noted, text, err)
			}
		})
	}
}
