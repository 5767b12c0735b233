package result

// A Metric is what a figure says.
type Metric struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
	Less bool   `json:"less,omitempty"` // less is better
}

// A Figure is what one measurement has given for one metric.
type Figure struct {
	Metric Metric
	Value  float64
	Part   string // of the subject: a process of a stack; "" means all of it
}

// Of is the figure of a metric.
func (m Metric) Of(v float64) Figure { return Figure{Metric: m, Value: v} }

// The metrics of the works.
var (
	Goodput = Metric{Name: "goodput", Unit: "Gbit/s"}
	Rate    = Metric{Name: "rate", Unit: "/s"}
	P50     = Metric{Name: "p50", Unit: "µs", Less: true}
	P99     = Metric{Name: "p99", Unit: "µs", Less: true}
	P999    = Metric{Name: "p99.9", Unit: "µs", Less: true}

	// CPU time, of all processes of the machine, the kernel's too; and that of
	// the two processes alone.
	CPUMachine = Metric{Name: "CPU", Unit: "s/GB", Less: true}
	CPUServer  = Metric{Name: "CPU of the server", Unit: "s/GB", Less: true}
	CPUClient  = Metric{Name: "CPU of the client", Unit: "s/GB", Less: true}
	WorkCPU    = Metric{Name: "CPU", Unit: "µs/request", Less: true}
	WorkServer = Metric{Name: "CPU of the server", Unit: "µs/request", Less: true}
	WorkClient = Metric{Name: "CPU of the client", Unit: "µs/request", Less: true}

	// Of the server's process, for each frame that has crossed the cable.
	FrameSize   = Metric{Name: "frame", Unit: "bytes"}
	Allocations = Metric{Name: "allocations", Unit: "/frame", Less: true}
	Switches    = Metric{Name: "goroutine switches", Unit: "/frame", Less: true}
	Threads     = Metric{Name: "thread switches", Unit: "/frame", Less: true}
	Hops        = Metric{Name: "hops", Unit: "/frame", Less: true}

	// Of the server's process, for each byte of payload: how often it was copied.
	Copies = Metric{Name: "copied", Unit: "bytes/byte", Less: true}

	// Of connections that are open and do nothing.
	Memory        = Metric{Name: "memory", Unit: "bytes each", Less: true}
	Process       = Metric{Name: "process", Unit: "GB", Less: true}
	Peak          = Metric{Name: "process at most", Unit: "GB", Less: true}
	Heap          = Metric{Name: "heap and stacks", Unit: "bytes each", Less: true}
	Kernel        = Metric{Name: "kernel, both ends", Unit: "bytes each", Less: true}
	Lost          = Metric{Name: "lost", Unit: "requests", Less: true}
	Establish     = Metric{Name: "establish", Unit: "/s"}
	EstablishTime = Metric{Name: "time to establish", Unit: "s", Less: true}
	// CPU time of the server's process until all are open: in its own code, and
	// in the kernel.
	EstablishUser   = Metric{Name: "user time to establish", Unit: "µs each", Less: true}
	EstablishSystem = Metric{Name: "system time to establish", Unit: "µs each", Less: true}
	Answering       = Metric{Name: "answering", Unit: "connections"}
	Closing         = Metric{Name: "close", Unit: "/s"}
	CloseTime       = Metric{Name: "time to close", Unit: "s", Less: true}

	PerHop   = Metric{Name: "per hop", Unit: "ns", Less: true}
	PerFrame = Metric{Name: "per frame", Unit: "ns", Less: true}

	// Of a process of a stack.
	Running = Metric{Name: "running", Unit: "µs/request", Less: true}
	Ready   = Metric{Name: "waiting to run", Unit: "µs/request", Less: true}
	WakeUps = Metric{Name: "wake-ups", Unit: "/request", Less: true}

	// Of the server's process, for each request.
	WorkHops   = Metric{Name: "hops", Unit: "/request", Less: true}
	WorkCopies = Metric{Name: "copied", Unit: "bytes/request", Less: true}
)

// All are the metrics.
func All() []Metric {
	return []Metric{
		Goodput, Rate, P50, P99, P999,
		CPUMachine, CPUServer, CPUClient, WorkCPU, WorkServer, WorkClient,
		FrameSize, Allocations, Switches, Threads, Hops, Copies, WorkHops, WorkCopies,
		Memory, Process, Peak, Heap, Kernel, Lost, Establish, EstablishTime, EstablishUser, EstablishSystem, Answering, Closing, CloseTime,
		PerHop, PerFrame, Running, Ready, WakeUps,
	}
}
