//go:build !linux

package iscsi

import "net"

// hungUp says whether the other side of a connection has ended it, where that can be seen.
func hungUp(net.Conn) bool { return false }
