package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
)

// A test names the requirements that it shows in one of two places: in the name
// of a subtest, as a word of its own ("MUST-7 length 0", or "MUST-7: length 0"; of several, with
// commas between: "zero-window/MUST-36,SHLD-29"), or at the beginning of the
// comment of its function, before a colon ("// TestX: MUST-13, RFC1337-3: …").
// MUST-7, SHLD-8, MAY-2 and REC-1 are RFC 9293's own names; of other RFCs an id
// is the section, with a number where a section requires several things:
// RFC6298-5.4, RFC1122-3.2.1.3-2.

var (
	wellFormed = regexp.MustCompile(`^((MUST|SHLD|MAY|REC)-[0-9]+|RFC[0-9]+-[0-9A-F](\.[0-9]+)*(-[0-9]+)?)$`)
	idLike     = regexp.MustCompile(`^((MUST|SHLD|MAY|REC)-|RFC[0-9]+-)`)
	testName   = regexp.MustCompile(`^(Test|Fuzz)[A-Za-z0-9_]*:\s*`)
)

// idsOfName returns the ids in the name of a test, as go test prints it.
func idsOfName(name string) (ids []string, err error) {
	for _, word := range strings.FieldsFunc(name, func(c rune) bool { return c == '/' || c == '_' || c == ',' }) {
		if !idLike.MatchString(word) {
			continue
		}
		word = strings.TrimSuffix(word, ":")
		if !wellFormed.MatchString(word) {
			return nil, fmt.Errorf("%s: %q looks like a requirement, and is none", name, word)
		}
		ids = append(ids, word)
	}
	return ids, nil
}

// idsOfComment returns the ids at the beginning of the comment of a test.
func idsOfComment(comment string) (ids []string, err error) {
	comment = testName.ReplaceAllString(strings.TrimSpace(comment), "")
	if !idLike.MatchString(comment) {
		return nil, nil
	}
	list, _, found := strings.Cut(comment, ":")
	for _, id := range strings.Split(list, ",") {
		id = strings.TrimSpace(id)
		if !found || !wellFormed.MatchString(id) {
			return nil, fmt.Errorf("%q is no requirement, in the comment %.60q", id, comment)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// idsOfPackage returns the ids in the comments of the tests of a directory, by
// the names of the tests.
func idsOfPackage(dir string) (map[string][]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return nil, err
	}
	all := make(map[string][]string)
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || f.Doc == nil {
				continue
			}
			ids, err := idsOfComment(f.Doc.Text())
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", name, f.Name.Name, err)
			}
			if len(ids) > 0 {
				all[f.Name.Name] = ids
			}
		}
	}
	return all, nil
}
