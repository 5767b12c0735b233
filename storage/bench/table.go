package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// A table prints the medians of each cell as they come.
type table struct {
	w         *tabwriter.Writer
	out       io.Writer
	markdown  bool
	reference string
	servers   []string
}

// newTable prints the head of the table: one line for each cell and server, or, as
// documents have it, one for each cell.
func newTable(out io.Writer, markdown bool, reference string, servers []string) *table {
	t := &table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0), out, markdown, reference, servers}
	if markdown {
		fmt.Fprintf(out, "| cell | %s |\n|%s\n", strings.Join(servers, " | "), strings.Repeat("---|", 1+len(servers)))
	} else {
		fmt.Fprintf(t.w, "cell\tserver\tspeed\tto %s\tCPU s/GB\tclient's\n", reference)
	}
	return t
}

// add prints a cell.
func (t *table) add(c cell, results map[string][]result) {
	if t.markdown {
		fmt.Fprintf(t.out, "| %s |", c.name)
	}
	for _, name := range t.servers {
		speed, ratio, cpu, client := medians(results[name], results[t.reference])
		if t.markdown {
			fmt.Fprintf(t.out, " %.4g; %.2f; %.2f, %.2f |", speed, ratio, cpu, client)
		} else {
			fmt.Fprintf(t.w, "%s\t%s\t%.4g %s\t%.2f\t%.2f\t%.2f\n", c.name, name, speed, c.unit, ratio, cpu, client)
		}
	}
	if t.markdown {
		fmt.Fprintln(t.out)
	}
	t.w.Flush()
}

// medians is those of one server in one cell: of its speed, the ratio to the reference in
// the same round, and seconds for a GB.
func medians(results, reference []result) (speed, ratio, cpu, client float64) {
	var speeds, ratios, cpus, clients []float64
	for i, r := range results {
		speeds = append(speeds, r.speed)
		ratios = append(ratios, r.speed/reference[i].speed)
		cpus = append(cpus, r.cpu)
		clients = append(clients, r.client)
	}
	return median(speeds), median(ratios), median(cpus), median(clients)
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
