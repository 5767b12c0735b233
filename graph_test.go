package gonet

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write doc/graph.dot and doc/graph.md anew")

// A graph is what graph.go wires: processes, and the channels between them.
type graph struct {
	processes []string            // package.function, in the order of their start
	elements  map[string]string   // what each channel carries
	alias     map[string]string   // of a channel that was put in a slice: the slice's name
	writers   map[string][]string // by channel
	readers   map[string][]string
}

// instead are processes that some links have in the place of another one, and so
// never both.
var instead = map[string]string{"rawip.Rx": "ethernet.Rx"}

// TestGraph draws the graph from the code, and keeps the drawings in doc up to
// date: go test -run TestGraph -update.
func TestGraph(t *testing.T) {
	g := readGraph(t)
	for _, channel := range g.channels() {
		if len(g.writers[channel]) == 0 || len(g.readers[channel]) == 0 {
			t.Errorf("the channel %s is written by %v and read by %v", channel, g.writers[channel], g.readers[channel])
		}
		readers := slices.DeleteFunc(slices.Clone(g.readers[channel]), func(p string) bool { return instead[p] != "" && slices.Contains(g.readers[channel], instead[p]) })
		if n := len(readers); n > 1 {
			t.Errorf("the channel %s has %d readers: %v", channel, n, g.readers[channel])
		}
	}
	for name, want := range map[string]string{"doc/graph.dot": g.dot(), "doc/graph.md": g.markdown()} {
		if *update {
			if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
		}
		if string(got) != want {
			t.Errorf("%s is not what graph.go says; go test -run TestGraph -update writes it anew:\n%s", name, want)
		}
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, drawing, _ := strings.Cut(g.markdown(), "```mermaid"); !strings.Contains(string(readme), strings.TrimSpace(drawing)) {
		t.Error("README.md does not show the drawing of doc/graph.md")
	}
	t.Logf("\n%s", g.dot())
}

// readGraph reads the function start of graph.go.
func readGraph(t *testing.T) *graph {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "graph.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	g := &graph{
		elements: map[string]string{}, alias: map[string]string{},
		writers: map[string][]string{}, readers: map[string][]string{},
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for i, v := range n.Values {
				g.made(n.Names[i].Name, v)
			}
		case *ast.AssignStmt:
			for i, v := range n.Rhs {
				if name, ok := n.Lhs[i].(*ast.Ident); ok {
					g.made(name.Name, v)
				}
			}
		}
		return true
	})
	structs := map[string]*ast.CompositeLit{} // variables that hold a struct of channels
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if lit, ok := n.Rhs[0].(*ast.CompositeLit); ok {
				structs[n.Lhs[0].(*ast.Ident).Name] = lit
			}
		case *ast.CallExpr:
			g.called(t, n, structs)
		}
		return true
	})
	if len(g.processes) < 7 {
		t.Fatalf("only the processes %v were found", g.processes)
	}
	return g
}

// made notes the channel name, if v makes one or puts one in a slice.
func (g *graph) made(name string, v ast.Expr) {
	call, ok := v.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return
	}
	if _, ok := call.Fun.(*ast.ParenExpr); ok { // a conversion: another name of the same
		g.alias[name] = identName(call.Args[0])
		return
	}
	switch f, _ := call.Fun.(*ast.Ident); {
	case f == nil:
	case f.Name == "make" && isChannel(call.Args[0]):
		g.elements[name] = "*packet.Buffer" // of type packets
		if c, ok := call.Args[0].(*ast.ChanType); ok {
			g.elements[name] = types.ExprString(c.Value)
		}
	case f.Name == "append":
		if element, ok := call.Args[1].(*ast.Ident); ok && g.alias[element.Name] == "" { // the first slice is the edge's
			g.alias[element.Name] = name
		}
	}
}

// called notes a process, or what users reach the processes by: the channels
// that are its arguments, by the types of its parameters.
func (g *graph) called(t *testing.T, call *ast.CallExpr, structs map[string]*ast.CompositeLit) {
	s, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return
	}
	pkg, ok := s.X.(*ast.Ident)
	if _, isPackage := layers[identName(pkg)]; !ok || !isPackage {
		return
	}
	name := pkg.Name + "." + s.Sel.Name
	params := parametersOf(t, pkg.Name, s.Sel.Name)
	if strings.HasPrefix(s.Sel.Name, "New") {
		name = "users of " + pkg.Name
	} else {
		g.processes = append(g.processes, name)
	}
	for i, arg := range call.Args {
		switch p := params[i].(type) {
		case *ast.ChanType:
			g.connect(name, arg, p.Dir)
		case *ast.ArrayType:
			if c, ok := p.Elt.(*ast.ChanType); ok {
				g.connect(name, arg, c.Dir)
			}
		case *ast.Ident:
			if lit := structs[identName(arg)]; lit != nil {
				g.connectFields(t, name, pkg.Name, p.Name, lit)
			}
		case *ast.SelectorExpr: // of another package
			if lit := structs[identName(arg)]; lit != nil {
				g.connectFields(t, name, identName(p.X), p.Sel.Name, lit)
			}
		}
	}
}

func identName(e ast.Expr) string {
	if i, ok := e.(*ast.Ident); ok && i != nil {
		return i.Name
	}
	return ""
}

// connect notes that the process has the end dir of the channel arg.
func (g *graph) connect(process string, arg ast.Expr, dir ast.ChanDir) {
	name := strings.TrimPrefix(types.ExprString(arg), "f.") // f.Link.Tx: the link of an interface
	if _, field, ok := strings.Cut(name, "Link."); ok {
		name = "link." + field
		g.elements[name] = "*packet.Buffer"
		if dir == ast.RECV {
			g.writers[name] = []string{"link"}
		} else {
			g.readers[name] = []string{"link"}
		}
	}
	if alias, ok := g.alias[name]; ok {
		name = alias
	}
	if name == "s.quit" || strings.HasSuffix(name, "Ended") { // closed, and never sent on
		return
	}
	if dir == ast.RECV {
		g.readers[name] = append(g.readers[name], process)
	} else {
		g.writers[name] = append(g.writers[name], process)
	}
}

// connectFields connects the channels of a struct that is an argument.
func (g *graph) connectFields(t *testing.T, process, pkg, name string, lit *ast.CompositeLit) {
	fields := map[string]ast.ChanDir{}
	eachDecl(t, pkg, func(d ast.Decl) {
		gen, ok := d.(*ast.GenDecl)
		if !ok {
			return
		}
		for _, spec := range gen.Specs {
			ts, ok := spec.(*ast.TypeSpec)
			if !ok || ts.Name.Name != name {
				continue
			}
			for _, f := range ts.Type.(*ast.StructType).Fields.List {
				kind := f.Type
				if a, ok := kind.(*ast.ArrayType); ok { // one by link
					kind = a.Elt
				}
				if c, ok := kind.(*ast.ChanType); ok {
					for _, n := range f.Names {
						fields[n.Name] = c.Dir
					}
				}
			}
		}
	})
	for _, e := range lit.Elts {
		kv := e.(*ast.KeyValueExpr)
		if dir, ok := fields[identName(kv.Key)]; ok {
			g.connect(process, kv.Value, dir)
		}
	}
}

// parametersOf is the type of each parameter of a function.
func parametersOf(t *testing.T, pkg, function string) (params []ast.Expr) {
	t.Helper()
	eachDecl(t, pkg, func(d ast.Decl) {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Recv != nil || f.Name.Name != function {
			return
		}
		for _, p := range f.Type.Params.List {
			for range max(1, len(p.Names)) {
				params = append(params, p.Type)
			}
		}
	})
	if params == nil {
		t.Fatalf("there is no %s.%s", pkg, function)
	}
	return params
}

// eachDecl calls yield for all declarations of a package.
func eachDecl(t *testing.T, pkg string, yield func(ast.Decl)) {
	t.Helper()
	names, err := filepath.Glob(pkg + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			yield(d)
		}
	}
}

// channels is the names of all channels that connect something, sorted. One
// that was put in a slice goes by the name of that.
func (g *graph) channels() (names []string) {
	for name := range g.elements {
		if g.alias[name] == "" && !strings.HasSuffix(name, "nded") {
			names = append(names, name)
		}
	}
	for element, slice := range g.alias {
		if e, ok := g.elements[element]; ok {
			g.elements[slice] = e
			names = append(names, slice)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// An edge is a channel from one process to another.
type edge struct{ from, to, channel, element string }

func (g *graph) edges() (edges []edge) {
	for _, c := range g.channels() {
		for _, from := range g.writers[c] {
			for _, to := range g.readers[c] {
				edges = append(edges, edge{from, to, c, g.elements[c]})
			}
		}
	}
	slices.SortFunc(edges, func(a, b edge) int {
		return cmp.Or(strings.Compare(a.from, b.from), strings.Compare(a.to, b.to), strings.Compare(a.channel, b.channel))
	})
	return slices.Compact(edges)
}

// isPackets says whether the edge carries packets, and not news about them.
func (e edge) isPackets() bool { return e.element == "*packet.Buffer" }

// nodes is all ends of edges, sorted.
func (g *graph) nodes() (nodes []string) {
	for _, e := range g.edges() {
		nodes = append(nodes, e.from, e.to)
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}

// perLink says whether there is one of the process for each link.
func perLink(process string) bool {
	return process == "link" || process == "ipv4.Tx" || process == "tcp.Transmit" || strings.HasPrefix(process, "arp.") || strings.HasPrefix(process, "ethernet.") || strings.HasPrefix(process, "rawip.")
}

// dot is the graph for Graphviz: dot -Tsvg doc/graph.dot.
func (g *graph) dot() string {
	var b strings.Builder
	b.WriteString("// Drawn from graph.go by TestGraph. Solid: packets; dashed: news about them.\ndigraph gonet {\n")
	b.WriteString("\trankdir=LR\n\tnode [shape=box, fontname=\"sans-serif\"]\n\tedge [fontname=\"sans-serif\", fontsize=10]\n")
	for _, n := range g.nodes() {
		shape := ""
		switch {
		case strings.HasPrefix(n, "users"):
			shape = " [shape=ellipse]"
		case perLink(n):
			shape = " [peripheries=2]" // one for each link
		}
		fmt.Fprintf(&b, "\t%q%s\n", n, shape)
	}
	for _, e := range g.edges() {
		style := ""
		if !e.isPackets() {
			style = ", style=dashed"
		}
		fmt.Fprintf(&b, "\t%q -> %q [label=%q%s]\n", e.from, e.to, e.channel, style)
	}
	b.WriteString("}\n")
	return b.String()
}

// markdown is the graph for Mermaid, which GitHub draws.
func (g *graph) markdown() string {
	id := strings.NewReplacer(".", "_", " ", "_").Replace
	var b strings.Builder
	b.WriteString("# The graph\n\nDrawn from `graph.go` by `TestGraph`. Solid edges carry packets, dashed ones news about\n" +
		"them. There is one of each process with double sides for each link, and one more `ipv4.Tx` for loopback.\n" +
		"A TCP connection is no process: `tcp.Demux`, users and timers run it in turns, and send on `ipTx` or `loopTx` while there\n" +
		"is room; `tcp.Transmit` waits there for connections. There is one for each of these edges.\n\n```mermaid\nflowchart LR\n")
	for _, n := range g.nodes() {
		switch {
		case strings.HasPrefix(n, "users"):
			fmt.Fprintf(&b, "    %s([%s])\n", id(n), n)
		case perLink(n):
			fmt.Fprintf(&b, "    %s[[%s]]\n", id(n), n)
		default:
			fmt.Fprintf(&b, "    %s[%s]\n", id(n), n)
		}
	}
	for _, e := range g.edges() {
		arrow := "-->"
		if !e.isPackets() {
			arrow = "-.->"
		}
		fmt.Fprintf(&b, "    %s %s|%s| %s\n", id(e.from), arrow, e.channel, id(e.to))
	}
	b.WriteString("```\n")
	return b.String()
}
