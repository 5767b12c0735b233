package gonet

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// limitsFile says of everything in the stack that a peer can make grow how far,
// and which test reaches that bound.
const limitsFile = "doc/limits.md"

// A declared is what the stack declares, by its name as limitsFile has it:
// tcp.maxFlights, tcp.scoreboard.flights, tcp.TestScoreboardFull; the root package
// is gonet.
type declared map[string]*declaration

// A declaration is what is known of one name.
type declaration struct {
	value   string // of a constant, as it is written
	comment string // of a field
	holds   bool   // a field that holds any number of things, or waits for them
	isTest  bool   // it stands in a file of tests
}

// packageName is how limitsFile calls the package in dir.
func packageName(dir string) string {
	if dir == "." {
		return "gonet"
	}
	return path.Base(dir)
}

// add takes in one file.
func (d declared) add(pkg string, file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			d.function(pkg, n)
		case *ast.ValueSpec:
			for i, name := range n.Names {
				v := &declaration{}
				if i < len(n.Values) {
					v.value = types.ExprString(n.Values[i])
				}
				d[pkg+"."+name.Name] = v
			}
		case *ast.TypeSpec:
			d[pkg+"."+n.Name.Name] = &declaration{}
			if s, ok := n.Type.(*ast.StructType); ok {
				d.fields(pkg+"."+n.Name.Name, s)
			}
		}
		return true
	})
}

func (d declared) function(pkg string, f *ast.FuncDecl) {
	name := pkg + "."
	if f.Recv != nil {
		of := f.Recv.List[0].Type
		if p, ok := of.(*ast.StarExpr); ok {
			of = p.X
		}
		name += types.ExprString(of) + "."
	}
	d[name+f.Name.Name] = &declaration{}
}

// fields takes in those of a struct, and of structs within it.
func (d declared) fields(of string, s *ast.StructType) {
	for _, f := range s.Fields.List {
		comment := strings.Join(strings.Fields(f.Doc.Text()+" "+f.Comment.Text()), " ")
		for _, name := range f.Names {
			d[of+"."+name.Name] = &declaration{comment: comment, holds: holdsMany(f.Type)}
			if inner, ok := f.Type.(*ast.StructType); ok {
				d.fields(of+"."+name.Name, inner)
			}
		}
	}
}

// holdsMany says whether a field of that type can hold any number of things: a
// map, a slice, a queue, or a channel that carries something.
func holdsMany(t ast.Expr) bool {
	switch t := t.(type) {
	case *ast.MapType:
		return true
	case *ast.ArrayType:
		return t.Len == nil && !isEnd(t.Elt) || holdsMany(t.Elt)
	case *ast.ChanType:
		return t.Dir == ast.SEND|ast.RECV && types.ExprString(t.Value) != "struct{}" // an end is another's channel
	case *ast.IndexExpr: // of a type parameter
		x := types.ExprString(t.X)
		return x == "ring.Queue" || x == "stock"
	}
	return false
}

// isEnd says whether t is an end of a channel.
func isEnd(t ast.Expr) bool {
	c, ok := t.(*ast.ChanType)
	return ok && c.Dir != ast.SEND|ast.RECV
}

// declarations reads the stack and its tests.
func declarations(t *testing.T) declared {
	t.Helper()
	all := declared{}
	dirs := append(slices.Collect(maps.Keys(layers)), "internal/testing/stack")
	for _, dir := range dirs {
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(names) == 0 {
			t.Fatalf("no files in %s: %v", dir, err)
		}
		for _, name := range names {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			one := declared{}
			one.add(packageName(dir), file)
			for n, d := range one {
				d.isTest = strings.HasSuffix(name, "_test.go")
				all[n] = d
			}
		}
	}
	return all
}

// A limitsRow is one row of a table in limitsFile.
type limitsRow struct {
	section string
	line    int
	titles  []string
	cells   []string
}

// cell is the one in the column with that title.
func (r *limitsRow) cell(title string) (string, bool) {
	for i, name := range r.titles {
		if name == title && i < len(r.cells) {
			return r.cells[i], true
		}
	}
	return "", false
}

// limitsRows reads the tables of limitsFile.
func limitsRows(t *testing.T) (rows []limitsRow) {
	t.Helper()
	text, err := os.ReadFile(limitsFile)
	if err != nil {
		t.Fatal(err)
	}
	section := ""
	var titles []string
	for i, line := range strings.Split(string(text), "\n") {
		switch {
		case strings.HasPrefix(line, "## "):
			section, titles = strings.TrimPrefix(line, "## "), nil
		case !strings.HasPrefix(line, "|"):
			titles = nil
		case titles == nil:
			titles = cellsOf(line)
		case !strings.HasPrefix(line, "|--"):
			rows = append(rows, limitsRow{section, i + 1, titles, cellsOf(line)})
		}
	}
	return rows
}

func cellsOf(line string) (cells []string) {
	for _, c := range strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|") {
		cells = append(cells, strings.TrimSpace(c))
	}
	return cells
}

var (
	// named is a name in backticks, and what it is said to be: `tcp.maxFlights` = `8192`.
	named = regexp.MustCompile("`([a-z0-9]+(?:\\.[A-Za-z_][A-Za-z0-9_]*)+)`(?: = `([^`]+)`)?")
	test  = regexp.MustCompile(`^[a-z0-9]+\.(Test|Fuzz|Benchmark)[A-Z]`)
)

// TestRuleLimits holds the tables of limitsFile against the source: what they
// name is there, a constant has the value that they say, a field's comment has
// the number that they say, and each row of a table with the column Tests names
// one.
func TestRuleLimits(t *testing.T) {
	all := declarations(t)
	rows := limitsRows(t)
	if len(rows) == 0 {
		t.Fatalf("%s has no tables", limitsFile)
	}
	for _, r := range rows {
		errorf := func(format string, args ...any) {
			t.Errorf("%s:%d: "+format, append([]any{limitsFile, r.line}, args...)...)
		}
		if len(r.cells) != len(r.titles) {
			errorf("%d cells under %d titles", len(r.cells), len(r.titles))
		}
		for _, m := range named.FindAllStringSubmatch(strings.Join(r.cells, " | "), -1) {
			d, ok := all[m[1]]
			switch {
			case !ok:
				errorf("%s is nowhere in the source", m[1])
			case m[2] == "":
			case d.comment != "" && !strings.Contains(d.comment, m[2]), d.comment == "" && d.value != m[2]:
				errorf("%s is not %s, but %s%s", m[1], m[2], d.value, d.comment)
			}
		}
		if tests, ok := r.cell("Tests"); ok && !namesTest(tests) {
			errorf("no test is named in the column Tests")
		}
	}
}

// TestRuleLimitsComplete: whatever in the stack can hold any number of things is
// named in limitsFile, in a table with its bound, or in the list of what no peer
// makes grow.
func TestRuleLimitsComplete(t *testing.T) {
	text, err := os.ReadFile(limitsFile)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, m := range named.FindAllStringSubmatch(string(text), -1) {
		listed[m[1]] = true
	}
	many := 0
	for name, d := range declarations(t) {
		if !d.holds || d.isTest {
			continue
		}
		if many++; !listed[name] {
			t.Errorf("%s is not in %s: name it there with its bound and a test, or in the list of what no peer makes grow", name, limitsFile)
		}
	}
	if many < 50 {
		t.Errorf("only %d fields that hold many were found", many)
	}
}

func namesTest(cell string) bool {
	for _, m := range named.FindAllStringSubmatch(cell, -1) {
		if test.MatchString(m[1]) {
			return true
		}
	}
	return false
}
