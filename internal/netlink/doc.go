// Package netlink sets up the host's side of a network: addresses, MTU, routes
// and up state of the kernel's interfaces, without running other programs. It
// speaks as much of rtnetlink (rtnetlink(7), RFC 3549) as taps and tests need, and
// generic netlink for parts of the kernel that have a family of their own.
package netlink
