// Package result is what the benchmark has measured: series of figures, how
// they are kept in files, and how they are compared.
package result

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
)

// Results is one run of the benchmark.
type Results struct {
	Machine  Machine   `json:"machine"`
	Settings Settings  `json:"settings"`
	Subjects []Subject `json:"subjects"` // in the order in which they are shown
	Works    []string  `json:"works"`    // in the order in which they were done
	Series   []Series  `json:"series"`
	Failures []Failure `json:"failures,omitempty"`
}

// Machine is where the benchmark ran.
type Machine struct {
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	CPU    string `json:"cpu"`
	CPUs   int    `json:"cpus"`
	Commit string `json:"commit,omitempty"` // of this repository
	Date   string `json:"date"`
}

// Settings is what the command line said.
type Settings struct {
	Congestion string  `json:"congestion"` // the congestion control of both sides
	Rounds     int     `json:"rounds"`
	Seconds    float64 `json:"seconds"` // of each measurement, without its warm-up
	Command    string  `json:"command"`
}

// A Subject is what was measured.
type Subject struct {
	Key  string `json:"key"`  // for programs: "gonet-offload"
	Name string `json:"name"` // for people: "GoNet, offload tap"
}

// A Series is one metric of one work on one subject, a value each round.
type Series struct {
	Work    string    `json:"work"`
	Subject string    `json:"subject"` // its key
	Part    string    `json:"part,omitempty"`
	Metric  Metric    `json:"metric"`
	Values  []float64 `json:"values"`
}

// A Failure is a measurement that gave nothing.
type Failure struct {
	Work    string `json:"work"`
	Subject string `json:"subject"`
	Round   int    `json:"round"` // from 1
	Error   string `json:"error"`
}

// Add appends a figure to the series that it belongs to.
func (r *Results) Add(work, subject string, f Figure) {
	i := r.index(work, Row{subject, f.Part}, f.Metric.Name)
	if i < 0 {
		i = len(r.Series)
		r.Series = append(r.Series, Series{Work: work, Subject: subject, Part: f.Part, Metric: f.Metric})
	}
	r.Series[i].Values = append(r.Series[i].Values, rounded(f.Value))
}

// rounded is v with six digits: no measurement is more exact.
func rounded(v float64) float64 {
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 6, 64), 64)
	if err != nil {
		return v // infinite, as no measurement is
	}
	return short
}

// Find returns the series of a whole subject; ok is false when it was not
// measured.
func (r *Results) Find(work, subject, metric string) (s Series, ok bool) {
	return r.FindRow(work, Row{Subject: subject}, metric)
}

// FindRow is Find for a part of a subject too.
func (r *Results) FindRow(work string, row Row, metric string) (s Series, ok bool) {
	if i := r.index(work, row, metric); i >= 0 {
		return r.Series[i], true
	}
	return Series{}, false
}

func (r *Results) index(work string, row Row, metric string) int {
	return slices.IndexFunc(r.Series, func(s Series) bool {
		return s.Work == work && s.Row() == row && s.Metric.Name == metric
	})
}

// A Row is a subject, or a part of it.
type Row struct{ Subject, Part string }

// Row is what a series is of.
func (s Series) Row() Row { return Row{s.Subject, s.Part} }

// Rows are what a work has figures of, by the order of the subjects and that in
// which their parts were first met.
func (r *Results) Rows(work string) (rows []Row) {
	for _, subject := range r.Subjects {
		for _, s := range r.Series {
			if s.Work == work && s.Subject == subject.Key && !slices.Contains(rows, s.Row()) {
				rows = append(rows, s.Row())
			}
		}
	}
	return rows
}

// Label is what a row is called.
func (r *Results) Label(row Row) string {
	if row.Part == "" {
		return r.Name(row.Subject)
	}
	return r.Name(row.Subject) + ": " + row.Part
}

// Metrics are those that a work has given on any subject, in the order in
// which they were first met.
func (r *Results) Metrics(work string) (all []Metric) {
	for _, s := range r.Series {
		if s.Work == work && !slices.ContainsFunc(all, func(m Metric) bool { return m.Name == s.Metric.Name }) {
			all = append(all, s.Metric)
		}
	}
	return all
}

// Name is the name of a subject, by its key.
func (r *Results) Name(key string) string {
	for _, s := range r.Subjects {
		if s.Key == key {
			return s.Name
		}
	}
	return key
}

// Ratio is the median of a series in relation to that of the same work and
// metric on another subject; ok is false when one of them was not measured, or
// the other is 0.
func (r *Results) Ratio(s Series, base string) (ratio float64, ok bool) {
	b, ok := r.FindRow(s.Work, Row{base, s.Part}, s.Metric.Name)
	if !ok || Median(b.Values) == 0 || len(s.Values) == 0 {
		return 0, false
	}
	return Median(s.Values) / Median(b.Values), true
}

// Write writes the results to a file as JSON, with a line for each series.
func (r *Results) Write(file string) error {
	head := *r
	head.Series = []Series{}
	text, err := json.MarshalIndent(head, "", "\t")
	if err != nil {
		return err
	}
	var lines [][]byte
	for _, s := range r.Series {
		line, err := json.Marshal(s)
		if err != nil {
			return err
		}
		lines = append(lines, append([]byte("\n\t\t"), line...))
	}
	series := append(bytes.Join(lines, []byte(",")), "\n\t]"...)
	text = bytes.Replace(text, []byte(`"series": []`), append([]byte(`"series": [`), series...), 1)
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// Read reads what Write has written.
func Read(file string) (*Results, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := new(Results)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}
