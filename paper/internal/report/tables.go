package report

import (
	"fmt"
	"strings"

	"github.com/seed-012105e5/gonet/paper/internal/result"
)

// tables are those that a text can ask for.
func (r *Report) tables() map[string]table {
	return map[string]table{
		"bulk":         bulk(),
		"plain":        plainFrames(),
		"device":       device(),
		"requests":     requests(),
		"connections":  connections(),
		"web":          web(result.Rate),
		"web latency":  web(result.P99),
		"cpu":          cpu(),
		"frames":       frames(),
		"links":        links(),
		"idle":         idle(),
		"growth":       r.growth(),
		"hops":         hops(),
		"graph":        r.graph(),
		"direct":       direct("gonet", "direct", "kernel"),
		"direct plain": direct("gonet-plain", "direct-plain", "kernel-plain"),
		"layers TCP":   layers{"TCP"},
		"layers UDP":   layers{"UDP"},
	}
}

// lines are the same metrics of some works.
func lines(works []string, metrics ...result.Metric) (all []line) {
	for _, w := range works {
		for _, m := range metrics {
			label := w
			if len(metrics) > 1 {
				label += ", " + m.Name
			}
			all = append(all, line{label, w, m})
		}
	}
	return all
}

// streams are the bulk works with some numbers of streams.
func streams(counts ...int) (works []string) {
	for _, way := range []string{"bulk to the server, ", "bulk from the server, "} {
		for _, n := range counts {
			works = append(works, way+plural(n, "stream"))
		}
	}
	return works
}

// toKernelAndGVisor are the ratios of most tables.
func toKernelAndGVisor() []ratio {
	return []ratio{{"GoNet / kernel", "gonet", "kernel"}, {"GoNet / gVisor", "gonet", gvisor}}
}

func bulk() table {
	works := append(streams(1, 8, 64), "bulk to the server by WriteTo, 1 stream", "bulk to the server by WriteTo, 8 streams")
	return comparison{
		origin: origin{expression: "^bulk"}, works: lines(works, result.Goodput), spread: true,
		subjects: []string{"kernel", "gonet", gvisor, "raw-copy", "raw"},
		ratios:   append(toKernelAndGVisor(), ratio{"GoNet / copied once", "gonet", "raw-copy"}),
	}
}

func plainFrames() table {
	return comparison{
		origin: origin{expression: "^bulk (to|from)"}, works: lines(streams(1, 8, 64), result.Goodput), spread: true,
		subjects: []string{"kernel-plain", "gonet-plain", "gvisor-tap", "raw-plain"},
		ratios:   []ratio{{"GoNet / kernel", "gonet-plain", "kernel-plain"}, {"GoNet / gVisor", "gonet-plain", "gvisor-tap"}},
	}
}

func device() table {
	works := []string{"read of a frame of 1514 bytes", "write of a frame of 1514 bytes"}
	return comparison{
		origin: origin{expression: "of a frame of"}, works: lines(works, result.PerFrame), spread: true,
		subjects: []string{"raw", "raw-plain"},
	}
}

// oneByte are the works of a byte there and back.
func oneByte(ways ...string) (works []string) {
	for _, p := range []string{"TCP", "UDP"} {
		for _, way := range ways {
			works = append(works, "1 byte over "+p+", "+way)
		}
	}
	return works
}

func requests() table {
	return comparison{
		origin: origin{expression: "^1 byte"}, works: lines(oneByte("both on one CPU", "a CPU each", "64 at a time"), result.P50, result.P99, result.P999),
		subjects: []string{"kernel", "gonet", gvisor, "raw"}, ratios: toKernelAndGVisor(),
	}
}

func connections() table {
	works := []string{"connections made and closed, 1 at a time", "connections made and closed, 32 at a time"}
	return comparison{
		origin: origin{expression: "^connections"}, works: lines(works, result.Rate, result.P50, result.P99), spread: true,
		subjects: []string{"kernel", "gonet", gvisor}, ratios: toKernelAndGVisor(),
	}
}

func web(m result.Metric) table {
	var works []string
	for _, p := range []string{"HTTP", "HTTPS"} {
		for _, body := range []string{"1 KB", "1 MB"} {
			for _, n := range []int{1, 32, 256} {
				works = append(works, fmt.Sprintf("%s of %s by wrk, %s", p, body, plural(n, "connection")))
			}
		}
	}
	return comparison{
		origin: origin{expression: "^HTTP"}, works: lines(works, m), subjects: []string{"kernel", "gonet", gvisor}, ratios: toKernelAndGVisor(),
	}
}

func cpu() table {
	return comparison{
		origin: origin{expression: "^bulk (to|from)"}, works: lines(streams(1, 8), result.CPUMachine, result.CPUServer, result.CPUClient),
		subjects: []string{"kernel", "gonet", gvisor, "raw-copy", "kernel-plain", "gonet-plain"},
		ratios:   toKernelAndGVisor(),
	}
}

func frames() table {
	t := profile{
		origin: origin{expression: "^(bulk (to|from)|1 byte)"}, first: "of GoNet's process",
		metrics: []result.Metric{result.FrameSize, result.Allocations, result.Switches, result.Threads},
	}
	works := append(streams(1, 8), oneByte("both on one CPU", "a CPU each")...)
	for _, s := range []struct{ key, label string }{{"gonet", ""}, {"gonet-plain", ", plain frames"}} {
		for _, w := range works {
			t.works = append(t.works, labelled{w + s.label, w, s.key})
		}
	}
	return t
}

func links() table {
	return comparison{
		origin: origin{expression: "^bulk (to|from) the server, 8 streams$"}, works: lines(streams(8), result.Goodput, result.CPUMachine), spread: true,
		subjects: []string{"kernel", "kernel-8links", "gonet", "gonet-8links", "gonet-8stacks"},
		ratios: []ratio{
			{"GoNet: 8 links / one", "gonet-8links", "gonet"}, {"8 stacks / one", "gonet-8stacks", "gonet"},
			{"8 links: GoNet / kernel", "gonet-8links", "kernel-8links"},
		},
	}
}

func idle() table {
	works := []string{result.IdleWork(10000)}
	return comparison{
		origin: origin{expression: "^10,000 idle"}, subjects: []string{"kernel", "gonet", gvisor}, ratios: toKernelAndGVisor(),
		works: lines(works, result.Memory, result.Heap, result.Kernel, result.EstablishTime, result.EstablishUser, result.EstablishSystem, result.P50, result.P99, result.CloseTime),
	}
}

// growth has a line for each number of connections that was held.
func (r *Report) growth() table {
	t := profile{
		origin: origin{expression: "idle"}, first: "GoNet, connections",
		metrics: []result.Metric{
			result.Memory, result.Process, result.Peak, result.EstablishTime, result.EstablishUser, result.EstablishSystem, result.P50, result.P99, result.Answering, result.CloseTime,
		},
	}
	numbers := []int{10000, 100000, 1000000} // of a report that has none
	if points, run := r.points("gonet"); len(points) > 0 {
		t.from, numbers = run, nil
		for _, p := range points {
			numbers = append(numbers, p.N)
		}
	}
	t.more = " -subjects gonet -idle " + strings.Trim(strings.ReplaceAll(fmt.Sprint(numbers), " ", ","), "[]")
	for _, n := range numbers {
		t.works = append(t.works, labelled{result.Number(float64(n)), result.IdleWork(n), "gonet"})
	}
	return t
}

// points are the growth of a subject, in the run that has the most connections.
func (r *Report) points(key string) (most []result.Point, of *Run) {
	for _, run := range r.Runs {
		points := run.Growth(key)
		if n := len(points); n > 0 && (most == nil || points[n-1].N > most[len(most)-1].N) {
			most, of = points, &run
		}
	}
	return most, of
}

func hops() table {
	t := profile{
		origin: origin{expression: "^6 hops"}, first: "an echo request in memory",
		metrics: []result.Metric{result.PerFrame, result.PerHop, result.Allocations, result.Switches, result.Threads},
	}
	for _, w := range []string{
		"6 hops in memory, busy, one CPU", "6 hops in memory, busy",
		"6 hops in memory, a packet at a time, one CPU", "6 hops in memory, a packet at a time",
	} {
		for _, s := range []struct{ key, name string }{
			{"graph", "the graph"}, {"chain", "processes that only hand on"}, {"channel", "one channel"},
		} {
			t.works = append(t.works, labelled{w + ": " + s.name, w, s.key})
		}
	}
	return t
}

// direct compares the graph with the same machines, called in one loop without
// channels.
func direct(graph, loop, kernel string) table {
	var tcp []string
	for _, work := range oneByte("both on one CPU", "a CPU each", "64 at a time") {
		if strings.Contains(work, "TCP") { // the loop has no UDP
			tcp = append(tcp, work)
		}
	}
	return comparison{
		origin:   origin{expression: "^(bulk|1 byte over TCP)"},
		works:    append(lines(streams(1, 8), result.Goodput, result.CPUMachine), lines(tcp, result.P50, result.P99)...),
		subjects: []string{graph, loop, kernel},
		ratios:   []ratio{{"graph / one loop", graph, loop}, {"one loop / kernel", loop, kernel}},
	}
}

// graph is what the graph costs beside one loop: in a run that has counted
// copies.
func (r *Report) graph() table {
	const work = "bulk to the server, 1 stream"
	t := comparison{
		origin: origin{
			expression: "^(bulk (to|from) the server, (1|8) streams?$|1 byte over TCP, (both|64)|connections made and closed, 1 )",
			more:       " -subjects gonet,direct -busypoll -1ns -queues 1", tags: "copies",
		},
		works: append(
			lines(streams(1, 8), result.Hops, result.Switches, result.Copies, result.CPUServer),
			lines([]string{"1 byte over TCP, both on one CPU", "1 byte over TCP, 64 at a time", "connections made and closed, 1 at a time"},
				result.WorkHops, result.WakeUps, result.WorkCopies, result.WorkServer)...),
		subjects: []string{"gonet", "direct"}, ratios: []ratio{{"graph / one loop", "gonet", "direct"}},
	}
	for _, run := range r.Runs {
		if _, ok := run.Find(work, "direct", result.Copies.Name); ok {
			t.from = &run
		}
	}
	return t
}
