package ethernet

import "sync/atomic"

// A Filter decides which frames a station takes: those to its own address, to
// all stations, and to the groups that it has joined. Whoever owns the groups
// changes them while another process asks.
type Filter struct {
	own    Addr
	groups atomic.Pointer[map[Addr]bool] // never changed, only replaced
}

// NewFilter returns the Filter of the station own, which has joined no group.
func NewFilter(own Addr) *Filter { return &Filter{own: own} }

// SetGroups replaces the groups that the station has joined. Frames that Accepts
// is asked about after it has returned are held against the new ones.
func (f *Filter) SetGroups(groups []Addr) {
	set := make(map[Addr]bool, len(groups))
	for _, g := range groups {
		set[g] = true
	}
	f.groups.Store(&set)
}

// Accepts says whether a frame to dst is for this station.
func (f *Filter) Accepts(dst Addr) bool {
	return dst == f.own || dst == Broadcast || dst.IsGroup() && f.joined(dst)
}

func (f *Filter) joined(group Addr) bool {
	set := f.groups.Load()
	return set != nil && (*set)[group]
}
