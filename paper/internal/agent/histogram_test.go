package agent

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestClasses(t *testing.T) {
	last := -1
	for v := time.Duration(0); v < 1<<20; v++ {
		c := class(v)
		if c != last && c != last+1 {
			t.Fatalf("%d has class %d, after %d", v, c, last)
		}
		last = c
		if m := middle(c); class(m) != c || m > v+v/perBit+1 || m < v-v/perBit-1 {
			t.Fatalf("%d has class %d, whose middle is %d", v, c, m)
		}
	}
	if class(1<<62) != classes-1 || class(-1) != 0 {
		t.Errorf("the classes of what is too long or negative are %d and %d", class(1<<62), class(-1))
	}
}

// TestQuantile compares with the quantiles of all values, sorted.
func TestQuantile(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	var all []time.Duration
	h.Record(time.Hour) // before the window
	before := h.Counts()
	for range 10000 {
		d := time.Duration(r.ExpFloat64() * 1e5)
		h.Record(d)
		all = append(all, d)
	}
	slices.Sort(all)
	window := h.Counts().Since(before)
	if window.Len() != 10000 {
		t.Errorf("%d were counted", window.Len())
	}
	for _, q := range []float64{0, 0.5, 0.99, 0.999} {
		got, want := window.Quantile(q), all[int(q*10000)]
		if diff := float64(got-want) / float64(want+1); diff > 0.01 || diff < -0.01 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if (Counts{}).Quantile(0.5) != 0 {
		t.Error("nothing has a quantile")
	}
}

// TestSampleJSON: a sample crosses the pipe between the processes unharmed.
func TestSampleJSON(t *testing.T) {
	s := Sample{At: 3, Bytes: 1 << 60, Latency: Counts{3: 4, 500: 6}}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back Sample
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if back.At != 3 || back.Bytes != 1<<60 || back.Latency[500] != 6 {
		t.Errorf("%+v became %+v", s, back)
	}
}
