package gonet

import (
	"cmp"
	"context"
	"slices"

	"github.com/seed-012105e5/gonet/arp"
)

// A Neighbour is what ARP knows of a host on one of the links (RFC 1122 section
// 2.3.2): its address, its MAC address, how far the entry has come, and how old it is.
type Neighbour struct {
	Interface int // index of the link, as in Config
	arp.Neighbour
}

// Neighbours returns the neighbours of all links, as "ip neighbour" does, sorted by
// interface and address; links without Ethernet have none. A link whose card takes no
// frames answers late or not at all: what the others have told is returned when ctx is
// done, with its error. After Close the error is net.ErrClosed.
func (s *Stack) Neighbours(ctx context.Context) ([]Neighbour, error) {
	var all []Neighbour
	var first error
	for i, n := range s.neighbours {
		if n == nil {
			continue
		}
		list, err := n.List(ctx)
		first = cmp.Or(first, err)
		for _, one := range list {
			all = append(all, Neighbour{i, one})
		}
	}
	slices.SortFunc(all, func(a, b Neighbour) int {
		return cmp.Or(cmp.Compare(a.Interface, b.Interface), a.Addr.Compare(b.Addr))
	})
	return all, first
}
