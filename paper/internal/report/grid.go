package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed-012105e5/gonet/paper/internal/result"
)

// A table is something that can be asked for by its name.
type table interface {
	// rows are the head and the lines of the table; no lines mean that nothing
	// was measured.
	rows(r *Report) (head []cell, lines [][]string)

	// spoken are the works and subjects that it speaks of.
	spoken() []labelled

	// made is where its figures come from.
	made() origin
}

// An origin is what measures a table.
type origin struct {
	expression string // of the works
	more       string // flags
	tags       string // of the build
	from       *Run   // that all of it is of; nil means the first that has measured a work
}

func (o origin) made() origin { return o }

// flags have the benchmark measure just this.
func (o origin) flags() string { return "-only '" + o.expression + "'" + o.more }

// runs are those that the figures may be of.
func (o origin) runs(r *Report) *Report {
	if o.from != nil {
		return New(*o.from)
	}
	return r
}

// A cell is a part of a head.
type cell struct {
	text   string
	number bool // aligned to the right
}

// A comparison has a line for each work and metric, and a column for each subject.
type comparison struct {
	origin
	works    []line
	subjects []string // keys, or gvisor
	ratios   []ratio
	spread   bool // shown with each median
}

// A line is one metric of one work.
type line struct {
	label, work string
	metric      result.Metric
}

// A ratio is a column with the ratio of one subject to another.
type ratio struct{ head, of, to string }

func (t comparison) rows(r *Report) (head []cell, lines [][]string) {
	r = t.runs(r)
	works := slices.DeleteFunc(slices.Clone(t.works), func(l line) bool { return !t.measured(r, l, t.subjects) })
	subjects := slices.DeleteFunc(slices.Clone(t.subjects), func(key string) bool {
		return !slices.ContainsFunc(works, func(l line) bool { return t.measured(r, l, []string{key}) })
	})
	head = []cell{{"work", false}, {"", false}}
	for _, key := range subjects {
		head = append(head, cell{r.head(key), true})
	}
	for _, x := range t.ratios {
		head = append(head, cell{x.head, true})
	}
	for _, l := range works {
		cells := []string{l.label, l.metric.Unit}
		for _, key := range subjects {
			cells = append(cells, t.cell(r, l, key))
		}
		for _, x := range t.ratios {
			cells = append(cells, text(r.ratio(l.work, l.metric, x.of, x.to)))
		}
		lines = append(lines, cells)
	}
	return head, lines
}

func (t comparison) spoken() (all []labelled) {
	for _, l := range t.works {
		for _, key := range t.subjects {
			all = append(all, labelled{l.label, l.work, key})
		}
	}
	return all
}

func (t comparison) measured(r *Report, l line, keys []string) bool {
	measured := false
	for _, key := range keys { // all of them, to be asked for
		_, ok := r.best(l.work, l.metric, key, key)
		measured = measured || ok
	}
	return measured
}

func (t comparison) cell(r *Report, l line, key string) string {
	s, ok := r.best(l.work, l.metric, key, key)
	switch {
	case !ok:
		return missing
	case t.spread:
		return spread(s)
	}
	return text(result.Median(s.Values), ok)
}

// A profile has a line for each work on a subject, and a column for each metric.
type profile struct {
	origin
	first   string // what stands over the labels
	works   []labelled
	metrics []result.Metric
}

// A labelled is a work on a subject.
type labelled struct{ label, work, subject string }

func (t profile) spoken() []labelled { return t.works }

func (t profile) rows(r *Report) (head []cell, lines [][]string) {
	head = []cell{{t.first, false}}
	for _, m := range t.metrics {
		head = append(head, cell{m.Name + ", " + m.Unit, true})
	}
	r = t.runs(r)
	for _, w := range t.works {
		cells, any := []string{w.label}, false
		for _, m := range t.metrics {
			v, ok := r.median(w.work, m, w.subject)
			cells, any = append(cells, text(v, ok)), any || ok
		}
		if any {
			lines = append(lines, cells)
		}
	}
	return head, lines
}

// markdown is a table, with a line under it that says how to make it.
func (r *Report) markdown(t table) string {
	head, lines := t.rows(r)
	if len(lines) == 0 {
		return fmt.Sprintf("*Not measured.* It is made by `%s`.\n", command(t.made(), result.Settings{}))
	}
	return grid(head, lines) + "\n" + r.made(t)
}

// grid is a head and lines in Markdown.
func grid(head []cell, lines [][]string) string {
	var b strings.Builder
	var heads, rules []string
	for _, c := range head {
		rule := "---"
		if c.number {
			rule = "---:"
		}
		heads, rules = append(heads, c.text), append(rules, rule)
	}
	fmt.Fprintf(&b, "| %s |\n|%s|\n", strings.Join(heads, " | "), strings.Join(rules, "|"))
	for _, cells := range lines {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	return b.String()
}

// made says what commands make a table, what runs it is of, and what is missing.
func (r *Report) made(t table) string {
	var commands []string
	for i, run := range r.Runs {
		if r.uses(t, run) {
			commands = append(commands, fmt.Sprintf("`%s` (run %d)", command(t.made(), run.Settings), i+1))
		}
	}
	s := "*Made by* " + strings.Join(commands, ", ") + "."
	if c, ok := t.(comparison); ok && c.from == nil {
		s += c.gaps(r)
	}
	return s + "\n"
}

// gaps tells of the lines and columns that were left out.
func (t comparison) gaps(r *Report) string {
	var gaps []string
	for _, key := range t.subjects {
		if !slices.ContainsFunc(t.works, func(l line) bool { return t.measured(r, l, []string{key}) }) {
			gaps = append(gaps, r.head(key))
		}
	}
	for _, l := range t.works {
		if !t.measured(r, l, t.subjects) {
			gaps = append(gaps, l.label)
		}
	}
	const most = 4 // that are named
	if more := len(gaps) - most; more > 1 {
		gaps = append(gaps[:most], fmt.Sprintf("%d more", more))
	}
	if len(gaps) == 0 {
		return ""
	}
	return " *Not measured: " + strings.Join(gaps, "; ") + ".*"
}

// command is the command that measures just a table.
func command(o origin, s result.Settings) string {
	words := []string{"go run ./bench"}
	if o.tags != "" {
		words[0] = "go run -tags " + o.tags + " ./bench"
	}
	if s.Rounds > 0 {
		words = append(words, fmt.Sprintf("-rounds %d -seconds %v -cc %s", s.Rounds, s.Seconds, s.Congestion))
	}
	return strings.Join(append(words, o.flags()), " ")
}

// uses says whether a table has figures of a run.
func (r *Report) uses(t table, run Run) bool {
	if from := t.made().from; from != nil {
		return from.File == run.File
	}
	return slices.ContainsFunc(t.spoken(), func(l labelled) bool {
		of, ok := r.run(l.work, group(l.subject)...)
		return ok && of.File == run.File
	})
}
