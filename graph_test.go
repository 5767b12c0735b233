package gonet

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

var update = flag.Bool("update", false, "write doc/graph.dot and doc/graph.md anew")

// A graph is what graph.go wires: processes, and the edges between them, by their
// names in the registry.
type graph struct {
	processes []string            // package.function, in the order of their start
	elements  map[string]string   // what each edge carries
	variables map[string][]string // the edges that a variable of start stands for, or is a slice of
	writers   map[string][]string // by edge
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
			t.Errorf("the edge %s is written by %v and read by %v", channel, g.writers[channel], g.readers[channel])
		}
		readers := slices.DeleteFunc(slices.Clone(g.readers[channel]), func(p string) bool { return instead[p] != "" && slices.Contains(g.readers[channel], instead[p]) })
		if n := len(readers); n > 1 {
			t.Errorf("the edge %s has %d readers: %v", channel, n, g.readers[channel])
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

// TestGraphRegistry: the registry of a stack that runs, the drawing in the comment of
// graph.go and the code have the same edges.
func TestGraphRegistry(t *testing.T) {
	g := readGraph(t)
	a, b := link.Pipe(link.PipeConfig{})
	tun := make(chan *packet.Buffer)
	s, err := New(Config{Interfaces: []Interface{
		{Link: a, Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}},
		{Link: link.Link{Name: "tun", Rx: tun, Tx: make(chan *packet.Buffer, 64), MTU: 1500, IP: true, Stats: new(link.Stats)}, Addrs: []netip.Prefix{netip.MustParsePrefix("10.1.0.1/24")}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var registered []string
	for _, e := range s.Edges() {
		registered = append(registered, e.Name)
		if e.Link < all || e.Link > 1 {
			t.Errorf("%s is of link %d", e.Name, e.Link)
		}
	}
	close(tun)
	s.Close()
	close(b.Tx)
	slices.Sort(registered)
	if registered = slices.Compact(registered); !slices.Equal(registered, g.channels()) {
		t.Errorf("the registry has %v\nthe code has %v", registered, g.channels())
	}
	text, err := os.ReadFile("graph.go")
	if err != nil {
		t.Fatal(err)
	}
	_, comment, _ := strings.Cut(string(text), "// This file is the map of the house.")
	comment, _, _ = strings.Cut(comment, "// Rules, which keep")
	for _, name := range g.channels() {
		if !regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b`).MatchString(comment) {
			t.Errorf("the comment of graph.go does not tell of the edge %s", name)
		}
	}
	// And the other way round: the words in the drawing are processes, edges, and these.
	known := append(g.channels(), "udp", "sockets", "connections", "segments")
	for line := range strings.Lines(comment) {
		if !strings.ContainsAny(line, "─│┤▶◀▲▼") {
			continue
		}
		for _, word := range regexp.MustCompile(`[A-Za-z.0-9]+`).FindAllString(line, -1) {
			if !slices.Contains(known, word) && !slices.Contains(g.processes, word) {
				t.Errorf("the drawing in graph.go has %s, which is no edge and no process", word)
			}
		}
	}
}

// readGraph reads the function start of graph.go.
func readGraph(t *testing.T) *graph {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "graph.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	g := &graph{
		elements: map[string]string{}, variables: map[string][]string{},
		writers: map[string][]string{}, readers: map[string][]string{},
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for i, v := range n.Values {
				g.assigned(n.Names[i], v)
			}
		case *ast.AssignStmt:
			for i, v := range n.Rhs {
				g.assigned(n.Lhs[i], v)
			}
		}
		return true
	})
	made := 0
	structs := map[string]*ast.CompositeLit{} // variables that hold a struct of edges
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if lit, ok := n.Rhs[0].(*ast.CompositeLit); ok {
				structs[identName(n.Lhs[0])] = lit
			}
		case *ast.CallExpr:
			if constructor, _ := constructorOf(n); constructor {
				made++
			}
			g.called(t, n, structs)
		}
		return true
	})
	if len(g.processes) < 7 {
		t.Fatalf("only the processes %v were found", g.processes)
	}
	if made != len(g.elements) {
		t.Errorf("graph.go makes %d edges, and puts %d into the registry by names of their own", made, len(g.elements))
	}
	return g
}

// constructorOf says whether the call makes an edge, and what that carries.
func constructorOf(call *ast.CallExpr) (ok bool, element string) {
	f, element := call.Fun, "*packet.Buffer"
	if i, generic := f.(*ast.IndexExpr); generic {
		f, element = i.X, types.ExprString(i.Index)
	}
	return isSelector(f, "edge", "New", "NewInbox", "InboxOf", "InboxFrom", "From", "To"), element
}

// assigned notes what edges the variable stands for: one that is made, the end of
// one, or those in a slice.
func (g *graph) assigned(variable, v ast.Expr) {
	name, call := identName(variable), (*ast.CallExpr)(nil)
	if call, _ = v.(*ast.CallExpr); call == nil || name == "" {
		return
	}
	switch f := call.Fun.(type) {
	case *ast.Ident:
		switch f.Name {
		case "add": // (s, name, link, edge)
			made, ok := call.Args[3].(*ast.CallExpr)
			if !ok {
				return
			}
			edge := strings.Trim(call.Args[1].(*ast.BasicLit).Value, `"`)
			_, g.elements[edge] = constructorOf(made)
			g.variables[name] = append(g.variables[name], edge)
		case "append":
			g.variables[name] = append(g.variables[name], g.edgesOf(call.Args[1])...)
		}
	case *ast.SelectorExpr:
		g.variables[name] = append(g.variables[name], g.edgesOf(call)...)
	}
}

// edgesOf is the edges that an expression of start stands for: ip, ip.In(), ip.Out(),
// or a slice.
func (g *graph) edgesOf(e ast.Expr) []string {
	if call, ok := e.(*ast.CallExpr); ok {
		if s, ok := call.Fun.(*ast.SelectorExpr); ok && (s.Sel.Name == "In" || s.Sel.Name == "Out") {
			e = s.X
		}
	}
	return g.variables[identName(e)]
}

// endOf says whether t is the type of an end of edges, and of which.
func endOf(t ast.Expr) (dir ast.ChanDir, ok bool) {
	if a, isSlice := t.(*ast.ArrayType); isSlice { // one by link
		t = a.Elt
	}
	if p, isPointer := t.(*ast.StarExpr); isPointer {
		return ast.RECV, isSelector(p.X, "edge", "Inbox")
	}
	i, ok := t.(*ast.IndexExpr)
	switch {
	case ok && isSelector(i.X, "edge", "In"):
		return ast.RECV, true
	case ok && isSelector(i.X, "edge", "Out"):
		return ast.SEND, true
	}
	return 0, false
}

// called notes a process, or what users reach the processes by: the edges
// that are its arguments, by the types of its parameters.
func (g *graph) called(t *testing.T, call *ast.CallExpr, structs map[string]*ast.CompositeLit) {
	s, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return
	}
	pkg, ok := s.X.(*ast.Ident)
	if _, isPackage := layers[identName(pkg)]; !ok || !isPackage || pkg.Name == "edge" || s.Sel.Name == "NewFilter" {
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
		if dir, ok := endOf(params[i]); ok {
			g.connect(name, arg, dir)
			continue
		}
		if lit := structs[identName(arg)]; lit != nil {
			switch p := params[i].(type) {
			case *ast.Ident:
				g.connectFields(t, name, pkg.Name, p.Name, lit)
			case *ast.SelectorExpr: // of another package
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

// connect notes that the process has the end dir of the edges that arg stands for.
func (g *graph) connect(process string, arg ast.Expr, dir ast.ChanDir) {
	for _, edge := range g.edgesOf(arg) {
		if dir == ast.RECV {
			g.readers[edge] = append(g.readers[edge], process)
		} else {
			g.writers[edge] = append(g.writers[edge], process)
		}
		switch edge {
		case "link.Rx":
			g.writers[edge] = []string{"link"}
		case "link.Tx":
			g.readers[edge] = []string{"link"}
		}
	}
}

// connectFields connects the edges of a struct that is an argument.
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
				if dir, ok := endOf(f.Type); ok {
					for _, n := range f.Names {
						fields[n.Name] = dir
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

// channels is the names of all edges, sorted.
func (g *graph) channels() []string { return slices.Sorted(maps.Keys(g.elements)) }

// An arrow is an edge from one process to another.
type arrow struct{ from, to, channel, element string }

func (g *graph) arrows() (edges []arrow) {
	for _, c := range g.channels() {
		for _, from := range g.writers[c] {
			for _, to := range g.readers[c] {
				edges = append(edges, arrow{from, to, c, g.elements[c]})
			}
		}
	}
	slices.SortFunc(edges, func(a, b arrow) int {
		return cmp.Or(strings.Compare(a.from, b.from), strings.Compare(a.to, b.to), strings.Compare(a.channel, b.channel))
	})
	return slices.Compact(edges)
}

// isPackets says whether the edge carries packets, and not news about them.
func (e arrow) isPackets() bool { return e.element == "*packet.Buffer" }

// nodes is all ends of edges, sorted.
func (g *graph) nodes() (nodes []string) {
	for _, e := range g.arrows() {
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
	for _, e := range g.arrows() {
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
	for _, e := range g.arrows() {
		arrow := "-->"
		if !e.isPackets() {
			arrow = "-.->"
		}
		fmt.Fprintf(&b, "    %s %s|%s| %s\n", id(e.from), arrow, e.channel, id(e.to))
	}
	b.WriteString("```\n")
	return b.String()
}
