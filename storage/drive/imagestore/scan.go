package imagestore

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
)

// scan reads what is in the store: it opens no image that it has looked into before. With
// clean it puts in order what a crash has left.
func (s *Store) scan(clean bool) (State, error) {
	found := State{Online: true, Images: map[string]Image{}, Parts: map[string]Part{}, Uploads: map[string]Transfer{}}
	root, err := s.tree.Space(imagesDir)
	if err != nil {
		return State{}, err
	}
	w := &walk{store: s, found: &found, clean: clean}
	if err := w.part("", root); err != nil {
		return State{}, err
	}
	return found, nil
}

// A walk is a scan under way.
type walk struct {
	store *Store
	found *State
	clean bool
	dirs  int
}

// maxDirs bounds the directories that a scan enters.
const maxDirs = 16384

// part reads a file system: uploads, then images, which win if there are both.
func (w *walk) part(name string, sp space) error {
	w.found.Parts[name] = Part{Size: sp.size, Free: sp.free, Writable: sp.writable}
	uploads, err := readUploads(w.store.tree, w.store.uploadsIn(name), w.clean)
	if err != nil && name == "" {
		return err
	}
	for _, j := range uploads {
		image, t := w.store.imageOfJournal(j, name, w.store.uploadsIn(name))
		w.found.Images[j.Name] = image
		w.found.Uploads[j.Name] = t
	}
	return w.dir(name, name, sp, 0)
}

// dir reads a directory below images/.
func (w *walk) dir(dir, part string, sp space, depth int) error {
	entries, err := w.store.tree.ReadDir(path.Join(imagesDir, dir))
	if err != nil {
		if dir == "" {
			return err
		}
		w.store.log.Warn("a directory of images cannot be read", "dir", dir, "err", err)
		return nil
	}
	if w.dirs++; w.dirs > maxDirs {
		return nil
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int {
		if a.Name() < b.Name() {
			return -1
		}
		return 1
	})
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if !isName(name) || len(w.found.Images) >= w.store.config.MaxImages {
			continue
		}
		info, err := w.store.tree.Stat(path.Join(imagesDir, name)) // follows links
		switch {
		case err != nil:
		case info.IsDir() && e.IsDir() && depth < maxNameDepth: // not links: they may go round
			w.enter(name, part, sp, depth+1)
		case info.Mode().IsRegular():
			w.found.Images[name] = w.store.imageOfFile(name, info, part, sp)
			delete(w.found.Uploads, name)
		}
	}
	return nil
}

// enter reads a directory that may be another file system.
func (w *walk) enter(dir, part string, above space, depth int) {
	sp, err := w.store.tree.Space(path.Join(imagesDir, dir))
	switch {
	case err != nil:
		w.store.log.Warn("a directory of images cannot be read", "dir", dir, "err", err)
	case sp.place != above.place:
		w.part(dir, sp)
	default:
		w.dir(dir, part, sp, depth)
	}
}

// uploadsIn is where uploads to a part are written: on its own file system, so that they
// can be renamed. Images may be on another than the rest of the store.
func (s *Store) uploadsIn(part string) string {
	if part == "" && !s.apart {
		return uploadsDir
	}
	return path.Join(imagesDir, part, ".uploads")
}

// partOf finds the part that an image is in, or would be, and its room.
func (s *Store) partOf(name string) (string, space, error) {
	root, err := s.tree.Space(imagesDir)
	if err != nil {
		return "", space{}, ErrOffline
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		sp, err := s.tree.Space(path.Join(imagesDir, dir))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", space{}, err
		}
		if sp.place == root.place {
			break
		}
		for up := path.Dir(dir); up != "."; up = path.Dir(up) {
			if a, err := s.tree.Space(path.Join(imagesDir, up)); err != nil || a.place != sp.place {
				break
			}
			dir = up
		}
		return dir, sp, nil
	}
	return "", root, nil
}

func (s *Store) uploadsOf(name string) string {
	part, _, _ := s.partOf(name)
	return s.uploadsIn(part)
}

// look reads one image, or upload, anew. Both are nil if there is none, upload if the
// image is whole.
func (s *Store) look(name string) (*Image, *Transfer) {
	part, sp, err := s.partOf(name)
	if err != nil {
		return nil, nil
	}
	if info, err := s.tree.Stat(path.Join(imagesDir, name)); err == nil {
		if !info.Mode().IsRegular() {
			return nil, nil
		}
		dir, err := s.tree.Space(path.Join(imagesDir, path.Dir(name)))
		if err == nil {
			sp = dir
		}
		i := s.imageOfFile(name, info, part, sp)
		return &i, nil
	}
	id := path.Join(s.uploadsIn(part), fileID(name))
	if _, err := s.tree.Stat(id + ".data"); err != nil {
		return nil, nil
	}
	j, err := readJournal(s.tree, id+".journal")
	if err != nil || j.Name != name {
		return nil, nil
	}
	i, t := s.imageOfJournal(j, part, s.uploadsIn(part))
	return &i, &t
}

// imageOfFile tells of a file in images/.
func (s *Store) imageOfFile(name string, info fs.FileInfo, part string, dir space) Image {
	i := Image{Name: name, Size: info.Size(), Modified: modified(info), Complete: true, Part: part}
	_, err := s.tree.Stat(markerOf(path.Join(imagesDir, name)))
	i.Complete = errors.Is(err, fs.ErrNotExist)
	static := s.static(name)
	i.Removable = dir.writable && !static
	i.Writable = i.Removable && info.Mode()&0o222 != 0 && !neverWritten(name)
	m := s.metadata(name, info)
	i.SHA256, i.Type = m.SHA256, m.Type
	return i
}

func (s *Store) imageOfJournal(j *journal, part, dir string) (Image, Transfer) {
	i := Image{Name: j.Name, Size: j.Size, Modified: j.Started.Round(0), Removable: true, Writable: !neverWritten(j.Name), Part: part, Type: "raw"}
	if i.Size < 0 {
		i.Size = j.Offset
	}
	if info, err := s.tree.Stat(path.Join(dir, fileID(j.Name)+".data")); err == nil {
		i.Modified = modified(info)
	}
	return i, Transfer{Name: j.Name, Size: j.Size, Done: j.Offset}
}

func (s *Store) static(name string) bool {
	return slices.ContainsFunc(s.config.Static, func(pattern string) bool {
		ok, _ := path.Match(pattern, name)
		return ok
	})
}

// head reads the first bytes of an image.
func (s *Store) head(name string) []byte {
	f, err := s.tree.Open(path.Join(imagesDir, name), false)
	if err != nil {
		return nil
	}
	defer f.Close()
	head := make([]byte, 32774)
	n, _ := io.ReadFull(io.NewSectionReader(f, 0, int64(len(head))), head)
	return head[:n]
}
