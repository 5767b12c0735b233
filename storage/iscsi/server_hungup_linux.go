package iscsi

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// hungUp says whether the other side of a connection has ended it, which who reads the
// connection may not have seen yet. It sees that of sockets of the kernel's, and of what
// stands for them.
func hungUp(conn net.Conn) (ended bool) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	socket := false
	look := func(fd uintptr) bool {
		_, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE)
		if socket = err == nil; socket {
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
			_, err := unix.Poll(p, 0)
			ended = err == nil && p[0].Revents != 0
		}
		return true
	}
	// Control does not wait for who reads; a stack of ours has no socket for it.
	err = raw.Control(func(fd uintptr) { look(fd) })
	if err == nil && !socket {
		err = raw.Read(look)
	}
	return ended || err != nil
}
