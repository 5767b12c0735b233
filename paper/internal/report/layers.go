package report

import (
	"fmt"

	"github.com/seed-012105e5/gonet/paper/internal/result"
)

// layers are the processes of GoNet that a byte passes, there and back.
type layers struct{ protocol string }

func (t layers) work() string {
	return fmt.Sprintf("layers of 1 byte over %s, both on one CPU", t.protocol)
}
func (t layers) made() origin       { return origin{expression: "^layers"} }
func (t layers) spoken() []labelled { return []labelled{{"", t.work(), "gonet"}} }

// rows has a line for each process, and one for all of them.
func (t layers) rows(r *Report) (head []cell, lines [][]string) {
	metrics := []result.Metric{result.Running, result.Ready, result.WakeUps}
	head = []cell{{"process", false}}
	for _, m := range metrics {
		head = append(head, cell{m.Name + ", " + m.Unit, true})
		r.ask(t.work(), []string{"gonet"}, m.Name)
	}
	run, ok := r.run(t.work(), "gonet")
	if !ok {
		return head, nil
	}
	sums := make([]float64, len(metrics))
	for _, row := range run.Rows(t.work()) {
		if row.Subject != "gonet" || row.Part == "" {
			continue
		}
		cells := []string{row.Part}
		for i, m := range metrics {
			s, ok := run.FindRow(t.work(), row, m.Name)
			v := result.Median(s.Values)
			cells, sums[i] = append(cells, text(v, ok)), sums[i]+v
		}
		lines = append(lines, cells)
	}
	all := []string{"all"}
	for _, v := range sums {
		all = append(all, result.Number(v))
	}
	return head, append(lines, all)
}
