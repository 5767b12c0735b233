package agent

import (
	"bytes"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// Counters are what a server or a client counts while it works.
type Counters struct {
	Bytes    atomic.Uint64 // of payload, received or sent
	Requests atomic.Uint64 // answered
	Lost     atomic.Uint64 // requests that nobody answered in time
	Open     atomic.Int64  // connections
	Busy     atomic.Int64  // nanoseconds, where only a part of the time counts
	Latency  Histogram     // of requests

	// Told is what the stack says of itself; nil when it says nothing.
	Told func() Told
}

// Told is what only the stack itself can count.
type Told struct {
	Hops   uint64 // packets and messages that have passed a channel
	Copied uint64 // bytes, in memory or by the device
}

// A Sample is a process at one moment. What it counts, it counts from the start
// of the process; Since makes it that of a window.
type Sample struct {
	At       time.Duration // since the start of the process
	Bytes    uint64
	Requests uint64
	Lost     uint64
	Told     Told
	Open     int64
	Busy     time.Duration
	Latency  Counts

	CPU      time.Duration // user and system time
	User     time.Duration // user time alone
	Allocs   uint64        // allocations on the heap
	Switches uint64        // goroutines that began to run again; an estimate, see goroutineSwitches
	Threads  uint64        // switches of threads
	Heap     int64         // bytes of heap and stacks in use
	RSS      int64         // bytes of memory that the process has
	Peak     int64         // and what it has had at most
}

// Since is the window between an earlier sample and s. What is not counted but
// measured (Open, Heap, RSS) is the difference too; Peak
// is that since the start.
func (s Sample) Since(before Sample) Sample {
	return Sample{
		At: s.At - before.At, Bytes: s.Bytes - before.Bytes, Requests: s.Requests - before.Requests,
		Lost: s.Lost - before.Lost, Open: s.Open - before.Open,
		Told: Told{Hops: s.Told.Hops - before.Told.Hops, Copied: s.Told.Copied - before.Told.Copied},
		Busy: s.Busy - before.Busy, Latency: s.Latency.Since(before.Latency),
		CPU: s.CPU - before.CPU, User: s.User - before.User, Allocs: s.Allocs - before.Allocs, Switches: s.Switches - before.Switches,
		Threads: s.Threads - before.Threads, Heap: s.Heap - before.Heap, RSS: s.RSS - before.RSS,
		Peak: s.Peak,
	}
}

// sample looks at this process. With collect garbage is collected before.
func (c *Counters) sample(start time.Time, collect bool) (s Sample, err error) {
	if collect {
		runtime.GC()
		debug.FreeOSMemory() // collects what the first has finalized, and gives it back
	}
	s = Sample{
		At: time.Since(start), Bytes: c.Bytes.Load(), Requests: c.Requests.Load(), Lost: c.Lost.Load(),
		Open: c.Open.Load(), Busy: time.Duration(c.Busy.Load()), Latency: c.Latency.Counts(),
	}
	if c.Told != nil {
		s.Told = c.Told()
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return s, os.NewSyscallError("getrusage", err)
	}
	s.CPU, s.User = CPUTime(&usage), time.Duration(usage.Utime.Nano())
	s.Threads = uint64(usage.Nvcsw + usage.Nivcsw)
	s.Peak = usage.Maxrss << 10
	readRuntime(&s)
	s.RSS, err = residentMemory()
	return s, err
}

// CPUTime is the user and system time of a usage.
func CPUTime(u *syscall.Rusage) time.Duration { return time.Duration(u.Utime.Nano() + u.Stime.Nano()) }

// readRuntime asks the Go runtime.
func readRuntime(s *Sample) {
	m := []metrics.Sample{
		{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/tiny/allocs:objects"}, {Name: "/sched/latencies:seconds"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"},
	}
	metrics.Read(m)
	s.Allocs = m[0].Value.Uint64() + m[1].Value.Uint64()
	s.Switches = goroutineSwitches(m[2].Value.Float64Histogram())
	s.Heap = int64(m[3].Value.Uint64() + m[4].Value.Uint64())
}

// goroutineSwitches is how often a goroutine began to run. The runtime measures
// the waiting of one in eight (gTrackingPeriod of runtime2.go).
func goroutineSwitches(h *metrics.Float64Histogram) (n uint64) {
	const period = 8
	for _, c := range h.Counts {
		n += c * period
	}
	return n
}

// residentMemory is the memory of this process, in bytes (proc(5), statm).
func residentMemory() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseInt(string(bytes.Fields(text)[1]), 10, 64)
	return pages * int64(os.Getpagesize()), err
}
