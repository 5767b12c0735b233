package result

import (
	"path/filepath"
	"reflect"
	"testing"
)

func TestMedianSpread(t *testing.T) {
	for _, c := range []struct {
		values              []float64
		median, least, most float64
	}{
		{nil, 0, 0, 0}, {[]float64{3}, 3, 3, 3}, {[]float64{3, 1}, 2, 1, 3}, {[]float64{9, 1, 2}, 2, 1, 9}, {[]float64{4, 1, 3, 2}, 2.5, 1, 4},
	} {
		least, most := Spread(c.values)
		if m := Median(c.values); m != c.median || least != c.least || most != c.most {
			t.Errorf("%v: median %v, from %v to %v", c.values, m, least, most)
		}
	}
	v := []float64{2, 1}
	if Median(v); v[0] != 2 {
		t.Error("Median has sorted its argument")
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.01234: "0.0123", 0.5: "0.500", 1: "1.00", 61.24: "61.2", 999.9: "1,000", 9274: "9,274", 1234567: "1,234,567",
		-1234.5: "-1,234", -0.5: "-0.500",
	} {
		if got := Number(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

func some() *Results {
	r := &Results{
		Machine: Machine{CPUs: 2}, Settings: Settings{Rounds: 2, Congestion: "reno"},
		Subjects: []Subject{{"kernel", "the kernel"}, {"gonet", "GoNet"}}, Works: []string{"bulk"},
	}
	r.Add("bulk", "gonet", Goodput.Of(5))
	r.Add("bulk", "kernel", Goodput.Of(10))
	r.Add("bulk", "gonet", Goodput.Of(7))
	r.Add("bulk", "gonet", Figure{Metric: Running, Part: "ipv4.Rx", Value: 1})
	return r
}

func TestSeries(t *testing.T) {
	r := some()
	s, ok := r.Find("bulk", "gonet", "goodput")
	if !ok || !reflect.DeepEqual(s.Values, []float64{5, 7}) {
		t.Fatalf("%+v, %v", s, ok)
	}
	if ratio, ok := r.Ratio(s, "kernel"); !ok || ratio != 0.6 {
		t.Errorf("the ratio is %v, %v", ratio, ok)
	}
	if _, ok := r.Ratio(s, "nobody"); ok {
		t.Error("there is a ratio to nothing")
	}
	var labels []string
	for _, row := range r.Rows("bulk") {
		labels = append(labels, r.Label(row))
	}
	if want := []string{"the kernel", "GoNet", "GoNet: ipv4.Rx"}; !reflect.DeepEqual(labels, want) {
		t.Errorf("the rows are %q, want %q", labels, want)
	}
	if m := r.Metrics("bulk"); len(m) != 2 || m[0] != Goodput || m[1] != Running {
		t.Errorf("the metrics are %v", m)
	}
}

func TestJSON(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.json")
	r := some()
	r.Failures = []Failure{{"bulk", "gonet", 2, "it broke"}}
	if err := r.Write(file); err != nil {
		t.Fatal(err)
	}
	back, err := Read(file)
	if err != nil || !reflect.DeepEqual(r, back) {
		t.Errorf("%+v became %+v, %v", r, back, err)
	}
	if _, err := Read(file + "x"); err == nil {
		t.Error("a file that is not there was read")
	}
}
