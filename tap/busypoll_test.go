package tap

import (
	"slices"
	"testing"
)

// While it pays every read asks again; in vain, ever fewer do.
func TestBusyPoll(t *testing.T) {
	var p busyPoll
	reads := func(n int, pays bool) (asked []int) {
		for i := range n {
			if p.due() {
				asked = append(asked, i)
				p.done(pays)
			}
		}
		return asked
	}
	if got, want := reads(2000, false), []int{0, 2, 7, 24, 89, 346, 1371}; !slices.Equal(got, want) {
		t.Errorf("in vain: %v, want %v", got, want)
	}
	if got := reads(100_000, false); len(got) > 26 {
		t.Errorf("in vain for long: %d", len(got))
	}
	if got := reads(4*longestPause, true); len(got) < 2*longestPause {
		t.Errorf("when it pays: %d", len(got))
	}
	if got := reads(3, false); !slices.Equal(got, []int{0, 2}) {
		t.Errorf("in vain again: %v", got)
	}
}
