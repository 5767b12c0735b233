package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/paper/internal/agent"
	"github.com/seed-012105e5/gonet/paper/internal/result"
	"github.com/seed-012105e5/gonet/paper/internal/subject"
)

// A window is what has happened in some time: in the server, in the client, on
// the machine, on the cable.
type window struct {
	server, client agent.Sample
	machine        time.Duration // CPU time of everybody, the kernel's too
	frames, bytes  uint64        // that have crossed the cable, both ways
}

// state is the same since the beginning of everything.
type state = window

// look takes the state of a site. The client may be nil.
func (at *site) look(server, client *agent.Process) (s state, err error) {
	if s.server, err = server.Sample(); err != nil {
		return s, err
	}
	if client != nil {
		if s.client, err = client.Sample(); err != nil {
			return s, err
		}
	}
	if s.machine, err = machineTime(); err != nil {
		return s, err
	}
	s.frames, s.bytes, err = at.traffic()
	return s, err
}

func (s state) since(before state) window {
	return window{
		server: s.server.Since(before.server), client: s.client.Since(before.client),
		machine: s.machine - before.machine, frames: s.frames - before.frames, bytes: s.bytes - before.bytes,
	}
}

// warmUp is how long a measurement goes on before it counts: windows open and
// caches fill in that time.
func (at *site) warmUp() time.Duration { return max(at.duration()/5, 300*time.Millisecond) }

// watch lets the warm-up pass, and then watches for as long as the command line
// says.
func (at *site) watch(ctx context.Context, server, client *agent.Process) (window, error) {
	if err := sleep(ctx, at.warmUp()); err != nil {
		return window{}, err
	}
	before, err := at.look(server, client)
	if err != nil {
		return window{}, err
	}
	if err := sleep(ctx, at.duration()); err != nil {
		return window{}, err
	}
	after, err := at.look(server, client)
	return after.since(before), err
}

// perFrame is what the server's process does for each frame.
func (w window) perFrame() []result.Figure {
	if w.frames == 0 {
		return nil
	}
	n := float64(w.frames)
	return []result.Figure{
		result.FrameSize.Of(float64(w.bytes) / n),
		result.Allocations.Of(float64(w.server.Allocs) / n),
		result.Switches.Of(float64(w.server.Switches) / n),
		result.Threads.Of(float64(w.server.Threads) / n),
	}
}

// machineTime is the CPU time that all CPUs of the machine have not been idle
// (proc(5), stat).
func machineTime() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return busy(text)
}

// busy reads /proc/stat.
func busy(text []byte) (time.Duration, error) {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	fields := strings.Fields(string(line))
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	var ticks uint64
	for _, i := range []int{1, 2, 3, 6, 7} { // user, nice, system, irq, softirq
		n, err := strconv.ParseUint(fields[i], 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	const tick = time.Second / 100 // USER_HZ
	return time.Duration(ticks) * tick, nil
}

// traffic is how many frames and bytes have crossed the cables, as the client's
// ends of them count them.
func (at *site) traffic() (frames, bytes uint64, err error) {
	err = at.client.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/dev")
		if err != nil {
			return err
		}
		for i := range at.cables() {
			f, b, err := deviceCounters(text, subject.NthDevice(at.subject.Cable.PeerDevice(), i))
			if err != nil {
				return err
			}
			frames, bytes = frames+f, bytes+b
		}
		return nil
	})
	return frames, bytes, err
}

// deviceCounters reads /proc/net/dev.
func deviceCounters(text []byte, device string) (frames, octets uint64, err error) {
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, counters, found := strings.Cut(lines.Text(), ":")
		fields := strings.Fields(counters)
		if !found || strings.TrimSpace(name) != device || len(fields) < 10 {
			continue
		}
		var n [4]uint64
		for i, field := range []int{0, 8, 1, 9} { // bytes and packets, received and sent
			if n[i], err = strconv.ParseUint(fields[field], 10, 64); err != nil {
				return 0, 0, err
			}
		}
		return n[2] + n[3], n[0] + n[1], nil
	}
	return 0, 0, fmt.Errorf("there is no device %s", device)
}
