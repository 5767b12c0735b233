package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/seed-012105e5/gonet/paper/internal/result"
)

// Execute makes a text of a template file. Files that it names are found from the
// directory of that file. Works, subjects and metrics are given by their names in
// results.json; "gvisor" is whichever of gVisor's configurations is best.
//
//	{{value "WORK" "METRIC" "SUBJECT"}}     a median with its unit
//	{{number "WORK" "METRIC" "SUBJECT"}}    the same without
//	{{ratio "WORK" "METRIC" "ONE" "OTHER"}} of the medians, in the same run
//	{{measured "WORK" "METRIC" "SUBJECT"}}  whether there is one
//	{{more "WORK" "METRIC" "ONE" "OTHER"}}  whether the ratio is 1 or more
//	{{table "NAME"}}                        with the command that makes it
//	{{marks}} {{marksMet}}                  what was to be reached
//	{{linear "SUBJECT"}}                    a sentence on the growth of idle connections
//	{{figure "NAME" "TITLE"}}               of directory figures
//	{{section "FILE" "HEADING"}}            what another text says under a heading
//	{{conditions}} {{machine}} {{runs}}     where and how it was measured
//
// What was not measured is said to be so; a name that cannot be is an error.
func (r *Report) Execute(file string) ([]byte, error) {
	dir := filepath.Dir(file)
	t, err := template.New(filepath.Base(file)).Funcs(r.functions(dir)).ParseFiles(file)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "<!-- Written by `go run ./write` from %s and the results. -->\n\n", filepath.Base(file))
	if err := t.Execute(&b, nil); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (r *Report) functions(dir string) template.FuncMap {
	return template.FuncMap{
		"value": func(work, metric, key string) (string, error) {
			m, err := named(metric, work)
			if err != nil {
				return "", err
			}
			v, ok := r.median(work, m, key)
			return withUnit(v, m.Unit, ok), nil
		},
		"number": func(work, metric, key string) (string, error) {
			m, err := named(metric, work)
			if err != nil {
				return "", err
			}
			return text(r.median(work, m, key)), nil
		},
		"measured": func(work, metric, key string) (bool, error) {
			m, err := named(metric, work)
			if err != nil {
				return false, err
			}
			_, ok := r.median(work, m, key)
			return ok, nil
		},
		"ratio": func(work, metric, key, to string) (string, error) {
			m, err := named(metric, work)
			if err != nil {
				return "", err
			}
			return text(r.ratio(work, m, key, to)), nil
		},
		"more": func(work, metric, key, to string) (bool, error) {
			m, err := named(metric, work)
			if err != nil {
				return false, err
			}
			v, ok := r.ratio(work, m, key, to)
			return ok && v >= 1, nil
		},
		"table": func(name string) (string, error) {
			t, ok := r.tables()[name]
			if !ok {
				return "", fmt.Errorf("there is no table %q", name)
			}
			return r.markdown(t), nil
		},
		"marks": r.Marks, "missed": r.Missed, "marksMet": r.MarksMet,
		"linear": r.Linear, "conditions": r.conditions, "machine": r.machine, "runs": r.runs,
		"figure":  func(name, title string) string { return figure(dir, name, title) },
		"section": func(file, heading string) (string, error) { return section(filepath.Join(dir, file), heading) },
	}
}

// named is a metric of a work by its name. CPU time has the unit of its work.
func named(name, work string) (result.Metric, error) {
	all := result.All()
	i := slices.IndexFunc(all, func(m result.Metric) bool {
		return m.Name == name && (m.Unit != "s/GB" || strings.HasPrefix(work, "bulk"))
	})
	if i < 0 {
		return result.Metric{}, fmt.Errorf("there is no metric %q", name)
	}
	return all[i], nil
}

// withUnit is a number and its unit.
func withUnit(v float64, unit string, ok bool) string {
	switch {
	case !ok:
		return missing
	case strings.HasPrefix(unit, "/"):
		return result.Number(v) + unit
	}
	return result.Number(v) + " " + unit
}

// figure is a link to a figure, where it was drawn.
func figure(dir, name, title string) string {
	file := filepath.Join("figures", name+".svg")
	if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
		return fmt.Sprintf("*%s: not drawn, for it was not measured.*", title)
	}
	return fmt.Sprintf("![%s](%s)", title, file)
}

// section is what stands under a heading of a Markdown file, up to the next of
// the same height.
func section(file, heading string) (string, error) {
	all, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	_, rest, found := strings.Cut("\n"+string(all), "\n## "+heading+"\n")
	if !found {
		return "", fmt.Errorf("%s has no section %q", file, heading)
	}
	text, _, _ := strings.Cut(rest, "\n## ")
	return strings.TrimSpace(text) + "\n", nil
}

// Linear says of a subject whether what idle connections take grows as their
// number does.
func (r *Report) Linear(key string) string {
	points, _ := r.points(key)
	l, ok := result.Linear(points)
	if !ok {
		return "How idle connections grow was " + missing + "."
	}
	return fmt.Sprintf("%s: each of %s connections takes %s times the memory of each of %s, %s times the time to establish (%s times the user time of the server), and %s times the time to close.",
		r.name(key), result.Number(float64(l.To)), result.Number(l.Memory), result.Number(float64(l.From)), result.Number(l.Establish), result.Number(l.User), result.Number(l.Close))
}

// runs tells of all runs.
func (r *Report) runs() string {
	var b strings.Builder
	for i, run := range r.Runs {
		fmt.Fprintf(&b, "%d. `%s`: `%s`, commit %s, %s\n", i+1, run.File, run.Settings.Command, run.Machine.Commit, run.Machine.Date)
		for _, f := range run.Failures {
			fmt.Fprintf(&b, "   - failed: %s, %s, round %d\n", f.Work, run.Name(f.Subject), f.Round)
		}
	}
	return b.String()
}

// Asked is what a template speaks of: the works, subjects and metrics of its
// sentences and tables.
func Asked(file string) (works, subjects []string, err error) {
	r := New()
	r.asked = make(map[question]bool)
	if _, err := r.Execute(file); err != nil {
		return nil, nil, err
	}
	r.Summary()
	for q := range r.asked {
		works, subjects = append(works, q.work), append(subjects, q.subject)
	}
	slices.Sort(works)
	slices.Sort(subjects)
	return slices.Compact(works), slices.Compact(subjects), nil
}

// Tables are the flags by which each table's works are measured, and the works.
func Tables() map[string][]string {
	all := make(map[string][]string)
	for _, t := range New().tables() {
		for _, l := range t.spoken() {
			if works := all[t.made().flags()]; !slices.Contains(works, l.work) {
				all[t.made().flags()] = append(works, l.work)
			}
		}
	}
	return all
}
