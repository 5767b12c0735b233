package main

import (
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/paper/internal/result"
)

// TestCSPTable: a loop without hops has no ratio; what was not measured has no line.
func TestCSPTable(t *testing.T) {
	r := new(result.Results)
	const work = "1 byte over TCP, both on one CPU"
	for subject, v := range map[string]float64{"gonet": 11, "direct": 0} {
		r.Add(work, subject, result.WorkHops.Of(v))
		r.Add(work, subject, result.P50.Of(20+v))
	}
	r.Add(work, "gonet", result.WakeUps.Of(12))
	got := cspTable(r)
	for _, line := range []string{
		"| 1 byte over TCP, both on one CPU | hops | /request | 11.0 | 0 |  |\n",
		"| 1 byte over TCP, both on one CPU | p50 | µs | 31.0 | 20.0 | 1.55 |\n",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("there is no line %q:\n%s", line, got)
		}
	}
	if strings.Contains(got, "wake-ups") {
		t.Errorf("there is a line for half a measurement:\n%s", got)
	}
}
