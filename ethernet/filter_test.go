package ethernet

import "testing"

func TestFilter(t *testing.T) {
	f := NewFilter(own)
	check := func(when string, dst Addr, want bool) {
		t.Helper()
		if f.Accepts(dst) != want {
			t.Errorf("%s: Accepts(%v) = %v", when, dst, !want)
		}
	}
	check("at first", own, true)
	check("at first", Broadcast, true)
	check("at first", peer, false)
	check("at first", group, false)
	f.SetGroups([]Addr{group, {1, 2}})
	check("joined", group, true)
	check("joined", Addr{1, 2}, true)
	check("joined", own, true)
	f.SetGroups([]Addr{{1, 2}})
	check("left one", group, false)
	check("left one", Addr{1, 2}, true)
	f.SetGroups(nil)
	check("left all", Addr{1, 2}, false)
	check("left all", Broadcast, true)
}
