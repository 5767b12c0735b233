package imagestore

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"path"
	"time"
)

// The places of a store. What a file is follows from where it is.
const (
	uploadsDir  = "uploads"  // being written, two files each: see journal
	imagesDir   = "images"   // whole
	mountedDir  = "mounted"  // what drives hold
	metadataDir = "metadata" // what was found out about images: see metadata
)

// Config says where a store is and how it works. Zero values mean what is said.
type Config struct {
	Dir string // made if it is not there

	// SyncEvery is after how many bytes an upload is made durable: 16 MiB. What comes
	// after the last bound is sent again when an upload goes on after a power cut.
	SyncEvery int64
	Quota     int64 // bytes that images and uploads may have in all; no limit
	MaxSize   int64 // bytes that one image may have; no limit but that of the file system

	MaxImages  int // images that are listed, and that may be: 4096
	MaxUploads int // uploads that have not ended: 256

	// Static are patterns, as in path.Match, of images that nobody may remove or write.
	Static []string

	Log *slog.Logger // what goes wrong in the background; nowhere if nil

	// For tests.
	tree   tree          // in place of Dir
	anyway time.Duration // in place of watchAnyway
}

// A Store is a folder of images. Its methods may be called at the same time.
type Store struct {
	config Config
	tree   tree
	log    *slog.Logger
	apart  bool        // images/ is another file system than uploads/
	state  chan *state // holds the state while nobody does
	stop   context.CancelFunc
	done   chan struct{} // closed when the watcher has ended
	rescan chan struct{} // of capacity one: asks the watcher to look
}

// A state is what a store knows; whoever takes it from Store.state owns it, does not wait
// meanwhile, and puts it back.
type state struct {
	State
	uses    uses
	active  map[string]*progress   // uploads by image
	downs   map[string][]*progress // downloads by image
	version uint64                 // counts changes of State.Images that came from operations
	changed chan struct{}          // closed at the next change
	closed  bool
}

// ErrClosed says that the store is closed.
var ErrClosed = errors.New("imagestore: the store is closed")

// Open opens a store, or makes one. What a crash has left is put in order.
func Open(c Config) (*Store, error) {
	if c.SyncEvery <= 0 {
		c.SyncEvery = 16 << 20
	}
	if c.MaxImages <= 0 {
		c.MaxImages = 4096
	}
	if c.MaxUploads <= 0 {
		c.MaxUploads = 256
	}
	if c.anyway <= 0 {
		c.anyway = watchAnyway
	}
	s := &Store{config: c, tree: c.tree, log: c.Log, state: make(chan *state, 1), done: make(chan struct{}), rescan: make(chan struct{}, 1)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.tree == nil {
		t, err := openTree(c.Dir)
		if err != nil {
			return nil, err
		}
		s.tree = t
	}
	for _, dir := range []string{uploadsDir, imagesDir, mountedDir, metadataDir} {
		if err := mkdirs(s.tree, dir); err != nil {
			return nil, errors.Join(err, s.tree.Close())
		}
	}
	removeTemporary(s.tree, metadataDir)
	images, err := s.tree.Space(imagesDir)
	uploads, err2 := s.tree.Space(uploadsDir)
	if err := errors.Join(err, err2); err != nil {
		return nil, errors.Join(err, s.tree.Close())
	}
	s.apart = images.place != uploads.place
	st := &state{uses: uses{}, active: map[string]*progress{}, downs: map[string][]*progress{}, changed: make(chan struct{})}
	first, err := s.scan(true)
	if err != nil {
		return nil, errors.Join(err, s.tree.Close())
	}
	st.State = first
	s.state <- st
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go s.watch(ctx)
	return s, nil
}

// Close ends the watching. Uploads and downloads that are open fail from now on.
func (s *Store) Close() error {
	st := <-s.state
	was := st.closed
	st.closed = true
	s.put(st, true)
	if was {
		return nil
	}
	s.stop()
	<-s.done
	return s.tree.Close()
}

// put gives the state back.
func (s *Store) put(st *state, changed bool) {
	if changed {
		close(st.changed)
		st.changed = make(chan struct{})
	}
	s.state <- st
}

// State returns a picture of the store, and a channel that is closed when there is
// another.
func (s *Store) State() (State, <-chan struct{}) {
	st := <-s.state
	defer s.put(st, false)
	picture := st.State
	picture.Images = maps.Clone(picture.Images)
	picture.Parts = maps.Clone(picture.Parts)
	picture.Uploads = maps.Clone(picture.Uploads)
	for name, p := range st.active {
		picture.Uploads[name] = p.transfer(name)
		i := picture.Images[name]
		picture.Images[name] = Image{Name: name, Size: p.size(), Modified: i.Modified, Removable: true, Writable: !neverWritten(name), Part: p.part, Type: "raw"}
	}
	picture.Downloads = map[string]Transfer{}
	for name, all := range st.downs {
		picture.Downloads[name] = all[len(all)-1].transfer(name)
	}
	return picture, st.changed
}

// Image looks up an image, of the form that CleanName has, complete or not.
func (s *Store) Image(name string) (Image, error) {
	st := <-s.state
	defer s.put(st, false)
	if !st.Online {
		return Image{}, ErrOffline
	}
	if i, ok := st.Images[name]; ok {
		return i, nil
	}
	return Image{}, ErrUnknown
}

// Refresh has the store look at all its files again; the watcher does that by itself
// where the system tells of changes.
func (s *Store) Refresh() error {
	for try := 0; ; try++ {
		st := <-s.state
		version, closed := st.version, st.closed
		s.put(st, false)
		if closed {
			return ErrClosed
		}
		found, err := s.scan(false)
		if err != nil {
			found = State{Images: map[string]Image{}, Parts: map[string]Part{}, Uploads: map[string]Transfer{}}
		}
		st = <-s.state
		if st.version != version && try < 10 { // an operation ended meanwhile
			s.put(st, false)
			continue
		}
		changed := !st.State.equal(&found)
		st.State = found
		s.put(st, changed)
		return err
	}
}

func (a *State) equal(b *State) bool {
	return a.Online == b.Online && maps.Equal(a.Images, b.Images) && maps.Equal(a.Parts, b.Parts) && maps.Equal(a.Uploads, b.Uploads)
}

// use takes a use of an image.
func (s *Store) use(name string, want use) error {
	st := <-s.state
	defer s.put(st, false)
	switch {
	case st.closed:
		return ErrClosed
	case !st.Online:
		return ErrOffline
	}
	return st.uses.take(name, want)
}

// drop gives a use back, and has the listing show what the operation has changed.
func (s *Store) drop(name string, was use) {
	image, upload := s.look(name)
	st := <-s.state
	st.uses.drop(name, was)
	st.version++
	delete(st.Images, name)
	delete(st.Uploads, name)
	if image != nil {
		st.Images[name] = *image
	}
	if upload != nil {
		st.Uploads[name] = *upload
	}
	s.put(st, true)
	s.nudge() // parts have another size
}

// nudge asks the watcher to look.
func (s *Store) nudge() {
	select {
	case s.rescan <- struct{}{}:
	default:
	}
}

// Remove removes an image, or what there is of an upload.
func (s *Store) Remove(name string) error {
	if err := s.use(name, changing); err != nil {
		return err
	}
	defer s.drop(name, changing)
	image, upload := s.look(name)
	switch {
	case image == nil:
		return ErrUnknown
	case !image.Removable:
		return ErrStatic
	case upload != nil:
		return s.removeUpload(name)
	}
	return s.removeImage(name)
}

func (s *Store) removeImage(name string) error {
	file := path.Join(imagesDir, name)
	f, err := s.tree.Open(file, true)
	if errors.Is(err, fs.ErrPermission) {
		f, err = s.tree.Open(file, false)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return ErrUnknown
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Lock(true); err != nil {
		return err
	}
	if err := s.tree.Remove(file); err != nil {
		return err
	}
	if err := s.tree.Remove(markerOf(file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err = s.tree.SyncDir(path.Dir(file))
	s.forget(name)
	s.dropAllOverlays(name)
	s.removeEmpty(path.Dir(file))
	return err
}

// removeEmpty removes directories below images/ that have become empty. That they come
// back after a power cut does no harm.
func (s *Store) removeEmpty(dir string) {
	for ; dir != imagesDir && dir != "."; dir = path.Dir(dir) {
		if s.tree.Remove(dir) != nil {
			return
		}
	}
}

// removeUpload removes an upload that nobody is at work on: the data first, since a
// journal alone is nothing.
func (s *Store) removeUpload(name string) error {
	dir := s.uploadsOf(name)
	j, err := openJournal(s.tree, dir, name)
	if err != nil {
		return err
	}
	defer j.file.Close()
	return s.dropUpload(dir, name)
}

func (s *Store) dropUpload(dir, name string) error {
	id := path.Join(dir, fileID(name))
	err := s.tree.Remove(id + ".data")
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, s.tree.SyncDir(dir), s.tree.Remove(id+".journal"))
}

// markerOf is the file that PiKVM puts beside an image while it is not complete. It is
// read, and not written.
func markerOf(file string) string {
	return path.Join(path.Dir(file), ".__"+path.Base(file)+".incomplete")
}

// modified of a file, without the monotonic clock, so that pictures can be compared.
func modified(info fs.FileInfo) time.Time { return info.ModTime().Round(0) }
