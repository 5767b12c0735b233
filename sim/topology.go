package sim

import (
	"fmt"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/tcp"
)

// Line adds hosts a and b, and so many routers in a row between them. All links
// are alike; with no router it is one link.
func (n *Net) Line(routers int, cfg LinkConfig, a, b tcp.Config) (from, to *Host, links []*Link) {
	from, to = n.Host("a", a), n.Host("b", b)
	at := from
	for i := range routers {
		r := n.Router(fmt.Sprintf("r%d", i+1))
		links = append(links, n.Join(at, r, cfg))
		at = r
	}
	return from, to, append(links, n.Join(at, to, cfg))
}

// A Dumbbell is pairs of hosts that share one link:
//
//	left 1 ──┐                          ┌── right 1
//	left 2 ──┼── router ══════ router ──┼── right 2
//	   …     ┘        bottleneck        └     …
type Dumbbell struct {
	Left, Right []*Host
	Bottleneck  *Link
}

// Dumbbell adds so many pairs of hosts with a bottleneck between them. Pair i
// reaches its routers by the link access(i), and its hosts have the TCP of
// cfg(i).
func (n *Net) Dumbbell(pairs int, bottleneck LinkConfig, access func(i int) link.Impairment, cfg func(i int) tcp.Config) *Dumbbell {
	left, right := n.Router("left"), n.Router("right")
	d := &Dumbbell{Bottleneck: n.Join(left, right, bottleneck)}
	for i := range pairs {
		a, b := n.Host(fmt.Sprintf("a%d", i+1), cfg(i)), n.Host(fmt.Sprintf("b%d", i+1), cfg(i))
		n.Join(a, left, Both(access(i)))
		n.Join(right, b, Both(access(i)))
		d.Left, d.Right = append(d.Left, a), append(d.Right, b)
	}
	return d
}
