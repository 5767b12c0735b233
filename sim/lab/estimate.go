package lab

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/sim"
)

// An estimate is a mean, and how far the true one may be off.
type estimate sim.Interval

// known says whether there was more than one run.
func (e estimate) known() bool { return !math.IsInf(e.Half, 0) }

// number prints an estimate with that format for each of its parts.
func (e estimate) number(format string) string {
	if !e.known() {
		return fmt.Sprintf(format, e.Mean)
	}
	return fmt.Sprintf(format+" ± "+format, e.Mean, e.Half)
}

// rate prints one in bit/s.
func (e estimate) rate() string {
	if !e.known() {
		return program.BitRate(e.Mean)
	}
	return program.BitRate(e.Mean) + " ± " + program.BitRate(e.Half)
}

// time prints one in seconds.
func (e estimate) time() string {
	duration := func(s float64) time.Duration { return round(time.Duration(s * float64(time.Second))) }
	if !e.known() {
		return duration(e.Mean).String()
	}
	return fmt.Sprintf("%v ± %v", duration(e.Mean), duration(e.Half))
}

// MarshalJSON leaves out what is not known.
func (e estimate) MarshalJSON() ([]byte, error) {
	m := map[string]float64{"mean": e.Mean}
	if e.known() {
		m["confidence95"] = e.Half
	}
	return json.Marshal(m)
}

// control names the controls of an experiment.
func control(e sim.Experiment) string {
	if len(e.Controllers) == 0 {
		return "default"
	}
	return strings.Join(e.Controllers, "+")
}
