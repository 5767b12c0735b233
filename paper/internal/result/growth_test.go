package result

import (
	"reflect"
	"testing"
)

func TestIdleWork(t *testing.T) {
	for _, n := range []int{1, 200, 10000, 250000, 1000000} {
		if got, ok := IdleCount(IdleWork(n)); got != n || !ok {
			t.Errorf("%q holds %d, %v", IdleWork(n), got, ok)
		}
	}
	for _, work := range []string{"bulk", "some idle connections", " idle connections"} {
		if n, ok := IdleCount(work); ok {
			t.Errorf("%q holds %d", work, n)
		}
	}
}

// TestGrowth: points are told in the order of their numbers, what is not whole is
// left out, and growth is the last beside the first, each.
func TestGrowth(t *testing.T) {
	r := &Results{Works: []string{"bulk", IdleWork(1000000), IdleWork(10000), IdleWork(500)}}
	add := func(n int, each, establish, user, closing float64) {
		r.Add(IdleWork(n), "gonet", Memory.Of(each))
		r.Add(IdleWork(n), "gonet", Establish.Of(establish))
		r.Add(IdleWork(n), "gonet", EstablishUser.Of(user))
		r.Add(IdleWork(n), "gonet", Closing.Of(closing))
	}
	add(1000000, 4400, 20000, 21, 25000)
	add(10000, 4000, 25000, 20, 20000)
	r.Add(IdleWork(500), "gonet", Memory.Of(9000)) // it failed then
	got := r.Growth("gonet")
	want := []Point{{10000, 4e7, 0.4, 0.2, 0.5}, {1000000, 4.4e9, 50, 21, 40}}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v", got)
	}
	l, ok := Linear(got)
	if !ok || l.From != 10000 || l.To != 1000000 || !near(l.Memory, 1.1) || !near(l.Establish, 1.25) || !near(l.User, 1.05) || !near(l.Close, 0.8) {
		t.Errorf("%+v, %v", l, ok)
	}
	if _, ok := Linear(got[:1]); ok {
		t.Error("a point grows")
	}
	if r.Growth("kernel") != nil {
		t.Error("what was not measured grows")
	}
}

func near(v, want float64) bool { return v > want-1e-9 && v < want+1e-9 }
