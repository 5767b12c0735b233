package gonet

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The rules of the house are tests: these read the source of the whole
// repository.

const module = "github.com/seed-012105e5/gonet"

// layers is what each package of the stack may import of the others. Packages
// go one way, and a new one must find its place here.
var layers = map[string][]string{
	"internal/checksum":  {},
	"internal/counter":   {},
	"internal/deadline":  {},
	"internal/port":      {"internal/shuffle"},
	"internal/prf":       {},
	"internal/red":       {},
	"internal/ring":      {},
	"internal/shuffle":   {},
	"internal/virtionet": {"packet"},
	"packet":             {"internal/checksum"},
	"edge":               {"packet"},
	"ethernet":           {"packet", "edge"},
	"link":               {"packet", "internal/checksum", "internal/ring"},
	"arp":                {"packet", "edge", "ethernet"},
	"rawip":              {"packet", "edge"},
	"ip":                 {"packet", "edge", "internal/red"},
	"ipv4":               {"packet", "edge", "ethernet", "ip", "internal/checksum", "internal/shuffle"},
	"icmp":               {"packet", "edge", "ip", "ipv4", "internal/checksum"},
	"udp":                {"packet", "edge", "ip", "ipv4", "internal/checksum", "internal/deadline", "internal/port", "internal/red"},
	"tcp/congestion":     {},
	"tcp/segment":        {"packet", "ip", "ipv4", "internal/checksum"},
	"tcp/machine":        {"packet", "ip", "ipv4", "internal/prf", "internal/red", "internal/ring", "tcp/congestion", "tcp/segment"},
	"tcp":                {"packet", "edge", "ip", "internal/deadline", "internal/port", "tcp/machine", "tcp/segment"},
	"dns":                {"edge"},
	"tap":                {"packet", "link", "internal/netlink", "internal/virtionet"},
	"tunnel":             {"packet", "link"},
	"netdev":             {"packet", "link"},
	"vhost":              {"vhost/memory", "vhost/virtqueue"},
	"vhost/memory":       {},
	"vhost/virtqueue":    {"vhost/memory"},
	"vhost/kernel":       {"vhost", "vhost/memory", "vhost/virtqueue"},
	"vhost/vnet":         {"packet", "link", "internal/virtionet", "vhost", "vhost/kernel", "vhost/memory", "vhost/virtqueue"},
	".":                  {"packet", "edge", "ethernet", "arp", "rawip", "ip", "ipv4", "icmp", "udp", "tcp", "dns", "link", "internal/counter", "internal/deadline"},
}

// outside are packages that no packet passes: programs, and what tests need.
// Only some of the rules hold for them.
var outside = []string{
	"examples", "paper", "scripts", "doc", "sim", "storage",
	"internal/guest", "internal/netlink", "internal/program", "internal/selfsigned", "internal/testing", "rootless",
}

// wiring are the files that may make channels and start goroutines, and why.
var wiring = map[string]string{
	"graph.go":                      "the map of the house",
	"edge/edge.go":                  "the edges that graph.go asks for",
	"edge/inbox.go":                 "the edges that graph.go asks for",
	"stack.go":                      "the end of a stack",
	"link/pipe.go":                  "a link starts its own goroutines",
	"link/loopback.go":              "a link starts its own goroutines",
	"link/impair.go":                "a link starts its own goroutines",
	"link/cable.go":                 "a link starts its own goroutines",
	"link/tee.go":                   "a link starts its own goroutines",
	"tap/card_linux.go":             "a link starts its own goroutines",
	"tap/fan_linux.go":              "the writers of further queues, while there is work for them",
	"tunnel/device.go":              "the token of who writes to a device, and its events",
	"netdev/card.go":                "a link starts its own goroutines",
	"vhost/backend_linux.go":        "a back end starts its own goroutines",
	"vhost/vnet/card_linux.go":      "a link starts its own goroutines",
	"vhost/vnet/front_linux.go":     "a link starts its own goroutines",
	"vhost/ring_linux.go":           "a ring that runs is owned by one goroutine",
	"tcp/demux.go":                  "the mailbox of a connection",
	"tcp/conn.go":                   "the token of a connection",
	"tcp/transmit.go":               "what wakes who sends for a queue",
	"tcp/waitlist.go":               "users that wait for a connection",
	"tcp/transferpool.go":           "memory that all who hold tokens share",
	"tcp/socket.go":                 "the answers to calls of users",
	"tcp/sockets.go":                "the answers to calls of users",
	"tcp/listen.go":                 "the queue of a listener",
	"tcp/dial.go":                   "the answers to calls of users",
	"tcp/signals.go":                "what a connection tells its user",
	"udp/queue.go":                  "the queue of a socket",
	"udp/sockets.go":                "the answers to calls of users",
	"icmp/ping.go":                  "the answers to calls of users",
	"arp/neighbours.go":             "the answers to calls of users",
	"dns/run.go":                    "exchanges with servers start there, and only there",
	"dns/resolver.go":               "the answers to calls of users",
	"internal/deadline/deadline.go": "the channel that a deadline closes",
}

// measures import test tools though they are no tests: they take their subjects to
// network namespaces.
var measures = []string{"paper/bench", "paper/internal/agent", "storage/bench"}

// locked are the files that may hold a lock, and why.
var locked = map[string]string{
	"internal/deadline/deadline.go": "users set and ask for deadlines, packets do not; held for some instructions only",
}

// A source is one file that is no test.
type source struct {
	name string // from the root, with slashes
	dir  string
	file *ast.File
	set  *token.FileSet
	text []byte
}

// sources reads all files of the repository that are no tests.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if d.IsDir() {
			if base := d.Name(); base == "testdata" || base != "." && strings.HasPrefix(base, ".") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, text, parser.ParseComments)
		if err != nil {
			return err
		}
		all = append(all, source{name, path.Dir(name), file, set, text})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 100 {
		t.Fatalf("only %d files were found", len(all))
	}
	return all
}

// inStack says whether the file is part of the stack.
func (s source) inStack() bool {
	_, ok := layers[s.dir]
	return ok
}

// imports is the packages of this repository that s imports, from the root.
func (s source) imports() (names []string) {
	for _, i := range s.file.Imports {
		if p, _ := strconv.Unquote(i.Path.Value); p == module {
			names = append(names, ".")
		} else if rest, ok := strings.CutPrefix(p, module+"/"); ok {
			names = append(names, rest)
		}
	}
	return names
}

func (s source) errorf(t *testing.T, at ast.Node, format string, args ...any) {
	t.Helper()
	t.Errorf("%v: "+format, append([]any{s.set.Position(at.Pos())}, args...)...)
}

// isSelector says whether e is pkg.name.
func isSelector(e ast.Node, pkg string, names ...string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == pkg && slices.Contains(names, s.Sel.Name)
}

func TestRuleLayers(t *testing.T) {
	for _, s := range sources(t) {
		allowed, ok := layers[s.dir]
		isOutside := slices.ContainsFunc(outside, func(p string) bool { return s.dir == p || strings.HasPrefix(s.dir, p+"/") })
		switch {
		case !ok && !isOutside:
			t.Errorf("%s: the package %s is in no layer", s.name, s.dir)
		case ok:
			for _, p := range s.imports() {
				if !slices.Contains(allowed, p) {
					t.Errorf("%s imports %s, against the direction of the layers", s.name, p)
				}
			}
		}
	}
}

// TestRuleTestTools tells product parts and test tools apart: what is under
// internal/testing is for tests, and what is beside it under internal is used by
// something that is no test.
func TestRuleTestTools(t *testing.T) {
	isTool := func(dir string) bool { return strings.Contains("/"+dir+"/", "/internal/testing/") }
	unused, measuring := map[string]bool{}, map[string]bool{}
	all := sources(t)
	for _, s := range all {
		if strings.Contains("/"+s.dir+"/", "/internal/") && !isTool(s.dir) && s.file.Name.Name != "main" {
			unused[s.dir] = true
		}
	}
	for _, s := range all {
		for _, p := range s.imports() {
			switch {
			case isTool(s.dir):
			case isTool(p) && slices.Contains(measures, s.dir):
				measuring[s.dir] = true
			case isTool(p):
				s.errorf(t, s.file.Name, "imports %s, which is for tests: move what it needs out of there", p)
			case p != s.dir:
				delete(unused, p)
			}
		}
	}
	for dir := range unused {
		t.Errorf("%s is used by tests only: move it below internal/testing", dir)
	}
	for _, dir := range measures {
		if !measuring[dir] {
			t.Errorf("%s imports no test tools any more: take it from the list", dir)
		}
	}
}

func TestRuleFileLength(t *testing.T) {
	for _, s := range sources(t) {
		if n := bytes.Count(s.text, []byte("\n")); n > 500 {
			t.Errorf("%s has %d lines: a file is one concept, of 500 lines at most", s.name, n)
		}
	}
}

func TestRuleNoInit(t *testing.T) {
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				s.errorf(t, f, "an init function")
			}
		}
	}
}

func TestRuleNoLocks(t *testing.T) {
	used := map[string]bool{}
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			if !s.inStack() || !isSelector(n, "sync", "Mutex", "RWMutex", "Cond", "Once", "OnceFunc", "OnceValue", "OnceValues", "Map") {
				return true
			}
			used[s.name] = true
			if locked[s.name] == "" {
				s.errorf(t, n, "sync.%s: state has one owner", n.(*ast.SelectorExpr).Sel.Name)
			}
			return true
		})
	}
	for name := range locked {
		if !used[name] {
			t.Errorf("%s holds no lock any more: take it from the list", name)
		}
	}
}

func TestRuleWiring(t *testing.T) {
	used := map[string]bool{}
	for _, s := range sources(t) {
		if !s.inStack() {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			what := ""
			switch n := n.(type) {
			case *ast.GoStmt:
				what = "a goroutine is started"
			case *ast.CallExpr:
				switch f := n.Fun.(type) {
				case *ast.Ident:
					if f.Name == "make" && isChannel(n.Args[0]) {
						what = "a channel is made"
					}
				case *ast.SelectorExpr:
					if f.Sel.Name == "Go" { // of a sync.WaitGroup
						what = "a goroutine is started"
					}
				}
			}
			if what != "" {
				used[s.name] = true
				if wiring[s.name] == "" {
					s.errorf(t, n, "%s outside of the wiring", what)
				}
			}
			return true
		})
	}
	for name := range wiring {
		if !used[name] {
			t.Errorf("%s makes no channel and starts no goroutine any more: take it from the list", name)
		}
	}
}

// machines are the packages in which there is no concurrency and no clock at all:
// what happens in them follows from what is called, and with which time.
var machines = []string{"tcp/segment", "tcp/machine", "tcp/congestion"}

func TestRuleMachines(t *testing.T) {
	found := 0
	for _, s := range sources(t) {
		if !slices.Contains(machines, s.dir) {
			continue
		}
		found++
		for _, i := range s.file.Imports {
			if p, _ := strconv.Unquote(i.Path.Value); p == "sync" || p == "context" || p == module+"/edge" {
				s.errorf(t, i, "a machine imports %s", p)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt, *ast.SelectStmt, *ast.ChanType, *ast.SendStmt:
				s.errorf(t, n, "a machine has a goroutine or a channel")
			case *ast.UnaryExpr:
				if n.Op == token.ARROW {
					s.errorf(t, n, "a machine receives from a channel")
				}
			case *ast.SelectorExpr:
				if isSelector(n, "time", "Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick") {
					s.errorf(t, n, "a machine looks at a clock")
				}
			}
			return true
		})
	}
	if found < 50 {
		t.Errorf("only %d files of machines were found", found)
	}
}

// isChannel says whether e is the type of a channel, by its own form or by the
// name that graph.go gives to the most common one.
func isChannel(e ast.Expr) bool {
	if name, ok := e.(*ast.Ident); ok {
		return name.Name == "packets"
	}
	_, ok := e.(*ast.ChanType)
	return ok
}
