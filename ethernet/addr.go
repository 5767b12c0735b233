// Package ethernet frames IP and ARP packets for an Ethernet link (RFC 894).
package ethernet

import (
	"fmt"
	"net"
	"net/netip"
)

// Addr is a 48-bit MAC address, in the order of transmission.
type Addr [6]byte

// Broadcast is the address of all stations.
var Broadcast = Addr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// ParseAddr reads an address in one of the forms 02:00:5e:10:00:01,
// 02-00-5e-10-00-01 and 0200.5e10.0001.
func ParseAddr(s string) (Addr, error) {
	mac, err := net.ParseMAC(s)
	if err != nil || len(mac) != len(Addr{}) {
		return Addr{}, fmt.Errorf("ethernet: %q is not a MAC address of 6 bytes", s)
	}
	return Addr(mac), nil
}

// IsGroup says whether a names a group of stations: broadcast or multicast.
func (a Addr) IsGroup() bool { return a[0]&1 != 0 }

// String is the usual form: 02:00:5e:10:00:01.
func (a Addr) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", a[0], a[1], a[2], a[3], a[4], a[5])
}

// Multicast is the address to which an IPv4 multicast group maps (RFC 1112
// section 6.4): the low 23 bits of the group behind 01:00:5e.
func Multicast(group netip.Addr) Addr {
	g := group.As4()
	return Addr{0x01, 0x00, 0x5e, g[1] & 0x7f, g[2], g[3]}
}
