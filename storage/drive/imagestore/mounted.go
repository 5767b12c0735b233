package imagestore

import (
	"errors"
	"io/fs"
	"path"
)

// Note is a small file of a drive's own in mounted/, where it keeps what it holds. It is
// after a power cut the old one or the new one. An empty one is removed.
func (s *Store) SetNote(drive string, text []byte) error {
	dir := path.Join(mountedDir, drive)
	if err := mkdirs(s.tree, dir); err != nil {
		return full(err)
	}
	return full(write(s.tree, path.Join(dir, "drive.json"), text, true))
}

// Note returns what SetNote has kept, nil if nothing was.
func (s *Store) Note(drive string) ([]byte, error) {
	removeTemporary(s.tree, path.Join(mountedDir, drive))
	text, err := readSmall(s.tree, path.Join(mountedDir, drive, "drive.json"), 1<<16)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}
