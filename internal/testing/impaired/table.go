//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// A table measures paths in cells.
type table struct {
	settings
	paths            []path
	rounds, parallel int
	verbose          bool

	rows []row
}

// A row is one cell: the samples of each path, in the order of the seeds.
type row struct {
	Cell    string
	RTT     time.Duration
	Loss    float64
	Reorder float64
	Queue   int
	Samples map[string][]sample // by the name of the path
}

// measure fills in the table, and prints it row by row.
func (t *table) measure(cells []cell) error {
	fmt.Printf("%s on both sides, wire of %d Mbit/s, buffers of %d KiB, %d rounds; Mbit/s, medians [quartiles]; ratio to %v\n\n",
		t.congestion, t.rate/1e6, t.buffer>>10, t.rounds, t.paths[0])
	heading, rule := "| cell |", "|---|"
	for i, p := range t.paths {
		heading, rule = heading+" "+p.name+" |", rule+"---|"
		if i > 0 {
			heading, rule = heading+" ratio |", rule+"---|"
		}
	}
	fmt.Printf("%s\n%s\n", heading, rule)
	for _, c := range cells {
		r, err := t.row(c)
		if err != nil {
			return fmt.Errorf("%v: %w", c, err)
		}
		t.rows = append(t.rows, r)
		fmt.Println(t.line(&r))
		if t.verbose {
			t.printCounters(&r)
		}
	}
	return nil
}

// row measures all paths in one cell, interleaved.
func (t *table) row(c cell) (row, error) {
	r := row{Cell: c.String(), RTT: c.rtt, Loss: c.loss, Reorder: c.reorder, Queue: c.queue(&t.settings), Samples: make(map[string][]sample)}
	for _, p := range t.paths {
		r.Samples[p.name] = make([]sample, t.rounds)
	}
	atOnce := 1
	if c.slow(&t.settings) {
		atOnce = t.parallel
	}
	var (
		all   sync.WaitGroup
		slots = make(chan struct{}, atOnce)
		errs  = make(chan error, t.rounds*len(t.paths))
	)
	for round := range t.rounds {
		for _, p := range t.paths {
			slots <- struct{}{}
			all.Go(func() {
				defer func() { <-slots }()
				if len(errs) > 0 {
					return
				}
				s, err := p.transfer(c, &t.settings, t.seed+uint64(round))
				if err != nil {
					errs <- fmt.Errorf("%v: %w", p, err)
				}
				r.Samples[p.name][round] = s
			})
		}
	}
	all.Wait()
	close(errs)
	return r, <-errs
}

// line is r as a line of the table.
func (t *table) line(r *row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |", r.Cell)
	base := quantile(r.Samples[t.paths[0].name], 0.5)
	for i, p := range t.paths {
		s := r.Samples[p.name]
		fmt.Fprintf(&b, " %.2f [%.2f to %.2f] |", quantile(s, 0.5), quantile(s, 0.25), quantile(s, 0.75))
		if i > 0 {
			fmt.Fprintf(&b, " %.2f |", quantile(s, 0.5)/base)
		}
	}
	return b.String()
}

// quantile is that of the goodputs, between two samples if need be.
func quantile(samples []sample, q float64) float64 {
	var v []float64
	for _, s := range samples {
		v = append(v, s.Mbits)
	}
	slices.Sort(v)
	at := q * float64(len(v)-1)
	i := int(at)
	if i+1 == len(v) {
		return v[i]
	}
	return v[i] + (at-float64(i))*(v[i+1]-v[i])
}

// printCounters prints the counters of each run.
func (t *table) printCounters(r *row) {
	for _, p := range t.paths {
		for _, s := range r.Samples[p.name] {
			fmt.Printf("    %v, seed %d: %.2f Mbit/s, %d frames lost, %d in a full queue\n      sender   %v\n      receiver %v\n",
				p, s.Seed, s.Mbits, s.Lost, s.Overflow, s.Sender, s.Receiver)
		}
	}
}

func (c counters) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(&b, "%s %d, ", name, c[name])
	}
	return strings.TrimSuffix(b.String(), ", ")
}

// writeJSON writes all that was measured to a file.
func (t *table) writeJSON(file string) error {
	text, err := json.MarshalIndent(map[string]any{
		"congestion": t.congestion, "rate": t.rate, "buffer": t.buffer, "offloads": !t.plain, "rows": t.rows,
	}, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
