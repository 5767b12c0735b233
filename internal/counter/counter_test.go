package counter

import (
	"maps"
	"sync/atomic"
	"testing"
)

func TestRead(t *testing.T) {
	var stats struct{ In, DropBad atomic.Uint64 }
	stats.In.Add(3)
	stats.DropBad.Add(1)
	got := map[string]uint64{}
	Read("x", &stats, func(name string, value uint64) { got[name] = value })
	if want := map[string]uint64{"x.In": 3, "x.DropBad": 1}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestReadRefusesOtherFields(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a field that is no counter was read")
		}
	}()
	Read("x", new(struct{ In uint64 }), func(string, uint64) {})
}
