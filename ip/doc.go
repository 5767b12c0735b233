// Package ip is what the versions of the Internet Protocol share, and all above
// them use: protocol numbers, ECN, endpoints and flows, the table of addresses and
// routes, ICMP errors, requests for them, advice to the routing, memberships in
// multicast groups, the pseudo-header, and the edges that lead to the links.
//
// An address is a netip.Addr everywhere. Version 4 has its headers and processes
// in package ipv4; version 6 is not there yet, and the table refuses its addresses.
package ip
