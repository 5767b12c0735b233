package guest

import (
	"fmt"
	"io"
	"path"
)

// Types of files, as stat(2) has them.
const (
	typeDir     = 0o040000
	typeFile    = 0o100000
	typeSymlink = 0o120000
	typeDevice  = 0o020000
)

// An archive is written in the form of cpio that Linux takes for its first file system:
// newc (Documentation/driver-api/early-userspace/buffer-format.rst).
type archive struct {
	w      io.Writer
	at     int64 // bytes so far
	inode  int
	have   map[string]bool
	failed error
}

func newArchive(w io.Writer) *archive { return &archive{w: w, have: map[string]bool{}} }

// dir adds a directory and those it is in, unless they are there.
func (a *archive) dir(name string) {
	if name == "." || name == "/" || name == "" || a.have[name] {
		return
	}
	a.dir(path.Dir(name))
	a.header(name, typeDir|0o755, 0, 0, 0)
}

// file adds a regular file.
func (a *archive) file(name string, mode int, content []byte) {
	a.dir(path.Dir(name))
	a.header(name, typeFile|mode, len(content), 0, 0)
	a.write(content)
}

// symlink adds a symbolic link.
func (a *archive) symlink(name, to string) {
	a.dir(path.Dir(name))
	a.header(name, typeSymlink|0o777, len(to), 0, 0)
	a.write([]byte(to))
}

// device adds a character special file.
func (a *archive) device(name string, mode, major, minor int) {
	a.dir(path.Dir(name))
	a.header(name, typeDevice|mode, 0, major, minor)
}

// close ends the archive.
func (a *archive) close() error {
	a.header("TRAILER!!!", 0, 0, 0, 0)
	return a.failed
}

func (a *archive) header(name string, mode, size, major, minor int) {
	a.have[name] = true
	a.inode++
	a.write(fmt.Appendf(nil, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		a.inode, mode, 0, 0, 1, 0, size, 0, 0, major, minor, len(name)+1, 0, name))
}

// write writes p, and zeroes up to a multiple of four bytes.
func (a *archive) write(p []byte) {
	for _, b := range [][]byte{p, make([]byte, -(a.at+int64(len(p)))&3)} {
		n, err := a.w.Write(b)
		a.at += int64(n)
		if a.failed == nil {
			a.failed = err
		}
	}
}
