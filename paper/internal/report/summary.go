package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-012105e5/gonet/paper/internal/result"
)

// Summary is the table of README.md, which compares GoNet with the kernel and
// with gVisor. Lines that were not measured are left out.
func (r *Report) Summary() string {
	head := []cell{{"work", false}, {"", false}, {"kernel, veth", true}, {"GoNet, tap", true}, {"to the kernel", true},
		{"gVisor, its best", true}, {"to gVisor", true}}
	var lines [][]string
	for _, s := range summary() {
		v, ok := r.median(s.work, s.metric, s.ours)
		if !ok {
			continue
		}
		lines = append(lines, []string{
			s.label, s.metric.Unit, text(r.with(s, s.kernel)), text(v, ok), text(r.ratio(s.work, s.metric, s.ours, s.kernel)),
			text(r.with(s, s.gvisor)), text(r.ratio(s.work, s.metric, s.ours, s.gvisor)),
		})
	}
	return r.conditions() + "\n\n" + grid(head, lines)
}

// with is the median of a subject in the run that ours is of.
func (r *Report) with(s summed, key string) (v float64, ok bool) {
	series, ok := r.best(s.work, s.metric, key, s.ours)
	return result.Median(series.Values), ok
}

// conditions says where and how the first run was made.
func (r *Report) conditions() string {
	if len(r.Runs) == 0 {
		return "Nothing was measured."
	}
	return fmt.Sprintf("Medians of %s, congestion control %s, on %s.", r.rounds(), r.Runs[0].Settings.Congestion, r.machine())
}

// rounds says how many rounds the runs have, of which each work is of one.
func (r *Report) rounds() string {
	var counts []string
	for _, run := range r.Runs {
		if n := strconv.Itoa(run.Settings.Rounds); !slices.Contains(counts, n) {
			counts = append(counts, n)
		}
	}
	if len(counts) == 1 {
		return plural(r.Runs[0].Settings.Rounds, "round")
	}
	last := len(counts) - 1
	return strings.Join(counts[:last], ", ") + " or " + counts[last] + " rounds"
}

// machine is where the first run was made.
func (r *Report) machine() string {
	if len(r.Runs) == 0 {
		return "no machine"
	}
	m := r.Runs[0].Machine
	return fmt.Sprintf("%s (%s), %s, %s", plural(m.CPUs, "CPU"), m.CPU, m.Kernel, m.Go)
}

// A summed is a line of the summary.
type summed struct {
	line
	kernel, ours, gvisor string
}

// Subjects with big frames, and those with frames of 1514 bytes.
func offload(label, work string, m result.Metric) summed {
	return summed{line{label, work, m}, "kernel", "gonet", gvisor}
}

func plain(label, work string, m result.Metric) summed {
	return summed{line{label, work, m}, "kernel-plain", "gonet-plain", "gvisor-tap"}
}

func summary() []summed {
	return []summed{
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
		offload("an idle connection", result.IdleWork(10000), result.Memory),
	}
}
