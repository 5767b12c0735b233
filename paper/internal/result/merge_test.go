package result

import (
	"slices"
	"testing"
)

// A work that several runs have measured is as the first has it, all of it; and
// the runs stay as they are.
func TestMerge(t *testing.T) {
	first := &Results{Works: []string{"a"}, Subjects: []Subject{{"x", "X"}}}
	first.Add("a", "x", Rate.Of(1))
	second := &Results{Works: []string{"a", "b"}, Subjects: []Subject{{"x", "X"}, {"y", "Y"}}}
	second.Add("a", "x", Rate.Of(2))
	second.Add("a", "y", Rate.Of(3))
	second.Add("b", "y", Rate.Of(4))
	m := Merge([]*Results{first, second})
	if !slices.Equal(m.Works, []string{"a", "b"}) || len(m.Subjects) != 2 || m.Name("y") != "Y" {
		t.Errorf("%v, %v", m.Works, m.Subjects)
	}
	if s, ok := m.Find("a", "x", Rate.Name); !ok || !slices.Equal(s.Values, []float64{1}) {
		t.Errorf("a of x: %v", s)
	}
	if s, ok := m.Find("a", "y", Rate.Name); ok {
		t.Errorf("a of y is of another run: %v", s)
	}
	if s, ok := m.Find("b", "y", Rate.Name); !ok || !slices.Equal(s.Values, []float64{4}) {
		t.Errorf("b of y: %v", s)
	}
	if len(first.Works) != 1 || len(first.Series) != 1 {
		t.Errorf("the first run has changed: %+v", first)
	}
}
