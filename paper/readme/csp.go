package main

import (
	"fmt"
	"io"

	"github.com/seed-012105e5/gonet/paper/internal/result"
)

// cspRows are what the graph costs: figures of GoNet beside those of its
// machines called in one loop.
func cspRows() (all []cspRow) {
	for _, work := range []string{
		"bulk to the server, 1 stream", "bulk to the server, 8 streams", "bulk from the server, 1 stream", "bulk from the server, 8 streams",
	} {
		for _, m := range []result.Metric{result.Hops, result.Switches, result.Copies, result.CPUServer, result.Goodput} {
			all = append(all, cspRow{work, m})
		}
	}
	for _, work := range []string{
		"1 byte over TCP, both on one CPU", "1 byte over TCP, 64 at a time", "connections made and closed, 1 at a time",
	} {
		for _, m := range []result.Metric{result.WorkHops, result.WakeUps, result.WorkCopies, result.WorkServer, result.P50} {
			all = append(all, cspRow{work, m})
		}
	}
	return all
}

type cspRow struct {
	work   string
	metric result.Metric
}

// printCSP prints these rows in Markdown. What was not measured is left out.
func printCSP(w io.Writer, results string) error {
	r, err := result.Read(results)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, cspTable(r))
	return err
}

func cspTable(r *result.Results) string {
	text := "| work | | unit | the graph | one loop | graph to loop |\n|---|---|---|---:|---:|---:|\n"
	for _, row := range cspRows() {
		graph, measured := r.Find(row.work, "gonet", row.metric.Name)
		loop, too := r.Find(row.work, "direct", row.metric.Name)
		if !measured || !too {
			continue
		}
		ratio := ""
		if v, ok := r.Ratio(graph, "direct"); ok {
			ratio = result.Number(v)
		}
		text += fmt.Sprintf("| %s | %s | %s | %s | %s | %s |\n", row.work, row.metric.Name, row.metric.Unit,
			result.Number(result.Median(graph.Values)), result.Number(result.Median(loop.Values)), ratio)
	}
	return text
}
