package ethernet

// A Filter decides which frames a station takes: those to its own address, to
// all stations, and to the groups that it has joined.
type Filter struct {
	own    Addr
	groups map[Addr]bool
}

// NewFilter returns the Filter of the station own, which has joined no group.
func NewFilter(own Addr) *Filter { return &Filter{own: own} }

// SetGroups replaces the groups that the station has joined.
func (f *Filter) SetGroups(groups []Addr) {
	f.groups = make(map[Addr]bool, len(groups))
	for _, g := range groups {
		f.groups[g] = true
	}
}

// Accepts says whether a frame to dst is for this station.
func (f *Filter) Accepts(dst Addr) bool {
	return dst == f.own || dst == Broadcast || f.groups[dst]
}
