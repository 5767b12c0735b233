package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A shown is what has been shown: the names of tests by the ids of
// requirements.
type shown map[string][]string

// A testEvent is a line of go test -json (go doc test2json).
type testEvent struct {
	Action, Package, Test, Output string
}

// runTests runs the tests of all packages, and returns what those that pass
// show. The results of go test may come from its cache. That a test fails which
// shows no requirement is for others to complain of.
func runTests(root string) (shown, error) {
	cmd := exec.Command("go", append([]string{"test", "-json", "-timeout", "10m"}, packages...)...)
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	results, err := readEvents(out)
	if err != nil {
		return nil, fmt.Errorf("go test: %w", err)
	}
	cmd.Wait() // whether something has failed is in the results
	if failed := results.brokenPackages(); len(failed) > 0 {
		return nil, fmt.Errorf("go test: %s", strings.Join(failed, ", "))
	}
	return results.shown(root)
}

// results is how tests ended, by package and name: "pass", "skip" or "fail".
// The name of a package itself is empty.
type results map[[2]string]string

func readEvents(in io.Reader) (results, error) {
	all := make(results)
	for d := json.NewDecoder(in); ; {
		var e testEvent
		if err := d.Decode(&e); err == io.EOF {
			return all, nil
		} else if err != nil {
			return all, err
		}
		if e.Package != "" && (e.Action == "pass" || e.Action == "skip" || e.Action == "fail") {
			all[[2]string{e.Package, e.Test}] = e.Action
		}
	}
}

// brokenPackages are those that failed though none of their tests did: they
// cannot be built, for one.
func (r results) brokenPackages() (broken []string) {
	failing := make(map[string]int)
	for test, result := range r {
		if result == "fail" {
			failing[test[0]]++
		}
	}
	for pkg, n := range failing {
		if n == 1 && r[[2]string{pkg, ""}] == "fail" {
			broken = append(broken, pkg)
		}
	}
	slices.Sort(broken)
	return broken
}

// shown joins the results with the ids. A test of which a part was skipped
// shows nothing, and one that fails is an error.
func (r results) shown(root string) (shown, error) {
	skipped := make(map[[2]string]bool)
	for test, result := range r {
		for name := test[1]; result == "skip" && name != ""; name = parent(name) {
			skipped[[2]string{test[0], name}] = true
		}
	}
	comments := make(map[string]map[string][]string)
	all := make(shown)
	for test, result := range r {
		pkg, name := test[0], test[1]
		dir := packageDir(pkg)
		if comments[dir] == nil {
			found, err := idsOfPackage(filepath.Join(root, dir))
			if err != nil {
				return nil, err
			}
			comments[dir] = found
		}
		_, last := filepath.Split(name)
		ids, err := idsOfName(last)
		if err != nil {
			return nil, err
		}
		ids = append(ids, comments[dir][name]...)
		if result == "fail" && len(ids) > 0 {
			return nil, fmt.Errorf("%s %s fails", pkg, name)
		}
		for _, id := range ids {
			if _, ok := all[id]; !ok {
				all[id] = nil // that it is unknown is seen, even if the test did not pass
			}
			if result == "pass" && !skipped[test] {
				all[id] = append(all[id], displayName(dir, name))
			}
		}
	}
	return all, nil
}

// parent is the test that a subtest is part of.
func parent(name string) string {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i]
	}
	return ""
}

// packageDir is the directory of a package of this module, from the root.
func packageDir(pkg string) string {
	parts := strings.SplitN(pkg, "/", 4) // host/owner/module/dir
	if len(parts) < 4 {
		return "."
	}
	return parts[3]
}

// displayName is how the table names a test: the directory of the package, and
// the name without the ids and words that it ends in.
func displayName(dir, name string) string {
	parts := strings.Split(name, "/")
	if last := parts[len(parts)-1]; idLike.MatchString(last) && !strings.Contains(last, "_") {
		parts = parts[:len(parts)-1]
	}
	name = strings.Join(parts, "/")
	if dir == "." {
		return name
	}
	return dir + "." + name
}
