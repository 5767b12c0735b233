package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// A requirement is one thing that an RFC asks for.
type requirement struct {
	id, level, text string
	reason          string // of a verdict that no test can give: "does not arise: …" or, below a MUST, "not met: …"
	tests           []string
}

// must says whether nothing but meeting it will do.
func (r *requirement) must() bool { return strings.HasPrefix(r.level, "MUST") }

// verdict is met, not met, or why neither.
func (r *requirement) verdict() string {
	switch {
	case r.reason != "":
		return r.reason
	case len(r.tests) > 0:
		return "met"
	}
	return "not met"
}

// A group is the requirements of one RFC, or of a part of one.
type group struct {
	title        string
	requirements []requirement
}

// readRequirements reads the files of dir in the order of their names. A line
// that begins with # begins a group, and the others are
//
//	id | MUST, SHOULD, … | what is required | does not arise: why
//
// with the last field where the tests do not decide; below a MUST it may also be
// "not met: why", of what is met in part, or not by intention.
func readRequirements(dir fs.FS) (groups []group, err error) {
	names, err := fs.Glob(dir, "*.txt")
	if err != nil {
		return nil, err
	}
	known := make(map[string]bool)
	for _, name := range names {
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		in := bufio.NewScanner(bytes.NewReader(text))
		for n := 1; in.Scan(); n++ {
			line := strings.TrimSpace(in.Text())
			if title, ok := strings.CutPrefix(line, "#"); ok {
				groups = append(groups, group{title: strings.TrimSpace(title)})
				continue
			}
			if line == "" {
				continue
			}
			r, err := parseRequirement(line)
			if err == nil && (known[r.id] || len(groups) == 0) {
				err = fmt.Errorf("twice, or before the first group")
			}
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %s: %w", name, n, r.id, err)
			}
			known[r.id] = true
			g := &groups[len(groups)-1]
			g.requirements = append(g.requirements, r)
		}
	}
	return groups, nil
}

// doesNotArise begins the verdict on what cannot happen here.
const doesNotArise = "does not arise: "

var levels = []string{"MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY"}

func parseRequirement(line string) (r requirement, err error) {
	fields := strings.Split(line, "|")
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	if len(fields) < 3 || len(fields) > 4 {
		return r, fmt.Errorf("%d fields", len(fields))
	}
	r = requirement{id: fields[0], level: fields[1], text: fields[2]}
	if !wellFormed.MatchString(r.id) || !slices.Contains(levels, r.level) || r.text == "" {
		return r, fmt.Errorf("not an id, a level and a text")
	}
	if len(fields) == 4 {
		r.reason = fields[3]
		why, ok := strings.CutPrefix(r.reason, doesNotArise)
		if !ok && !r.must() {
			why, ok = strings.CutPrefix(r.reason, "not met: ")
		}
		if !ok || why == "" {
			return r, fmt.Errorf("%q is no reason", r.reason)
		}
	}
	return r, nil
}

// join gives each requirement the tests that show it.
func join(groups []group, shown shown) error {
	for i := range groups {
		for j := range groups[i].requirements {
			r := &groups[i].requirements[j]
			r.tests = shown[r.id]
			slices.Sort(r.tests)
			r.tests = slices.Compact(r.tests)
			delete(shown, r.id)
			if strings.HasPrefix(r.reason, doesNotArise) && len(r.tests) > 0 {
				return fmt.Errorf("%s: %q, and yet %s shows it", r.id, r.reason, r.tests[0])
			}
		}
	}
	var unknown []string
	for id, tests := range shown {
		unknown = append(unknown, fmt.Sprintf("%s (%s)", id, strings.Join(tests, " ")))
	}
	if slices.Sort(unknown); len(unknown) > 0 {
		return fmt.Errorf("tests name requirements that are in no list:\n%s", strings.Join(unknown, "\n"))
	}
	return nil
}

// unmet is an error when a MUST is not met.
func unmet(groups []group) error {
	var ids []string
	for _, g := range groups {
		for _, r := range g.requirements {
			if r.must() && r.verdict() == "not met" {
				ids = append(ids, r.id)
			}
		}
	}
	if len(ids) > 0 {
		return fmt.Errorf("not met: %s", strings.Join(ids, " "))
	}
	return nil
}
