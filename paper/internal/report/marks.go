package report

import (
	"fmt"
	"strings"

	"github.com/seed-012105e5/gonet/paper/internal/result"
)

// A mark is what figures are meant to reach: those of some works, or their ratio
// to those of another subject.
type mark struct {
	name  string
	holds comparisonSign
	goal  float64
	of    string
	to    string // "" means that the figures count themselves
	works []line
}

// A comparisonSign is how a figure is held against its goal.
type comparisonSign string

const (
	atLeast comparisonSign = "≥"
	atMost  comparisonSign = "≤"
	under   comparisonSign = "<"
)

func (c comparisonSign) met(v, goal float64) bool {
	switch c {
	case atLeast:
		return v >= goal
	case atMost:
		return v <= goal
	}
	return v < goal
}

// measured is the figure or ratio of a work that counts.
func (m mark) measured(r *Report, l line) (v float64, ok bool) {
	if m.to == "" {
		return r.median(l.work, l.metric, m.of)
	}
	return r.ratio(l.work, l.metric, m.of, m.to)
}

// reached says how many works reach the mark, and how many were measured.
func (m mark) reached(r *Report) (met, measured int) {
	for _, l := range m.works {
		v, ok := m.measured(r, l)
		if ok {
			measured++
		}
		if ok && m.holds.met(v, m.goal) {
			met++
		}
	}
	return met, measured
}

// verdict says whether the mark is met.
func (m mark) verdict(r *Report) string {
	met, measured := m.reached(r)
	all := len(m.works)
	switch {
	case measured == 0:
		return missing
	case met == all:
		return "met"
	case measured < all:
		return fmt.Sprintf("%d of %d, %d %s", met, all, all-measured, missing)
	case met == 0:
		return "missed"
	}
	return fmt.Sprintf("%d of %d", met, all)
}

// Marks is the table of all marks: what is to be reached, what was measured, and
// whether it is enough.
func (r *Report) Marks() string {
	head := []cell{{"what", false}, {"mark", true}, {"measured", false}, {"", false}}
	var rows [][]string
	for _, m := range marks() {
		var figures []string
		for _, l := range m.works {
			if v, ok := m.measured(r, l); ok {
				figures = append(figures, fmt.Sprintf("%s: %s", l.label, result.Number(v)))
			}
		}
		rows = append(rows, []string{m.name, m.sought(), strings.Join(figures, "; "), m.verdict(r)})
	}
	return grid(head, rows)
}

// Missed is the table of the figures that do not reach their marks, and of how far
// the same machines in one loop, and the bare device without a stack, come.
func (r *Report) Missed() string {
	head := []cell{{"what", false}, {"mark", true}, {"GoNet", true}, {"its machines in one loop", true}, {"the bare device", true}}
	var rows [][]string
	for _, m := range marks() {
		for _, l := range m.works {
			v, ok := m.measured(r, l)
			if !ok || m.holds.met(v, m.goal) {
				continue
			}
			row := []string{m.name + ": " + l.label, m.sought(), result.Number(v)}
			for _, key := range below(m.of) {
				row = append(row, m.reachedBy(r, l, key))
			}
			rows = append(rows, row)
		}
	}
	return grid(head, rows)
}

// sought is the mark in writing.
func (m mark) sought() string {
	if m.goal >= 1000 {
		return fmt.Sprintf("%s %s", m.holds, result.Number(m.goal))
	}
	return fmt.Sprintf("%s %v", m.holds, m.goal)
}

// reachedBy is what another subject has in place of the one that the mark is for.
func (m mark) reachedBy(r *Report, l line, key string) string {
	m.of = key
	if v, ok := m.measured(r, l); ok {
		return result.Number(v)
	}
	return "–"
}

// below are the subjects that do the same work as a stack with less: its machines
// in one loop, and the device alone.
func below(key string) []string {
	if key == "gonet-plain" {
		return []string{"direct-plain", "raw-plain"}
	}
	return []string{"direct", "raw"}
}

// MarksMet says how many figures reach their marks.
func (r *Report) MarksMet() string {
	met, measured, all := 0, 0, 0
	for _, m := range marks() {
		a, b := m.reached(r)
		met, measured, all = met+a, measured+b, all+len(m.works)
	}
	return fmt.Sprintf("%d of the %d figures that were measured reach their marks; %d were not measured", met, measured, all-measured)
}

// zero is what counts as no allocation: one in a hundred frames is not of the
// frames.
const zero = 0.01

// marks are those of all works.
func marks() []mark {
	bulk := shortly(result.Goodput, streams(1, 8)...)
	toStack := shortly(result.Goodput, "bulk to the server, 1 stream", "bulk to the server, 8 streams")
	ways := oneByte("both on one CPU", "a CPU each", "64 at a time")
	connects := shortly(result.Rate, "connections made and closed, 1 at a time", "connections made and closed, 32 at a time")
	web := shortly(result.Rate, "HTTP of 1 KB by wrk, 32 connections", "HTTP of 1 KB by wrk, 256 connections")
	few, many := result.IdleWork(10000), result.IdleWork(1000000)
	return []mark{
		{"bulk with offloads / kernel", atLeast, 0.8, "gonet", "kernel", bulk},
		{"bulk with offloads / gVisor, its best", atLeast, 2, "gonet", gvisor, bulk},
		{"bulk with offloads / a device that copies once", atLeast, 0.8, "gonet", "raw-copy", toStack},
		{"bulk, plain frames / kernel", atLeast, 1, "gonet-plain", "kernel-plain", bulk},
		{"bulk, plain frames / gVisor", atLeast, 3, "gonet-plain", "gvisor-tap", bulk},
		{"a byte there and back, p50 / kernel", atMost, 1.25, "gonet", "kernel", shortly(result.P50, ways...)},
		{"a byte there and back, p99 / kernel", atMost, 1.5, "gonet", "kernel", shortly(result.P99, ways...)},
		{"a byte there and back, p50 / gVisor, its best", under, 0.5, "gonet", gvisor, shortly(result.P50, ways...)},
		{"connect, request, close / kernel", atLeast, 1, "gonet", "kernel", connects},
		{"HTTP of 1 KB / kernel", atLeast, 1, "gonet", "kernel", web},
		{"HTTP of 1 KB / gVisor, its best", atLeast, 1.5, "gonet", gvisor, web},
		{"an idle connection, bytes", under, 5000, "gonet", "", shortly(result.Memory, few, many)},
		{"a million idle connections, GB", under, 6, "gonet", "", shortly(result.Process, many)},
		{"of a million, those that answer", atLeast, 1e6, "gonet", "", shortly(result.Answering, many)},
		{"allocations for each frame, bulk", under, zero, "gonet", "", shortly(result.Allocations, streams(1, 8)...)},
		{"allocations for each frame, a byte there and back", under, zero, "gonet", "", shortly(result.Allocations, ways...)},
	}
}

// shortly is one metric of some works, with labels that are as short as can be in
// a table of marks.
func shortly(m result.Metric, works ...string) (all []line) {
	short := strings.NewReplacer(
		"bulk ", "", " the server", "", "1 byte over ", "", "both on ", "", "connections made and closed, ", "",
		"HTTP of 1 KB by wrk, ", "", " idle connections", "",
	)
	for _, w := range works {
		all = append(all, line{short.Replace(w), w, m})
	}
	return all
}
