package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/paper/internal/agent"
	"github.com/seed-012105e5/gonet/paper/internal/result"
	"github.com/seed-012105e5/gonet/paper/internal/service"
)

// web is the server of net/http under wrk, a client that nobody here has
// written.
func web(name, serve, scheme string, connections, body int) work {
	w := work{name: name, fits: hasSockets}
	w.measure = func(ctx context.Context, at *site) ([]result.Figure, error) {
		server, err := at.serve(ctx, agent.Task{Work: serve, Body: body, CPU: anyCPU})
		if err != nil {
			return nil, err
		}
		before, err := at.look(server, nil)
		if err != nil {
			return nil, err
		}
		said, cpu, err := at.wrk(ctx, scheme, connections)
		if err != nil {
			return nil, err
		}
		after, err := at.look(server, nil)
		return said.figures(after.since(before), cpu, body), err
	}
	return w
}

// wrk runs that program, which knows whole seconds only and takes its warm-up
// from them, and returns what it says and its CPU time.
func (at *site) wrk(ctx context.Context, scheme string, connections int) (s wrkSaid, cpu time.Duration, err error) {
	seconds := int(at.seconds+0.5) + 1
	cmd := exec.CommandContext(ctx, "wrk", "-t1", fmt.Sprintf("-c%d", connections), fmt.Sprintf("-d%d", seconds),
		"--latency", "--timeout", "10s", fmt.Sprintf("%s://%v/", scheme, serverAddr().Addr()))
	out, err := at.output(cmd)
	if errors.Is(err, exec.ErrNotFound) {
		return s, 0, errors.New("there is no wrk: apt-get install wrk, or scripts/test does it")
	}
	if err != nil {
		return s, 0, fmt.Errorf("wrk: %w: %s", err, out)
	}
	s, err = parseWrk(string(out))
	return s, agent.CPUTime(cmd.ProcessState.SysUsage().(*syscall.Rusage)), err
}

// wrkSaid is what wrk prints.
type wrkSaid struct {
	rate     float64 // requests a second
	requests float64
	p50, p99 float64 // µs
	errors   float64 // of sockets, and answers that are none
}

// figures makes figures of what was said, and of the server. The window has some
// time in it in which wrk starts and ends.
func (s wrkSaid) figures(w window, client time.Duration, body int) []result.Figure {
	figures := []result.Figure{
		result.Rate.Of(s.rate), result.P50.Of(s.p50), result.P99.Of(s.p99),
		result.Goodput.Of(s.rate * float64(body) * 8 / 1e9),
		result.WorkCPU.Of(w.machine.Seconds() * 1e6 / s.requests),
		result.WorkServer.Of(w.server.CPU.Seconds() * 1e6 / s.requests),
		result.WorkClient.Of(client.Seconds() * 1e6 / s.requests),
	}
	if s.errors > 0 {
		figures = append(figures, result.Lost.Of(s.errors))
	}
	return append(figures, w.perFrame()...)
}

// parseWrk reads what wrk prints.
func parseWrk(text string) (s wrkSaid, err error) {
	var unit50, unit99 string
	for _, f := range []struct {
		expression string
		value      *float64
		unit       *string
		optional   bool
	}{
		{`Requests/sec:\s+([0-9.]+)`, &s.rate, nil, false},
		{`([0-9]+) requests in`, &s.requests, nil, false},
		{`\n\s+50%\s+([0-9.]+)(us|ms|s|m)`, &s.p50, &unit50, false},
		{`\n\s+99%\s+([0-9.]+)(us|ms|s|m)`, &s.p99, &unit99, false},
	} {
		m := regexp.MustCompile(f.expression).FindStringSubmatch(text)
		if m == nil {
			return s, fmt.Errorf("wrk says:\n%s", text)
		}
		if *f.value, err = strconv.ParseFloat(m[1], 64); err != nil {
			return s, err
		}
		if f.unit != nil {
			*f.unit = m[2]
		}
	}
	if s.requests == 0 {
		return s, errors.New("wrk had no request answered")
	}
	s.p50 *= microseconds(unit50)
	s.p99 *= microseconds(unit99)
	s.errors = wrkErrors(text)
	return s, nil
}

// microseconds is a unit of wrk's in µs.
func microseconds(unit string) float64 {
	switch unit {
	case "m":
		return 60e6
	case "s":
		return 1e6
	case "ms":
		return 1e3
	}
	return 1
}

// wrkErrors adds up the errors, of which wrk tells only when there are some.
func wrkErrors(text string) (n float64) {
	for _, e := range []string{
		`Socket errors: connect ([0-9]+), read ([0-9]+), write ([0-9]+), timeout ([0-9]+)`, `Non-2xx or 3xx responses: ([0-9]+)`,
	} {
		for _, number := range regexp.MustCompile(e).FindStringSubmatch(text) {
			if v, err := strconv.ParseFloat(number, 64); err == nil {
				n += v
			}
		}
	}
	return n
}

func webWorks() (all []work) {
	for _, p := range []struct{ name, serve, scheme string }{{"HTTP", service.HTTP, "http"}, {"HTTPS", service.HTTPS, "https"}} {
		for _, body := range []struct {
			name string
			size int
		}{{"1 KB", 1 << 10}, {"1 MB", 1 << 20}} {
			for _, n := range []int{1, 32, 256} {
				name := fmt.Sprintf("%s of %s by wrk, %d connections", p.name, body.name, n)
				if n == 1 {
					name = fmt.Sprintf("%s of %s by wrk, 1 connection", p.name, body.name)
				}
				all = append(all, web(name, p.serve, p.scheme, n, body.size))
			}
		}
	}
	return all
}
