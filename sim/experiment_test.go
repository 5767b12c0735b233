package sim

import (
	"context"
	"math"
	"testing"
	"time"
)

func TestConfidence(t *testing.T) {
	for _, c := range []struct {
		values     []float64
		mean, half float64
	}{
		{[]float64{1, 2, 3}, 2, 4.303 / math.Sqrt(3)},
		{[]float64{5, 5, 5, 5}, 5, 0},
		{[]float64{7}, 7, math.Inf(1)},
	} {
		if got := Confidence(c.values); math.Abs(got.Mean-c.mean) > 1e-9 || got.Half != c.half && !(math.Abs(got.Half-c.half) < 1e-3) {
			t.Errorf("%v: %+v", c.values, got)
		}
	}
	for freedom, want := range map[int]float64{1: 12.706, 10: 2.228, 11: 2.201, 30: 2.042, 1000: 1.962} {
		if got := student(freedom); math.Abs(got-want) > 0.003 {
			t.Errorf("%d degrees of freedom: %v, want %v", freedom, got, want)
		}
	}
}

// TestZeroExperiment runs the zero value, which must be one of use.
func TestZeroExperiment(t *testing.T) {
	r, err := Experiment{}.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Flows) != 1 || r.Total < 0.9*r.Bound || r.Total > r.Bound || r.Queue.Max() == 0 {
		t.Errorf("%v of %v bit/s, queue of %v", r.Total, r.Bound, r.Queue.Max())
	}
}

// TestStarts shows that seeds differ in when flows begin, and that one can say it.
func TestStarts(t *testing.T) {
	one, two := Experiment{Seed: 1, Flows: 3}.starts(), Experiment{Seed: 2, Flows: 3}.starts()
	for i := range one {
		if one[i] == two[i] || one[i] < 0 || one[i] >= time.Second {
			t.Errorf("flow %d begins at %v and %v", i, one[i], two[i])
		}
	}
	if got := (Experiment{Flows: 3, Starts: []time.Duration{0, time.Minute}}).starts(); got[0] != 0 || got[1] != time.Minute || got[2] != 0 {
		t.Errorf("%v", got)
	}
}

// TestCross shows that the cross traffic takes about the share that it asks for.
func TestCross(t *testing.T) {
	var last time.Duration
	r, err := Experiment{Seed: 1, Cross: 0.3, Duration: 20 * time.Second, Progress: func(at time.Duration) { last = at }}.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	share := 8 * float64(r.Cross.Bytes) / 20 / 10e6
	if share < 0.2 || share > 0.35 {
		t.Errorf("cross traffic has %.2f of the line, asked for 0.3", share)
	}
	if r.Total > 0.85*r.Bound || r.Total < 0.5*r.Bound {
		t.Errorf("the flow has %.2f of the line", r.Total/r.Bound)
	}
	if last != 20*time.Second {
		t.Errorf("the last progress was at %v", last)
	}
}
