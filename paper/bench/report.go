package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/seed-012105e5/gonet/paper/internal/result"
	"github.com/seed-012105e5/gonet/paper/internal/subject"
)

// base is the subject with which the others are compared.
func base() string { return subject.All()[0].Key }

// printHead says what all works have in common.
func (b *bench) printHead() {
	m := b.results.Machine
	fmt.Fprintf(b.out, "%s, %s, %d CPUs (%s)\n", m.Kernel, m.Go, m.CPUs, m.CPU)
	fmt.Fprintf(b.out, "congestion control of both sides: %s; wrk's side: reno\n", b.congestion)
	fmt.Fprintf(b.out, "%d rounds of %v s; medians [least to most]; in brackets the ratio to %s\n",
		b.rounds, b.seconds, subject.All()[0].Name)
}

// print prints what a work has given, a line for each subject.
func (b *bench) print(work string) {
	fmt.Fprintf(b.out, "\n%s\n", work)
	printWork(b.out, b.results, work)
}

// printWork prints a line for each subject, or part of one.
func printWork(out io.Writer, r *result.Results, work string) {
	metrics := r.Metrics(work)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	var head []string
	for _, m := range metrics {
		head = append(head, m.Name+" "+m.Unit)
	}
	fmt.Fprintf(w, "  \t%s\n", strings.Join(head, "\t"))
	for _, row := range r.Rows(work) {
		var cells []string
		for i, m := range metrics {
			series, ok := r.FindRow(work, row, m.Name)
			cells = append(cells, cell(r, series, ok, i == 0))
		}
		fmt.Fprintf(w, "  %s\t%s\n", r.Label(row), strings.Join(cells, "\t"))
	}
	w.Flush()
}

// cell is a median with its ratio, and, of the main metric, its spread.
func cell(r *result.Results, s result.Series, ok, main bool) string {
	if !ok {
		return "-"
	}
	text := result.Number(result.Median(s.Values))
	if main {
		least, most := result.Spread(s.Values)
		text += fmt.Sprintf(" [%s to %s]", result.Number(least), result.Number(most))
	}
	if ratio, ok := r.Ratio(s, base()); ok && s.Subject != base() {
		text += fmt.Sprintf(" (%s)", result.Number(ratio))
	}
	return text
}

// printGrowth says of each subject whether what idle connections take grows as
// their number does.
func printGrowth(out io.Writer, r *result.Results) {
	for _, s := range r.Subjects {
		l, ok := result.Linear(r.Growth(s.Key))
		if !ok {
			continue
		}
		fmt.Fprintf(out, "\n%s, each of %s idle connections beside each of %s (1 is linear growth): memory %s, time to establish %s (user time of the server %s), time to close %s\n",
			s.Name, result.Number(float64(l.To)), result.Number(float64(l.From)),
			result.Number(l.Memory), result.Number(l.Establish), result.Number(l.User), result.Number(l.Close))
	}
}
