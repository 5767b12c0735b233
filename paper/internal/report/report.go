// Package report writes what was measured as Markdown: tables, and figures inside
// sentences. What was not measured is said to be so.
package report

import (
	"slices"
	"strconv"

	"github.com/seed-012105e5/gonet/paper/internal/result"
)

// A Run is one run of the benchmark.
type Run struct {
	File string // that it has written
	*result.Results
}

// A Report is made of some runs. Where several have measured a work, the first of
// them counts. Only figures of the same run are compared.
type Report struct {
	Runs []Run

	asked map[question]bool // nil unless somebody wants to know
}

// A question is a work, a subject and a metric that a text speaks of; "" means
// that it speaks of none.
type question struct{ work, subject, metric string }

// New makes a report.
func New(runs ...Run) *Report { return &Report{Runs: runs} }

// missing stands where there is no figure.
const missing = "not measured"

// run is the first run that has measured a work on a subject of some.
func (r *Report) run(work string, subjects ...string) (Run, bool) {
	for _, run := range r.Runs {
		for _, s := range run.Series {
			if s.Work == work && slices.Contains(subjects, s.Subject) {
				return run, true
			}
		}
	}
	return Run{}, false
}

// ask notes what a text speaks of.
func (r *Report) ask(work string, subjects []string, metric string) {
	for _, s := range subjects {
		if r.asked != nil {
			r.asked[question{work, s, metric}] = true
		}
	}
}

// name is what people call a subject: as the first run has it that knows it.
func (r *Report) name(key string) string {
	for _, run := range r.Runs {
		if name := run.Name(key); name != key {
			return name
		}
	}
	return key
}

// gvisor stands for that configuration of gVisor's which is best at a work, of
// those with big frames.
const gvisor = "gvisor"

// group are the subjects that a key stands for.
func group(key string) []string {
	if key == gvisor {
		return []string{"gvisor-recvmmsg", "gvisor-mmap", "gvisor-tap"}
	}
	return []string{key}
}

// head is what a group of subjects is called.
func (r *Report) head(key string) string {
	if key == gvisor {
		return "gVisor, its best"
	}
	return r.name(key)
}

// best is the series with the best median of a group, in the run that has
// measured the work on a subject of with; ok is false when there is none.
func (r *Report) best(work string, m result.Metric, key, with string) (best result.Series, ok bool) {
	r.ask(work, group(key), m.Name)
	run, found := r.run(work, group(with)...)
	if !found {
		return best, false
	}
	for _, k := range group(key) {
		s, measured := run.Find(work, k, m.Name)
		if !measured || len(s.Values) == 0 {
			continue
		}
		if v, was := result.Median(s.Values), result.Median(best.Values); !ok || m.Less == (v < was) {
			best, ok = s, true
		}
	}
	return best, ok
}

// median is the best median of a group; ok is false when there is none.
func (r *Report) median(work string, m result.Metric, key string) (v float64, ok bool) {
	s, ok := r.best(work, m, key, key)
	return result.Median(s.Values), ok
}

// ratio is the median of one group in relation to that of another, in the same
// run; ok is false when there is none.
func (r *Report) ratio(work string, m result.Metric, key, to string) (v float64, ok bool) {
	ours, ok := r.best(work, m, key, key)
	base, measured := r.best(work, m, to, key)
	if b := result.Median(base.Values); ok && measured && b != 0 {
		return result.Median(ours.Values) / b, true
	}
	return 0, false
}

// text is a number, or that there is none.
func text(v float64, ok bool) string {
	if !ok {
		return missing
	}
	return result.Number(v)
}

// spread is a median and, when there are several values, the least and the
// greatest.
func spread(s result.Series) string {
	v := result.Number(result.Median(s.Values))
	if len(s.Values) < 2 {
		return v
	}
	least, most := result.Spread(s.Values)
	return v + " [" + result.Number(least) + " to " + result.Number(most) + "]"
}

// plural is a number of things.
func plural(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.Itoa(n) + " " + thing
}
