package udp

import (
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// maxGroups is how many groups one socket may join.
const maxGroups = 64

// A membership is a group on a link.
type membership struct {
	group netip.Addr
	link  int
}

// JoinGroup lets the host take datagrams for a multicast group on a link; link
// -1 means the one that datagrams to the group go out by. As in Linux, all
// sockets at their port get them which are bound to the group or to no
// address; bind to the group to hear of no other. The error is EINVAL when
// group is none, EADDRINUSE when the socket has joined it already, ENOBUFS, or
// what IP says.
func (c *Conn) JoinGroup(group netip.Addr, link int) error {
	return c.changeGroups(membership{group.Unmap(), link}, c.join)
}

// LeaveGroup undoes JoinGroup, as Close does. The error is EADDRNOTAVAIL when
// the socket has not joined the group on that link.
func (c *Conn) LeaveGroup(group netip.Addr, link int) error {
	return c.changeGroups(membership{group.Unmap(), link}, c.leave)
}

// changeGroups lets change work on the joined groups, which no other call
// touches meanwhile.
func (c *Conn) changeGroups(m membership, change func([]membership, membership) ([]membership, error)) error {
	if !m.group.IsMulticast() || !m.group.Is4() {
		return c.opError("set", "setsockopt", syscall.EINVAL)
	}
	select {
	case groups := <-c.groups:
		groups, err := change(groups, m)
		c.groups <- groups
		if err != nil {
			return c.opError("set", "setsockopt", err)
		}
		return nil
	case <-c.closed:
		return c.opError("set", "setsockopt", net.ErrClosed)
	}
}

func (c *Conn) join(groups []membership, m membership) ([]membership, error) {
	switch {
	case slices.Contains(groups, m):
		return groups, syscall.EADDRINUSE
	case len(groups) == maxGroups:
		return groups, syscall.ENOBUFS
	}
	if err := c.sockets.member(m, true); err != nil {
		return groups, err
	}
	return append(groups, m), nil
}

func (c *Conn) leave(groups []membership, m membership) ([]membership, error) {
	i := slices.Index(groups, m)
	if i < 0 {
		return groups, syscall.EADDRNOTAVAIL
	}
	return slices.Delete(groups, i, i+1), c.sockets.member(m, false)
}

// leaveAll leaves all groups, and takes the list of them away for good.
func (c *Conn) leaveAll() {
	for _, m := range <-c.groups {
		c.sockets.member(m, false) // no answer means that the stack has ended
	}
}
