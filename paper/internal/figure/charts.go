package figure

import (
	"regexp"

	"github.com/seed-012105e5/gonet/paper/internal/result"
)

// charts are the charts of one metric over some works.
func charts(r *result.Results) []chart {
	offload := []string{"kernel", "gonet", "gvisor-recvmmsg", "gvisor-mmap", "raw-copy", "raw"}
	plain := []string{"kernel-plain", "gonet-plain", "gvisor-tap", "raw-plain"}
	sockets := []string{"kernel", "gonet", "gonet-plain", "gvisor-tap", "gvisor-recvmmsg", "gvisor-mmap"}
	bulk := works(r, "bulk (to|from) the server, (\\d+) streams?", "$1, $2")
	one := works(r, "1 byte over (TCP|UDP), (both on one CPU|a CPU each)", "$1, $2")
	many := works(r, "1 byte over (TCP|UDP), (64 at a time)", "$1, $2")
	connections := works(r, "connections made and closed, (.*)", "$1")
	small := works(r, "(HTTPS?) of 1 KB by wrk, (\\d+) .*", "$1, $2")
	large := works(r, "(HTTPS?) of 1 MB by wrk, (\\d+) .*", "$1, $2")
	held := works(r, "(.*) idle connections", "$1")
	eight := works(r, "bulk (to|from) the server, 8 streams", "$1 the server")
	links := []string{"kernel", "kernel-8links", "gonet", "gonet-8links", "gonet-8stacks"}
	hops := works(r, "6 hops in memory, (.*)", "$1")
	all := []chart{
		{"bulk-offload", "Bulk, with offloads: way, streams", result.Goodput, offload, bulk},
		{"bulk-plain", "Bulk, frames of 1514 bytes: way, streams", result.Goodput, plain, bulk},
		{"cpu-offload", "CPU time of the machine for bulk, with offloads: way, streams", result.CPUMachine, offload, bulk},
		{"cpu-plain", "CPU time of the machine for bulk, frames of 1514 bytes: way, streams", result.CPUMachine, plain, bulk},
		{"latency-p50", "One byte there and back, median", result.P50, append(sockets, "raw"), one},
		{"latency-p99", "One byte there and back, 99th percentile", result.P99, append(sockets, "raw"), one},
		{"latency-64", "One byte there and back, 64 at a time, median", result.P50, append(sockets, "raw"), many},
		{"connections", "Connections made, used for a request and closed", result.Rate, sockets, connections},
		{"http-1kb", "Requests of 1 KB by wrk: connections", result.Rate, sockets, small},
		{"http-1mb", "Requests of 1 MB by wrk: connections", result.Rate, sockets, large},
		{"bulk-8links", "Bulk of 8 streams: over one link, over 8, and of 8 stacks", result.Goodput, links, eight},
		{"idle-memory", "Memory of the server for an idle connection, by their number", result.Memory, sockets, held},
		{"idle-establish", "Connections established a second, by how many are made", result.Establish, sockets, held},
		{"hops", "A packet through six channels", result.PerFrame, []string{"graph", "chain", "channel"}, hops},
	}
	if loop := "direct"; r.Name(loop) != loop { // it was measured
		csp := []string{"gonet", loop}
		all = append(all,
			chart{"csp-bulk", "Bulk by the graph and by one loop: way, streams", result.Goodput, csp, bulk},
			chart{"csp-cpu", "CPU time of the server for bulk, by the graph and by one loop: way, streams", result.CPUServer, csp, bulk},
			chart{"csp-p50", "One byte there and back, by the graph and by one loop, median", result.P50, csp, one},
		)
	}
	return all
}

// works are the works whose whole name matches an expression, with labels that
// are made of what its groups have matched.
func works(r *result.Results, expression, label string) (all []work) {
	e := regexp.MustCompile("^" + expression + "$")
	for _, name := range r.Works {
		if m := e.FindStringSubmatchIndex(name); m != nil {
			all = append(all, work{name, string(e.ExpandString(nil, label, name, m))})
		}
	}
	return all
}

// stacks are the charts of what the processes of a stack do.
func stacks() []stack {
	return []stack{
		{"layers-tcp", "Where a byte over TCP spends its time in GoNet (traced)", "layers of 1 byte over TCP, both on one CPU", "gonet"},
		{"layers-udp", "Where a byte over UDP spends its time in GoNet (traced)", "layers of 1 byte over UDP, both on one CPU", "gonet"},
	}
}

// growths are the figures of idle connections by their number.
func growths() []growth {
	return []growth{{"growth", []string{"gonet", "kernel", "gonet-plain", "gvisor-tap", "gvisor-recvmmsg"}}}
}
