package guest

import (
	"bytes"
	"cmp"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A kernel is an image that QEMU boots, one that boot loaders do, and modules.
type kernel struct {
	image      string
	compressed string
	modules    map[string]string // paths by name, in which _ stands for - too
	builtin    map[string]bool
}

// findKernel has scripts/guest-kernel get the kernel that a package stands for. Where
// the caller does not name one GONET_GUEST_KERNEL may name a tree that has a kernel, as
// dpkg-deb -x makes it of a linux-image package.
func findKernel(name string) (*kernel, error) {
	tree := os.Getenv("GONET_GUEST_KERNEL")
	var args []string
	if name != "" {
		tree, args = "", []string{name}
	}
	if tree == "" {
		script, err := findScript("guest-kernel")
		if err != nil {
			return nil, err
		}
		var stderr bytes.Buffer
		cmd := exec.Command(script, args...)
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
		}
		tree = strings.TrimSpace(string(out))
	}
	return openKernel(tree)
}

// findScript looks for scripts of the repository, in or below which this program runs.
func findScript(name string) (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		script := filepath.Join(dir, "scripts", name)
		if _, err := os.Stat(script); err == nil {
			return script, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no scripts/%s above this directory", name)
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// openKernel looks for what a tree has.
func openKernel(tree string) (*kernel, error) {
	k := &kernel{modules: map[string]string{}, builtin: map[string]bool{}}
	err := filepath.WalkDir(tree, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch base := filepath.Base(path); {
		case strings.HasPrefix(base, "vmlinux"):
			k.image = path
		case strings.HasPrefix(base, "vmlinuz"):
			k.compressed = path
		case base == "modules.builtin":
			text, err := os.ReadFile(path)
			for _, line := range strings.Fields(string(text)) {
				k.builtin[moduleName(line)] = true
			}
			return err
		case strings.HasSuffix(base, ".ko"):
			k.modules[moduleName(path)] = path
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	k.image = cmp.Or(k.image, k.compressed)
	if k.image == "" || len(k.modules) == 0 {
		return nil, fmt.Errorf("%s has not a kernel and its modules", tree)
	}
	return k, nil
}

// moduleName is by what a module is known, whose file may have another name.
func moduleName(path string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(path), ".ko"), "-", "_")
}

// order returns the files of modules, after those that they need. What is built in is
// left out. A module may have parameters: "nbd nbds_max=2".
func (k *kernel) order(modules []string) (all []module, err error) {
	seen := map[string]bool{}
	var add func(name, parameters string) error
	add = func(name, parameters string) error {
		name = moduleName(name)
		if seen[name] || k.builtin[name] {
			return nil
		}
		seen[name] = true
		path, ok := k.modules[name]
		if !ok {
			return fmt.Errorf("the kernel has no module %s", name)
		}
		needs, err := needsOf(path)
		if err != nil {
			return err
		}
		for _, n := range needs {
			if err := add(n, ""); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		all = append(all, module{path, parameters})
		return nil
	}
	for _, m := range modules {
		name, parameters, _ := strings.Cut(m, " ")
		if err := add(name, parameters); err != nil {
			return nil, err
		}
	}
	return all, nil
}

type module struct{ path, parameters string }

// needsOf reads which modules the one in that file needs.
func needsOf(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	info := f.Section(".modinfo")
	if info == nil {
		return nil, fmt.Errorf("%s is no module of a kernel", path)
	}
	text, err := info.Data()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, field := range strings.Split(string(text), "\x00") {
		if needs, ok := strings.CutPrefix(field, "depends="); ok {
			return strings.FieldsFunc(needs, func(c rune) bool { return c == ',' }), nil
		}
	}
	return nil, nil
}
