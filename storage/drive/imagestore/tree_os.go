package imagestore

import (
	"io/fs"
	"os"
	"path/filepath"
)

// osTree is a directory of the system's. Symbolic links that lead out of it are not
// followed: that is os.Root's promise.
type osTree struct{ root *os.Root }

func openTree(dir string) (*osTree, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &osTree{root}, nil
}

func (t *osTree) Open(name string, write bool) (treeFile, error) {
	flag := os.O_RDONLY
	if write {
		flag = os.O_RDWR
	}
	return t.open(name, flag|nonBlocking) // someone may have put a FIFO there
}

func (t *osTree) Create(name string) (treeFile, error) {
	return t.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (t *osTree) open(name string, flag int) (treeFile, error) {
	f, err := t.root.OpenFile(filepath.FromSlash(name), flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (t *osTree) Mkdir(name string) error  { return t.root.Mkdir(filepath.FromSlash(name), 0o700) }
func (t *osTree) Remove(name string) error { return t.root.Remove(filepath.FromSlash(name)) }

func (t *osTree) Replace(from, to string) error {
	return t.root.Rename(filepath.FromSlash(from), filepath.FromSlash(to))
}

func (t *osTree) Stat(name string) (fs.FileInfo, error) {
	return t.root.Stat(filepath.FromSlash(name))
}

func (t *osTree) ReadDir(name string) ([]fs.DirEntry, error) {
	f, err := t.root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

func (t *osTree) Close() error { return t.root.Close() }

// osFile is a file of an osTree.
type osFile struct{ *os.File }
