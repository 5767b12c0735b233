package guest

import (
	"bufio"
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// A plan is what the guest's first process reads, from /plan.
type plan struct {
	Job     string
	Args    []string
	Modules []plannedModule
	Network bool
}

type plannedModule struct{ Path, Parameters string }

// writeInitrd writes the guest's first file system: this program as /init, modules,
// programs with the shared objects they need, and files.
func writeInitrd(name string, k *kernel, c *Config) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	b := builder{archive: newArchive(w)}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	p := plan{Job: c.Job, Args: c.Args, Network: c.Network}
	modules, err := k.order(c.modules())
	if err != nil {
		return err
	}
	for _, m := range modules {
		to := path.Join("lib/modules", filepath.Base(m.path))
		p.Modules = append(p.Modules, plannedModule{"/" + to, m.parameters})
		b.copy(to, m.path, 0o644)
	}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	b.program("init", self)
	for _, program := range c.Programs {
		b.program(path.Join("bin", filepath.Base(program)), program)
	}
	for to, from := range c.Files {
		b.copy(strings.TrimPrefix(to, "/"), from, 0o755)
	}
	for _, dir := range []string{"dev", "proc", "sys", "tmp", "mnt", "run", "etc", "var"} {
		b.archive.dir(dir)
	}
	b.archive.file("etc/mtab", 0o644, nil)
	b.archive.file("plan", 0o644, text)
	// The kernel opens it for the first process, before anything is mounted.
	b.archive.device("dev/console", 0o600, 5, 1)
	if b.failed != nil {
		return b.failed
	}
	if err := b.archive.close(); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// A builder copies files into an archive.
type builder struct {
	archive *archive
	failed  error
}

func (b *builder) copy(to, from string, mode int) {
	if b.archive.have[to] || b.failed != nil {
		return
	}
	content, err := os.ReadFile(from)
	if err != nil {
		b.failed = err
		return
	}
	b.archive.file(to, mode, content)
}

// program copies a program, its interpreter (the dynamic linker), and the shared
// objects that it needs.
func (b *builder) program(to, from string) {
	if b.failed != nil {
		return
	}
	b.copy(to, from, 0o755)
	if err := b.needed(from); err != nil {
		b.failed = fmt.Errorf("%s: %w", from, err)
	}
}

// libraries are where shared objects are, in Debian and where else they may be.
var libraries = []string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"}

func (b *builder) needed(from string) error {
	f, err := elf.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		name := make([]byte, p.Filesz)
		if _, err := p.ReadAt(name, 0); err != nil {
			return err
		}
		interpreter := strings.TrimRight(string(name), "\x00")
		b.copy(strings.TrimPrefix(interpreter, "/"), interpreter, 0o755)
	}
	names, err := f.ImportedLibraries()
	if err != nil {
		return err
	}
	for _, name := range names {
		to := path.Join("lib/x86_64-linux-gnu", name)
		if b.archive.have[to] {
			continue
		}
		from, err := findLibrary(name, append(searchPaths(f, from), libraries...))
		if err != nil {
			return err
		}
		b.copy(to, from, 0o755)
		if err := b.needed(from); err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
	}
	return b.failed
}

// searchPaths are where the object f, which is the file from, has its libraries looked
// for: those of a package that are nobody else's.
func searchPaths(f *elf.File, from string) (dirs []string) {
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		values, _ := f.DynString(tag)
		for _, v := range values {
			for _, dir := range filepath.SplitList(v) {
				dirs = append(dirs, strings.NewReplacer("$ORIGIN", filepath.Dir(from), "${ORIGIN}", filepath.Dir(from)).Replace(dir))
			}
		}
	}
	return dirs
}

func findLibrary(name string, dirs []string) (string, error) {
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no shared object %s", name)
}
