package imagestore

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// A volatileTree is a file system in memory that loses at a power cut what was not made
// durable: any of the changes of directories since their SyncDir, and any of the writes
// since a file's Sync, or parts of them.
type volatileTree struct {
	mutex   sync.Mutex
	root    *node
	pending []*change // of directories, the oldest first
	budget  int       // calls until the power goes; less than zero: never
	calls   int
	room    int64 // bytes that files may have in all; 0: any number
}

var errPower = errors.New("the power is gone")

// A node is a file or a directory.
type node struct {
	entries, durableEntries map[string]*node // of a directory
	data, durable           []byte           // of a file
	writes                  []write1         // since the last Sync
	locks, alone            int
	modified                time.Time
}

type write1 struct {
	off  int64
	data []byte // nil: the file was cut to off
}

// A change is one of the entries of directories; a rename is two steps of one change.
type change struct{ steps []step }

type step struct {
	dir  *node
	name string
	to   *node // nil: the entry is removed
}

func newVolatileTree() *volatileTree {
	return &volatileTree{root: newDir(), budget: -1}
}

func newDir() *node { return &node{entries: map[string]*node{}, durableEntries: map[string]*node{}} }

// enter takes the lock, and counts a call.
func (t *volatileTree) enter() error {
	t.mutex.Lock()
	t.calls++
	if t.budget == 0 {
		return errPower
	}
	if t.budget > 0 {
		t.budget--
	}
	return nil
}

// dead says whether the power is gone.
func (t *volatileTree) dead() bool {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.budget == 0
}

func (t *volatileTree) find(name string) (*node, error) {
	n := t.root
	for part := range strings.SplitSeq(name, "/") {
		if part == "." {
			continue
		}
		if n.entries == nil {
			return nil, fs.ErrNotExist
		}
		if n = n.entries[part]; n == nil {
			return nil, fs.ErrNotExist
		}
	}
	return n, nil
}

func (t *volatileTree) parent(name string) (*node, string, error) {
	d, err := t.find(path.Dir(name))
	if err == nil && d.entries == nil {
		err = fs.ErrNotExist
	}
	return d, path.Base(name), err
}

// change makes a change, which is volatile at first.
func (t *volatileTree) change(steps ...step) {
	for _, s := range steps {
		if s.to == nil {
			delete(s.dir.entries, s.name)
		} else {
			s.dir.entries[s.name] = s.to
		}
	}
	t.pending = append(t.pending, &change{steps})
}

func (t *volatileTree) Open(name string, write bool) (treeFile, error) {
	err := t.enter()
	defer t.mutex.Unlock()
	if err != nil {
		return nil, err
	}
	n, err := t.find(name)
	if err == nil && n.entries != nil {
		err = fs.ErrInvalid
	}
	if err != nil {
		return nil, err
	}
	return &volatileFile{tree: t, node: n, name: name}, nil
}

func (t *volatileTree) Create(name string) (treeFile, error) {
	err := t.enter()
	defer t.mutex.Unlock()
	if err != nil {
		return nil, err
	}
	d, base, err := t.parent(name)
	if err != nil {
		return nil, err
	}
	if d.entries[base] != nil {
		return nil, fs.ErrExist
	}
	n := &node{modified: time.Now()}
	t.change(step{d, base, n})
	return &volatileFile{tree: t, node: n, name: name}, nil
}

func (t *volatileTree) Mkdir(name string) error {
	err := t.enter()
	defer t.mutex.Unlock()
	if err != nil {
		return err
	}
	d, base, err := t.parent(name)
	if err != nil {
		return err
	}
	if d.entries[base] != nil {
		return fs.ErrExist
	}
	t.change(step{d, base, newDir()})
	return nil
}

func (t *volatileTree) Remove(name string) error {
	err := t.enter()
	defer t.mutex.Unlock()
	if err != nil {
		return err
	}
	d, base, err := t.parent(name)
	if err != nil {
		return err
	}
	n := d.entries[base]
	switch {
	case n == nil:
		return fs.ErrNotExist
	case len(n.entries) > 0:
		return fs.ErrInvalid
	}
	t.change(step{d, base, nil})
	return nil
}

func (t *volatileTree) Rename(from, to string) error  { return t.rename(from, to, false) }
func (t *volatileTree) Replace(from, to string) error { return t.rename(from, to, true) }

func (t *volatileTree) rename(from, to string, replace bool) error {
	err := t.enter()
	defer t.mutex.Unlock()
	if err != nil {
		return err
	}
	d, base, err := t.parent(from)
	if err != nil {
		return err
	}
	e, base2, err := t.parent(to)
	if err != nil {
		return err
	}
	n := d.entries[base]
	switch {
	case n == nil:
		return fs.ErrNotExist
	case e.entries[base2] != nil && !replace:
		return fs.ErrExist
	}
	t.change(step{d, base, nil}, step{e, base2, n})
	return nil
}

func (t *volatileTree) SyncDir(name string) error {
	err := t.enter()
	defer t.mutex.Unlock()
	if err != nil {
		return err
	}
	d, err := t.find(name)
	if err != nil {
		return err
	}
	// A change that has a step in d becomes durable, and with it what it builds on.
	t.settle(func(c *change) bool {
		return slices.ContainsFunc(c.steps, func(s step) bool { return s.dir == d })
	})
	return nil
}

// settle makes changes durable that want says, in their order, and all before them that
// concern the same names.
func (t *volatileTree) settle(want func(*change) bool) {
	take := make([]bool, len(t.pending))
	for i := len(t.pending) - 1; i >= 0; i-- {
		take[i] = want(t.pending[i])
		for j := i + 1; j < len(t.pending) && !take[i]; j++ {
			take[i] = take[j] && t.pending[i].touches(t.pending[j])
		}
	}
	var left []*change
	for i, c := range t.pending {
		if !take[i] {
			left = append(left, c)
			continue
		}
		for _, s := range c.steps {
			if s.to == nil {
				delete(s.dir.durableEntries, s.name)
			} else {
				s.dir.durableEntries[s.name] = s.to
			}
		}
	}
	t.pending = left
}

func (c *change) touches(o *change) bool {
	for _, a := range c.steps {
		for _, b := range o.steps {
			if a.dir == b.dir && a.name == b.name {
				return true
			}
		}
	}
	return false
}

// cut is what is there after the power has gone and come back.
func (t *volatileTree) cut(r *rand.Rand) *volatileTree {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	lucky := r.IntN(3) // 0: nothing that was volatile is there; 1: all; 2: some
	t.settle(func(*change) bool { return lucky == 1 || lucky == 2 && r.IntN(2) == 0 })
	t.pending = nil
	after := newVolatileTree()
	seen := map[*node]*node{}
	var restore func(n *node) *node
	restore = func(n *node) *node {
		if seen[n] != nil {
			return seen[n]
		}
		m := &node{modified: n.modified}
		seen[n] = m
		if n.entries != nil {
			m.entries, m.durableEntries = map[string]*node{}, map[string]*node{}
			for name, e := range n.durableEntries {
				f := restore(e)
				m.entries[name], m.durableEntries[name] = f, f
			}
			return m
		}
		m.durable = slices.Clone(n.durable)
		for _, w := range n.writes {
			if lucky == 0 || lucky == 2 && r.IntN(2) == 0 {
				continue
			}
			if lucky == 2 && len(w.data) > 1 && r.IntN(3) == 0 {
				w.data = w.data[:r.IntN(len(w.data)-1)+1] // torn
			}
			m.durable = w.apply(m.durable)
		}
		m.data = slices.Clone(m.durable)
		return m
	}
	after.root = restore(t.root)
	return after
}

func (w write1) apply(to []byte) []byte {
	if w.data == nil {
		if int64(len(to)) > w.off {
			return to[:w.off]
		}
		return append(to, make([]byte, w.off-int64(len(to)))...)
	}
	if end := w.off + int64(len(w.data)); int64(len(to)) < end {
		to = append(to, make([]byte, end-int64(len(to)))...)
	}
	copy(to[w.off:], w.data)
	return to
}

func (t *volatileTree) Stat(name string) (fs.FileInfo, error) {
	err := t.enter()
	defer t.mutex.Unlock()
	if err != nil {
		return nil, err
	}
	n, err := t.find(name)
	if err != nil {
		return nil, err
	}
	return n.info(path.Base(name)), nil
}

func (t *volatileTree) ReadDir(name string) ([]fs.DirEntry, error) {
	err := t.enter()
	defer t.mutex.Unlock()
	if err != nil {
		return nil, err
	}
	n, err := t.find(name)
	if err != nil {
		return nil, err
	}
	var all []fs.DirEntry
	for name, e := range n.entries {
		all = append(all, fs.FileInfoToDirEntry(e.info(name)))
	}
	return all, nil
}

func (t *volatileTree) Space(name string) (space, error) {
	if _, err := t.Stat(name); err != nil {
		return space{}, err
	}
	return space{place: place{device: 1}, size: 1 << 40, free: 1 << 39, writable: true}, nil
}

func (t *volatileTree) Close() error { return nil }

// nodeInfo is the fs.FileInfo of a node.
type nodeInfo struct {
	name string
	size int64
	mode fs.FileMode
	time time.Time
}

func (n *node) info(name string) nodeInfo {
	i := nodeInfo{name, int64(len(n.data)), 0o600, n.modified}
	if n.entries != nil {
		i.mode = fs.ModeDir | 0o700
	}
	return i
}

func (i nodeInfo) Name() string       { return i.name }
func (i nodeInfo) Size() int64        { return i.size }
func (i nodeInfo) Mode() fs.FileMode  { return i.mode }
func (i nodeInfo) ModTime() time.Time { return i.time }
func (i nodeInfo) IsDir() bool        { return i.mode.IsDir() }
func (i nodeInfo) Sys() any           { return nil }

// A volatileFile is an open file of a volatileTree.
type volatileFile struct {
	tree   *volatileTree
	node   *node
	name   string
	shared bool
	alone  bool
}

func (f *volatileFile) ReadAt(p []byte, off int64) (int, error) {
	err := f.tree.enter()
	defer f.tree.mutex.Unlock()
	if err != nil {
		return 0, err
	}
	if off >= int64(len(f.node.data)) {
		return 0, eof
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, eof
	}
	return n, nil
}

func (f *volatileFile) WriteAt(p []byte, off int64) (int, error) {
	err := f.tree.enter()
	defer f.tree.mutex.Unlock()
	if err != nil {
		return 0, err
	}
	f.change(write1{off, slices.Clone(p)})
	return len(p), nil
}

func (f *volatileFile) change(w write1) {
	f.node.writes = append(f.node.writes, w)
	f.node.data = w.apply(f.node.data)
	f.node.modified = time.Now()
}

func (f *volatileFile) Sync() error {
	err := f.tree.enter()
	defer f.tree.mutex.Unlock()
	if err != nil {
		return err
	}
	f.node.durable, f.node.writes = slices.Clone(f.node.data), nil
	return nil
}

func (f *volatileFile) Truncate(size int64) error {
	err := f.tree.enter()
	defer f.tree.mutex.Unlock()
	if err == nil {
		f.change(write1{size, nil})
	}
	return err
}

func (f *volatileFile) Reserve(size int64) error {
	err := f.tree.enter()
	defer f.tree.mutex.Unlock()
	switch {
	case err != nil:
		return err
	case f.tree.room > 0 && size > f.tree.room:
		return errNoSpace
	case int64(len(f.node.data)) < size:
		f.change(write1{size, nil})
	}
	return nil
}

func (f *volatileFile) Punch(off, length int64) error {
	err := f.tree.enter()
	defer f.tree.mutex.Unlock()
	if err == nil {
		size := int64(len(f.node.data))
		if end := min(off+length, size); end > off {
			f.change(write1{off, make([]byte, end-off)})
		}
	}
	return err
}

func (f *volatileFile) Stat() (fs.FileInfo, error) {
	err := f.tree.enter()
	defer f.tree.mutex.Unlock()
	if err != nil {
		return nil, err
	}
	return f.node.info(path.Base(f.name)), nil
}

func (f *volatileFile) Lock(alone bool) error {
	f.tree.mutex.Lock()
	defer f.tree.mutex.Unlock()
	switch {
	case f.node.alone > 0 || alone && f.node.locks > 0:
		return ErrBusy
	case alone:
		f.node.alone++
		f.alone = true
	default:
		f.node.locks++
		f.shared = true
	}
	return nil
}

func (f *volatileFile) Close() error {
	f.tree.mutex.Lock()
	defer f.tree.mutex.Unlock()
	if f.alone {
		f.node.alone--
	}
	if f.shared {
		f.node.locks--
	}
	f.alone, f.shared = false, false
	return nil
}
