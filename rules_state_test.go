package gonet

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// state are the package-level variables that are neither errors nor constant
// tables, and why there are any.
var state = map[string]string{
	"packet.sizes":  "a table of constants, which the type of pools needs",
	"packet.pools":  "plain memory, which all stacks share",
	"packet.live":   "counts buffers, in builds with the race detector only",
	"packet.copied": "counts bytes, in builds for a measurement only",
}

// constants are functions without a state whose results never change.
var constants = map[string]bool{
	"errors.New": true, "fmt.Errorf": true,
	"netip.AddrFrom4": true, "netip.MustParseAddr": true, "netip.MustParsePrefix": true,
	"netip.IPv4Unspecified": true, "netip.PrefixFrom": true, "netip.AddrPortFrom": true,
	"reflect.TypeFor": true,
}

// TestRuleNoGlobals allows errors, tables of constants, and what is in state.
func TestRuleNoGlobals(t *testing.T) {
	used := map[string]bool{}
	globals := map[string]bool{} // dir.name
	all := slices.DeleteFunc(sources(t), func(s source) bool { return !s.inStack() })
	for _, s := range all {
		for _, d := range s.file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				for i, name := range v.Names {
					key := s.dir + "." + name.Name
					if name.Name == "_" { // a check of a type
						continue
					}
					globals[key] = true
					switch {
					case state[key] != "":
						used[key] = true
					case len(v.Values) <= i || !isConstant(v.Values[i]):
						s.errorf(t, name, "the variable %s is neither an error nor a table of constants", name.Name)
					}
				}
			}
		}
	}
	for _, s := range all {
		s.findWrites(t, globals)
	}
	for key := range state {
		if !used[key] {
			t.Errorf("there is no variable %s any more: take it from the list", key)
		}
	}
}

// isConstant says whether e always has the same value, by its form.
func isConstant(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit, *ast.Ident, *ast.SelectorExpr:
		return true
	case *ast.UnaryExpr:
		return e.Op != token.AND && e.Op != token.ARROW && isConstant(e.X)
	case *ast.BinaryExpr:
		return isConstant(e.X) && isConstant(e.Y)
	case *ast.KeyValueExpr:
		return isConstant(e.Key) && isConstant(e.Value)
	case *ast.CompositeLit:
		return !slices.ContainsFunc(e.Elts, func(e ast.Expr) bool { return !isConstant(e) })
	case *ast.CallExpr:
		f := e.Fun
		if i, ok := f.(*ast.IndexExpr); ok { // of a generic function
			f = i.X
		}
		s, ok := f.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		pkg, ok := s.X.(*ast.Ident)
		return ok && constants[pkg.Name+"."+s.Sel.Name] && !slices.ContainsFunc(e.Args, func(e ast.Expr) bool { return !isConstant(e) })
	}
	return false
}

// findWrites fails where a package-level variable is assigned to.
func (s source) findWrites(t *testing.T, globals map[string]bool) {
	check := func(e ast.Expr) {
		for {
			switch x := e.(type) {
			case *ast.IndexExpr:
				e = x.X
				continue
			case *ast.SelectorExpr:
				e = x.X
				continue
			case *ast.ParenExpr:
				e = x.X
				continue
			case *ast.Ident:
				if key := s.dir + "." + x.Name; globals[key] && state[key] == "" && s.isGlobal(x) {
					s.errorf(t, x, "the package-level variable %s is changed", x.Name)
				}
			}
			return
		}
	}
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		ast.Inspect(f.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, e := range n.Lhs {
						check(e)
					}
				}
			case *ast.IncDecStmt:
				check(n.X)
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					check(n.X)
				}
			}
			return true
		})
	}
}

// isGlobal says whether the name x, which a package-level variable has, stands
// for that and not for a local one.
func (s source) isGlobal(x *ast.Ident) bool {
	return x.Obj == nil || x.Obj == s.file.Scope.Lookup(x.Name)
}

// contract is what the comment of a process says.
var contract = []string{"Owns:", "Reads:", "Writes:", "Blocks on:"}

// TestRuleProcesses looks at each function that runs as a goroutine of its
// own: it says in four lines what it owns, reads, writes and blocks on.
func TestRuleProcesses(t *testing.T) {
	all := slices.DeleteFunc(sources(t), func(s source) bool { return !s.inStack() })
	started := map[string]bool{} // dir.function
	for _, s := range all {
		ast.Inspect(s.file, func(n ast.Node) bool {
			if g, ok := n.(*ast.GoStmt); ok {
				switch f := g.Call.Fun.(type) {
				case *ast.Ident:
					started[s.dir+"."+f.Name] = true
				case *ast.SelectorExpr:
					started[s.dir+"."+f.Sel.Name] = true
				}
			}
			return true
		})
	}
	for _, p := range readGraph(t).processes {
		started[p] = true
	}
	found := 0
	for _, s := range all {
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !started[s.dir+"."+f.Name.Name] {
				continue
			}
			found++
			comment := f.Doc.Text()
			for _, c := range s.file.Comments {
				if f.Body != nil && c.Pos() > f.Body.Pos() && c.End() < f.Body.End() {
					comment += c.Text()
				}
			}
			for _, line := range contract {
				if !strings.Contains(comment, line) {
					s.errorf(t, f, "the process %s does not say what it %q", f.Name.Name, line)
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d processes were found", found)
	}
}
