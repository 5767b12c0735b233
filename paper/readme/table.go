package main

import (
	"fmt"
	"strings"

	"github.com/seed-012105e5/gonet/paper/internal/result"
)

// A row compares GoNet with the kernel and with gVisor on one work.
type row struct {
	label        string
	work         string
	metric       result.Metric
	kernel, ours string   // keys of subjects
	gvisor       []string // the best of them counts
}

// Subjects with big frames, and those with frames of 1514 bytes.
func offload(label, work string, m result.Metric) row {
	return row{label, work, m, "kernel", "gonet", []string{"gvisor-recvmmsg", "gvisor-mmap", "gvisor-tap"}}
}

func plain(label, work string, m result.Metric) row {
	return row{label, work, m, "kernel-plain", "gonet-plain", []string{"gvisor-tap"}}
}

func rows() []row {
	return []row{
		offload("bulk to the stack, 1 stream", "bulk to the server, 1 stream", result.Goodput),
		offload("bulk to the stack, 8 streams", "bulk to the server, 8 streams", result.Goodput),
		offload("bulk from the stack, 1 stream", "bulk from the server, 1 stream", result.Goodput),
		offload("bulk from the stack, 8 streams", "bulk from the server, 8 streams", result.Goodput),
		plain("bulk to the stack, plain frames, 8 streams", "bulk to the server, 8 streams", result.Goodput),
		plain("bulk from the stack, plain frames, 8 streams", "bulk from the server, 8 streams", result.Goodput),
		offload("1 byte over TCP on one CPU, p50", "1 byte over TCP, both on one CPU", result.P50),
		offload("1 byte over TCP, a CPU each, p50", "1 byte over TCP, a CPU each", result.P50),
		offload("1 byte over TCP, a CPU each, p99", "1 byte over TCP, a CPU each", result.P99),
		offload("1 byte over UDP on one CPU, p50", "1 byte over UDP, both on one CPU", result.P50),
		offload("connect, request, close", "connections made and closed, 1 at a time", result.Rate),
		offload("HTTP of 1 KB by wrk, 32 connections", "HTTP of 1 KB by wrk, 32 connections", result.Rate),
		offload("HTTP of 1 KB by wrk, 256 connections", "HTTP of 1 KB by wrk, 256 connections", result.Rate),
		offload("an idle connection", "10,000 idle connections", result.Memory),
	}
}

// table is the summary in Markdown. Rows that were not measured are left out.
func table(r *result.Results) string {
	var b strings.Builder
	m, s := r.Machine, r.Settings
	fmt.Fprintf(&b, "Medians of %d rounds, congestion control %s, on %d CPUs (%s), %s, %s.\n\n",
		s.Rounds, s.Congestion, m.CPUs, m.CPU, m.Kernel, m.Go)
	b.WriteString("| work | | kernel, veth | GoNet, tap | to the kernel | gVisor, its best | to gVisor |\n")
	b.WriteString("|---|---|---:|---:|---:|---:|---:|\n")
	for _, row := range rows() {
		if line, ok := row.line(r); ok {
			b.WriteString(line)
		}
	}
	return b.String()
}

// line is a line of the table; ok is false when the work was not measured.
func (w row) line(r *result.Results) (line string, ok bool) {
	ours, ok := r.Find(w.work, w.ours, w.metric.Name)
	if !ok {
		return "", false
	}
	v := result.Median(ours.Values)
	kernel, kernelRatio := compared(v, r, w, []string{w.kernel})
	gvisor, gvisorRatio := compared(v, r, w, w.gvisor)
	cells := []string{w.label, w.metric.Unit, kernel, result.Number(v), kernelRatio, gvisor, gvisorRatio}
	return "| " + strings.Join(cells, " | ") + " |\n", true
}

// compared is the best median of some subjects, and the ratio of v to it.
func compared(v float64, r *result.Results, w row, keys []string) (value, ratio string) {
	best, found := 0.0, false
	for _, key := range keys {
		s, ok := r.Find(w.work, key, w.metric.Name)
		if !ok {
			continue
		}
		m := result.Median(s.Values)
		if !found || w.metric.Less == (m < best) {
			best, found = m, true
		}
	}
	if !found || best == 0 {
		return "", ""
	}
	return result.Number(best), result.Number(v / best)
}
