package imagestore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync/atomic"
	"time"
)

// An Upload says what is to be written.
type Upload struct {
	Name string // as CleanName returns it
	Size int64  // bytes; -1 if that is not known
	// Resume goes on with an upload that was interrupted, at Offset, which is at most
	// what the store has of it; without it, there must be none. Resume of what is not
	// there begins.
	Resume bool
	Offset int64
	// SHA256, in hexadecimal, is what the whole must have; empty if it is not known.
	SHA256 string
	// RemoveIncomplete removes the upload if it does not come to its end.
	RemoveIncomplete bool
}

// A Writer is an upload under way. One goroutine uses it. It ends with Close, always, and
// makes an image if Finish has succeeded before.
type Writer struct {
	store   *Store
	upload  Upload
	part    string
	dir     string // of uploads of the part
	journal *journal
	data    treeFile

	offset   int64     // where the next byte goes
	hole     int64     // so many bytes before offset are zeroes that are not written yet
	hash     hash.Hash // of all up to offset; nil if what came before is not known
	synced   int64     // where the last sync began
	syncing  chan error
	inSync   bool // syncing will answer
	finished bool
	gone     bool
	measured int64 // the size that was last compared with the quota
	err      error // the first one

	*progress
}

// progress is what others see of a transfer.
type progress struct {
	total, done atomic.Int64
	part        string
	last        time.Time // when others were told
}

func (p *progress) size() int64 { return max(p.total.Load(), 0) }

func (p *progress) transfer(name string) Transfer {
	return Transfer{Name: name, Size: p.total.Load(), Done: p.done.Load(), Active: true}
}

// Write begins an upload or goes on with one. Room for all of it is reserved. The errors
// are those of this package, or of the file system.
func (s *Store) Write(ctx context.Context, u Upload) (*Writer, error) {
	u.SHA256 = strings.ToLower(u.SHA256)
	if _, err := CleanName(u.Name); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.use(u.Name, writing); err != nil {
		return nil, err
	}
	w, err := s.begin(u)
	if err != nil {
		s.drop(u.Name, writing)
		return nil, err
	}
	st := <-s.state
	st.active[u.Name] = w.progress
	s.put(st, true)
	return w, nil
}

// begin makes the files of an upload, or opens them.
func (s *Store) begin(u Upload) (*Writer, error) {
	image, there := s.look(u.Name)
	switch {
	case image != nil && there == nil, there != nil && !u.Resume:
		return nil, ErrExists
	case s.static(u.Name):
		return nil, ErrStatic
	case s.tooLarge(u.Size):
		return nil, ErrTooLarge
	case u.Offset < 0 || u.Offset > 0 && there == nil:
		return nil, ErrOffset
	}
	part, room, err := s.partOf(u.Name)
	switch {
	case err != nil:
		return nil, err
	case !room.writable:
		return nil, ErrReadOnly
	}
	w := &Writer{store: s, upload: u, part: part, dir: s.uploadsIn(part), progress: &progress{part: part}, syncing: make(chan error, 1)}
	if there != nil {
		err = w.resume()
	} else {
		err = w.create()
	}
	if err != nil {
		return nil, full(err)
	}
	w.total.Store(w.upload.Size)
	w.done.Store(w.offset)
	w.synced = w.offset
	return w, nil
}

// create begins an upload: first the journal, durably, then the data.
func (w *Writer) create() error {
	u, t := &w.upload, w.store.tree
	if err := w.store.room(u.Name, max(u.Size, 0)); err != nil {
		return err
	}
	// That a directory of this name is there, or that a part of the name is a file, shows
	// now and not after hours.
	if err := mkdirs(t, path.Join(imagesDir, path.Dir(u.Name))); err != nil {
		return err
	}
	if info, err := t.Stat(path.Join(imagesDir, u.Name)); err == nil && info.IsDir() {
		return ErrExists
	}
	if err := mkdirs(t, w.dir); err != nil {
		return err
	}
	id := path.Join(w.dir, fileID(u.Name))
	removeUnlocked(t, id+".journal") // one without data, or that cannot be read, is nothing
	removeUnlocked(t, id+".data")
	j, err := createJournal(t, w.dir, journalHead{Name: u.Name, Size: u.Size, SHA256: u.SHA256, Started: time.Now()})
	if errors.Is(err, fs.ErrExist) {
		return ErrBusy // another process
	}
	if err != nil {
		return err
	}
	w.journal, w.hash = j, sha256.New()
	if w.data, err = t.Create(id + ".data"); err == nil {
		err = errors.Join(w.data.Lock(true), t.SyncDir(w.dir))
	}
	if err == nil && u.Size > 0 {
		err = w.data.Reserve(u.Size)
	}
	if err != nil {
		w.closeFiles()
		return errors.Join(err, w.store.dropUpload(w.dir, u.Name))
	}
	return nil
}

// resume opens an upload that was interrupted.
func (w *Writer) resume() error {
	u, t := &w.upload, w.store.tree
	j, err := openJournal(t, w.dir, u.Name)
	if err != nil {
		return err
	}
	w.journal = j
	fail := func(err error) error {
		w.closeFiles()
		return err
	}
	switch {
	case u.Offset > j.Offset:
		return fail(ErrOffset)
	case u.Size >= 0 && j.Size >= 0 && u.Size != j.Size:
		return fail(ErrSize)
	case u.SHA256 != "" && j.SHA256 != "" && u.SHA256 != j.SHA256:
		return fail(ErrChecksum)
	}
	if u.Size < 0 {
		u.Size = j.Size
	}
	if u.SHA256 == "" {
		u.SHA256 = j.SHA256
	}
	if w.data, err = t.Open(path.Join(w.dir, fileID(u.Name)+".data"), true); err != nil {
		return fail(err)
	}
	if u.Size > 0 {
		if err := w.data.Reserve(u.Size); err != nil {
			return fail(err)
		}
	}
	w.offset = u.Offset
	switch {
	case w.offset == 0:
		w.hash = sha256.New()
	case w.offset == j.Offset && j.Hash != nil:
		h := sha256.New()
		if h.(encoding.BinaryUnmarshaler).UnmarshalBinary(j.Hash) == nil {
			w.hash = h
		}
	}
	if w.offset < j.Offset { // what comes now may be other data
		if err := errors.Join(j.mark(w.markAt()), j.file.Sync()); err != nil {
			return fail(err)
		}
	}
	return nil
}

// zeroRun is the smallest run of zeroes, aligned to itself, that becomes a hole.
const zeroRun = 64 << 10

// Write takes the next bytes.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if w.upload.Size >= 0 && int64(len(p)) > w.upload.Size-w.offset {
		w.err = ErrSize
		return 0, w.err
	}
	if w.err = w.allowed(w.offset + int64(len(p))); w.err != nil {
		return 0, w.err
	}
	n := 0
	for n < len(p) && w.err == nil {
		piece := p[n:]
		if room := zeroRun - int(w.offset%zeroRun); len(piece) > room {
			piece = piece[:room]
		}
		w.err = w.piece(piece)
		if w.err == nil {
			n += len(piece)
		}
	}
	if w.hash != nil {
		w.hash.Write(p[:n])
	}
	w.done.Store(w.offset)
	if w.err == nil && w.offset-w.synced >= w.store.config.SyncEvery {
		w.err = w.bound()
	}
	if now := time.Now(); now.Sub(w.last) >= time.Second {
		w.last = now
		st := <-w.store.state
		w.store.put(st, true)
	}
	w.err = full(w.err)
	return n, w.err
}

// piece takes bytes that lie in one run.
func (w *Writer) piece(p []byte) error {
	if len(p) == zeroRun && isZero(p) {
		w.hole += zeroRun
		w.offset += zeroRun
		return nil
	}
	if err := w.punch(); err != nil {
		return err
	}
	n, err := w.data.WriteAt(p, w.offset)
	w.offset += int64(n)
	return err
}

// isZero says whether all bytes are zero.
func isZero(p []byte) bool {
	return len(p) == 0 || p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}

// punch has the zeroes that have gathered be in the file: as a hole if that can be.
func (w *Writer) punch() error {
	if w.hole == 0 {
		return nil
	}
	from := w.offset - w.hole
	err := w.data.Punch(from, w.hole)
	if errors.Is(err, errors.ErrUnsupported) {
		err = nil
		zeroes := make([]byte, zeroRun)
		for off := from; off < w.offset && err == nil; off += zeroRun {
			_, err = w.data.WriteAt(zeroes, off)
		}
	}
	if err == nil {
		w.hole = 0
	}
	return err
}

// bound begins to make durable what was written, while more comes in, after the sync
// before has ended.
func (w *Writer) bound() error {
	if err := errors.Join(w.waitSync(), w.punch()); err != nil {
		return err
	}
	w.inSync, w.synced = true, w.offset
	go func(m journalMark) { w.syncing <- w.keep(m) }(w.markAt())
	return nil
}

// keep makes durable what was written before the mark, and then the mark.
func (w *Writer) keep(m journalMark) error {
	if err := w.data.Sync(); err != nil {
		return err
	}
	if err := w.journal.mark(m); err != nil {
		return err
	}
	return w.journal.file.Sync()
}

// waitSync waits for what bound has begun, which has the journal meanwhile.
func (w *Writer) waitSync() error {
	if !w.inSync {
		return nil
	}
	w.inSync = false
	return <-w.syncing
}

// markAt is the mark of what has come so far.
func (w *Writer) markAt() journalMark {
	m := journalMark{Offset: w.offset}
	if w.hash != nil {
		m.Hash, _ = w.hash.(encoding.BinaryMarshaler).MarshalBinary()
	}
	return m
}

// settle makes all that has come durable.
func (w *Writer) settle() error {
	err := errors.Join(w.waitSync(), w.punch())
	if err != nil {
		return err
	}
	return w.keep(w.markAt())
}

// Finish makes an image of the upload: it is whole, durable, and verified, or there is an
// error and no image.
func (w *Writer) Finish() (err error) {
	defer func() { w.err = errors.Join(w.err, full(err)) }()
	switch {
	case w.err != nil:
		return w.err
	case w.upload.Size >= 0 && w.offset != w.upload.Size:
		return ErrSize
	}
	if w.upload.Size < 0 && w.store.config.Quota > 0 {
		if err := w.store.room(w.upload.Name, 0); err == ErrQuota {
			return err
		}
	}
	if err := errors.Join(w.waitSync(), w.punch()); err != nil {
		return full(err)
	}
	if err := errors.Join(w.data.Truncate(w.offset), w.data.Sync()); err != nil {
		return full(err)
	}
	sum, err := w.sum()
	if err != nil {
		return err
	}
	if w.upload.SHA256 != "" && sum != w.upload.SHA256 {
		w.upload.RemoveIncomplete = true // there is nothing to go on with
		return ErrChecksum
	}
	return full(w.place(sum))
}

// place moves the data to where images are.
func (w *Writer) place(sum string) error {
	t, name := w.store.tree, w.upload.Name
	id, file := path.Join(w.dir, fileID(name)), path.Join(imagesDir, name)
	if err := mkdirs(t, path.Dir(file)); err != nil {
		return err
	}
	switch err := t.Rename(id+".data", file); {
	case errors.Is(err, fs.ErrExist):
		return ErrExists
	case err != nil:
		return err
	}
	w.finished = true
	if err := errors.Join(t.SyncDir(path.Dir(file)), t.SyncDir(w.dir)); err != nil {
		return err
	}
	if err := t.Remove(id + ".journal"); err != nil {
		w.store.log.Warn("a journal cannot be removed", "image", name, "err", err)
	}
	if info, err := t.Stat(file); err == nil {
		w.store.note(metadata{Name: name, Size: info.Size(), Modified: info.ModTime(), Type: TypeOf(name, w.store.head(name)), SHA256: sum, Added: time.Now()}, true)
	}
	return nil
}

// sum is the checksum of the whole, from what was hashed on the way or by reading.
func (w *Writer) sum() (string, error) {
	if w.hash == nil {
		w.hash = sha256.New()
		if _, err := io.CopyBuffer(w.hash, io.NewSectionReader(w.data, 0, w.offset), make([]byte, 256<<10)); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(w.hash.Sum(nil)), nil
}

// Close ends the upload. What has come of one that is not finished is kept, durably,
// unless RemoveIncomplete was set.
func (w *Writer) Close() error {
	if w.gone {
		return nil
	}
	w.gone = true
	var err error
	switch {
	case w.finished:
	case w.upload.RemoveIncomplete:
		w.waitSync()
		err = w.store.dropUpload(w.dir, w.upload.Name)
		w.store.removeEmpty(path.Join(imagesDir, path.Dir(w.upload.Name)))
	default:
		err = full(w.settle())
	}
	w.closeFiles()
	st := <-w.store.state
	delete(st.active, w.upload.Name)
	w.store.put(st, true)
	w.store.drop(w.upload.Name, writing)
	return err
}

func (w *Writer) closeFiles() {
	if w.data != nil {
		w.data.Close()
	}
	w.journal.file.Close()
}

// Offset is how many bytes have come.
func (w *Writer) Offset() int64 { return w.offset }
