// Package layers tells from a trace of the Go runtime how the time of requests
// is spent: in which process of a stack, running, or ready to run and waiting
// for a thread.
package layers

import (
	"cmp"
	"errors"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/exp/trace"
)

// Requests is the category of the two log messages of a trace that say how many
// requests have been answered, at its beginning and at its end.
const Requests = "requests"

// A Process is what all goroutines of one function have done.
type Process struct {
	Name    string
	WakeUps int
	Running time.Duration // on a thread, or in a system call
	Ready   time.Duration // and no thread to run on
}

// A Profile is what a trace says.
type Profile struct {
	Requests  int
	Processes []Process // by the time that they take, the longest first
}

// Read reads a trace. Goroutines that never stop have no name and are left out.
func Read(r io.Reader) (p Profile, err error) {
	in, err := trace.NewReader(r)
	if err != nil {
		return p, err
	}
	a := analysis{goroutines: make(map[trace.GoID]*goroutine)}
	for {
		e, err := in.ReadEvent()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return p, err
		}
		switch e.Kind() {
		case trace.EventStateTransition:
			a.transition(e)
		case trace.EventLog:
			a.log(e.Log())
		}
	}
	return a.profile(), nil
}

type analysis struct {
	goroutines map[trace.GoID]*goroutine
	counts     []int // of requests
}

type goroutine struct {
	Process
	state trace.GoState
	since trace.Time
}

func (a *analysis) transition(e trace.Event) {
	t := e.StateTransition()
	if t.Resource.Kind != trace.ResourceGoroutine {
		return
	}
	id := t.Resource.Goroutine()
	g := a.goroutines[id]
	if g == nil {
		g = &goroutine{since: e.Time()}
		a.goroutines[id] = g
	}
	from, to := t.Goroutine()
	switch passed := e.Time().Sub(g.since); from {
	case trace.GoRunning, trace.GoSyscall:
		g.Running += passed
	case trace.GoRunnable:
		g.Ready += passed
		if to == trace.GoRunning {
			g.WakeUps++
		}
	}
	if g.Name == "" {
		g.Name = name(functions(t.Stack))
	}
	g.state, g.since = to, e.Time()
}

func (a *analysis) log(l trace.Log) {
	if n, err := strconv.Atoi(l.Message); err == nil && l.Category == Requests {
		a.counts = append(a.counts, n)
	}
}

// functions are those of a stack, the one that has called all others last.
func functions(s trace.Stack) iter.Seq[string] {
	return func(yield func(string) bool) {
		for f := range s.Frames() {
			if !yield(f.Func) {
				return
			}
		}
	}
}

// name is the process that a stack belongs to: the outermost function that is
// not of the runtime, nor of what starts processes. What uses the sockets is the
// program.
func name(stack iter.Seq[string]) string {
	outer := slices.Collect(stack)
	slices.Reverse(outer)
	for _, f := range outer {
		path, function, _ := strings.Cut(f[strings.LastIndex(f, "/")+1:], ".")
		if path == "runtime" || strings.HasPrefix(f, "github.com/seed-012105e5/gonet.") {
			continue
		}
		if path == "service" {
			return "the program"
		}
		function, _, _ = strings.Cut(function, ".func") // of a closure, where it is
		return path + "." + function
	}
	return ""
}

func (a *analysis) profile() (p Profile) {
	byName := make(map[string]Process)
	for _, g := range a.goroutines {
		if g.Name == "" {
			continue
		}
		sum := byName[g.Name]
		sum.Name = g.Name
		sum.WakeUps += g.WakeUps
		sum.Running += g.Running
		sum.Ready += g.Ready
		byName[g.Name] = sum
	}
	for _, s := range byName {
		p.Processes = append(p.Processes, s)
	}
	slices.SortFunc(p.Processes, func(a, b Process) int {
		return cmp.Or(cmp.Compare(b.Running+b.Ready, a.Running+a.Ready), cmp.Compare(a.Name, b.Name))
	})
	if n := len(a.counts); n >= 2 {
		p.Requests = a.counts[n-1] - a.counts[0]
	}
	return p
}
