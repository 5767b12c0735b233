package imagestore

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
)

// A tree is what a store needs of a file system, so that tests can put one in its place
// that loses at a power cut what was not made durable. Names are relative, with slashes;
// no name leads out of the tree.
//
// What is durable: the contents of a file after its Sync, the entries of a directory
// after SyncDir.
type tree interface {
	// Open opens a file: for reading, or for both.
	Open(name string, write bool) (treeFile, error)
	// Create makes a file; it fails with fs.ErrExist if there is one.
	Create(name string) (treeFile, error)
	Mkdir(name string) error // fs.ErrExist if it is there
	Remove(name string) error
	// Rename gives a file another name; it fails with fs.ErrExist if that is taken.
	Rename(from, to string) error
	// Replace is Rename that takes the place of a file.
	Replace(from, to string) error
	SyncDir(name string) error
	Stat(name string) (fs.FileInfo, error)
	ReadDir(name string) ([]fs.DirEntry, error)
	Space(name string) (space, error)
	Close() error
}

// A treeFile is an open file of a tree.
type treeFile interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
	Truncate(size int64) error
	Stat() (fs.FileInfo, error)
	// Reserve sees to it that the first size bytes can be written, and makes the file at
	// least so long; what is not written reads as zeroes. It does what it can.
	Reserve(size int64) error
	// Punch makes a range zeroes that take no room, if the file system can, and fails
	// with errors.ErrUnsupported otherwise.
	Punch(off, length int64) error
	// Lock keeps other holders out, of this process and others, until the file is
	// closed: all of them, or those who want it alone. It fails with ErrBusy.
	Lock(alone bool) error
	Close() error
}

// A space is the room of the file system that a directory is in.
type space struct {
	place      place
	size, free int64 // bytes
	writable   bool
}

// A place tells apart what files cannot be renamed between: file systems, parts of one, and
// mounts, also of directories of one file system.
type place struct{ device, mount uint64 }

// write makes a small file, at once for all who read it. If it is to be durable, its
// contents are after a power cut either the old or the new ones.
func write(t tree, name string, data []byte, durable bool) error {
	temporary := temporaryName(path.Dir(name))
	f, err := t.Create(temporary)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil && durable {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, t.Remove(temporary))
	}
	if err := t.Replace(temporary, name); err != nil || !durable {
		return err
	}
	return t.SyncDir(path.Dir(name))
}

// temporarySuffix is that of files that are not whole yet.
const temporarySuffix = ".new"

// temporaryName is the name of a new file in a directory.
func temporaryName(dir string) string { return path.Join(dir, "."+rand.Text()+temporarySuffix) }

// removeTemporary removes what a crash has left in a directory.
func removeTemporary(t tree, dir string) {
	entries, _ := t.ReadDir(dir)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), temporarySuffix) {
			t.Remove(path.Join(dir, e.Name()))
		}
	}
}

// readSmall reads a file of at most limit bytes.
func readSmall(t tree, name string, limit int64) ([]byte, error) {
	f, err := t.Open(name, false)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.NewSectionReader(f, 0, limit))
}

// mkdirs makes a directory and those above it, durably.
func mkdirs(t tree, name string) error {
	if name == "." {
		return nil
	}
	switch err := t.Mkdir(name); {
	case err == nil:
		return t.SyncDir(path.Dir(name))
	case errors.Is(err, fs.ErrExist):
		if info, err := t.Stat(name); err != nil || !info.IsDir() {
			return ErrExists // of a link that leads out of the tree, too
		}
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := mkdirs(t, path.Dir(name)); err != nil {
		return err
	}
	return mkdirs(t, name)
}
