package imagestore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// A Reader is an image open for reading. It is an io.ReadSeeker for one goroutine.
type Reader struct {
	*io.SectionReader
	Image Image

	store *Store
	file  treeFile
	*progress
}

// Read opens an image to be downloaded. Nobody can write or remove it meanwhile.
func (s *Store) Read(name string) (*Reader, error) {
	if err := s.use(name, reading); err != nil {
		return nil, err
	}
	r, err := s.openReader(name)
	if err != nil {
		s.drop(name, reading)
		return nil, err
	}
	st := <-s.state
	st.downs[name] = append(st.downs[name], r.progress)
	s.put(st, true)
	return r, nil
}

func (s *Store) openReader(name string) (*Reader, error) {
	image, upload := s.look(name)
	switch {
	case image == nil:
		return nil, ErrUnknown
	case upload != nil:
		return nil, ErrPartial
	}
	f, err := s.tree.Open(path.Join(imagesDir, name), false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrUnknown
	}
	if err != nil {
		return nil, err
	}
	if err := f.Lock(false); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r := &Reader{SectionReader: io.NewSectionReader(f, 0, image.Size), Image: *image, store: s, file: f, progress: &progress{part: image.Part}}
	r.total.Store(image.Size)
	return r, nil
}

// Read reads on, and tells others how far it is.
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.SectionReader.Read(p)
	r.done.Add(int64(n))
	if now := time.Now(); now.Sub(r.last) >= time.Second {
		r.last = now
		st := <-r.store.state
		r.store.put(st, true)
	}
	return n, err
}

// Close ends the download.
func (r *Reader) Close() error {
	err := r.file.Close()
	r.store.drop(r.Image.Name, reading) // before others see that it has ended
	st := <-r.store.state
	name := r.Image.Name
	if i := slices.Index(st.downs[name], r.progress); i >= 0 {
		st.downs[name] = slices.Delete(st.downs[name], i, i+1)
	}
	if len(st.downs[name]) == 0 {
		delete(st.downs, name)
	}
	r.store.put(st, true)
	return err
}

// A Mount is an image in a drive.
type Mount struct {
	Image Image
	Disk  *block.Disk
	Path  string // of the file, for those who open it themselves

	store *Store
	use   use
}

// Mount opens an image for a drive. Nobody else can write or remove it until Close, nor
// read it if the drive may write.
func (s *Store) Mount(name string, write bool) (*Mount, error) {
	want := mounted
	if write {
		want = mountedRW
	}
	if err := s.use(name, want); err != nil {
		return nil, err
	}
	m, err := s.mount(name, write, want)
	if err != nil {
		s.drop(name, want)
		return nil, err
	}
	return m, nil
}

func (s *Store) mount(name string, write bool, want use) (*Mount, error) {
	image, upload := s.look(name)
	switch {
	case image == nil:
		return nil, ErrUnknown
	case upload != nil || !image.Complete:
		return nil, ErrPartial
	case write && !image.Writable:
		return nil, ErrReadOnly
	}
	if write {
		s.forget(name) // what is known of it will not hold
	}
	opened, err := s.tree.Open(path.Join(imagesDir, name), write)
	if err != nil {
		return nil, err
	}
	f, ok := opened.(osFile)
	if !ok {
		return nil, errors.Join(errors.ErrUnsupported, opened.Close())
	}
	dev, err := block.NewFile(f.File, block.FileConfig{ReadOnly: !write})
	if err != nil {
		return nil, errors.Join(ErrBusy, err, f.Close())
	}
	disk, err := block.NewDisk(dev)
	if err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	file := filepath.Join(s.config.Dir, imagesDir, filepath.FromSlash(name))
	if absolute, err := filepath.Abs(file); err == nil {
		file = absolute
	}
	return &Mount{Image: *image, Disk: disk, Path: file, store: s, use: want}, nil
}

// Close gives the image back. Whoever used the disk has ended before.
func (m *Mount) Close() error {
	err := m.Disk.Close()
	m.store.drop(m.Image.Name, m.use)
	return err
}

// Checksum finds out the SHA-256 of the image, which is then known to all. Progress is
// told how many bytes are done.
func (r *Reader) Checksum(ctx context.Context, progress func(done int64)) error {
	sum := sha256.New()
	buf := make([]byte, 256<<10)
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	for done := int64(0); ; {
		n, err := r.Read(buf)
		sum.Write(buf[:n])
		done += int64(n)
		progress(done)
		if err == io.EOF {
			break
		}
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
	}
	info, err := r.file.Stat()
	if err != nil {
		return err
	}
	r.store.note(metadata{Name: r.Image.Name, Size: info.Size(), Modified: info.ModTime(), Type: r.Image.Type, SHA256: hex.EncodeToString(sum.Sum(nil)), Added: time.Now()}, true)
	return nil
}
