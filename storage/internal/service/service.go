// Package service has what servers of different protocols do alike: they take
// connections, close them so that the last words arrive, and print what they count.
package service

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Accept has serve called, in a goroutine of its own, for each connection that comes to
// l, until l fails; the error is that of l. What may pass, as want of descriptors, is
// waited for.
func Accept(l net.Listener, serve func(net.Conn)) error {
	pause := time.Duration(0)
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			go serve(conn)
		case passing(err):
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			time.Sleep(pause)
		default:
			return err
		}
	}
}

// passing says whether Accept may succeed later.
func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Linger closes the connection so that what was written last arrives: with requests
// unread, a close would make the kernel send a reset, which may overtake it. It reads up
// to so many bytes, for a second at most.
func Linger(conn net.Conn, most int64) {
	if c, ok := conn.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		conn.SetReadDeadline(time.Now().Add(time.Second))
		io.CopyN(io.Discard, conn, most)
	}
	conn.Close()
}

// Lines is the counters that are not zero, one a line, sorted.
func Lines(counters map[string]uint64) string {
	var lines []string
	for name, value := range counters {
		if value > 0 {
			lines = append(lines, fmt.Sprintf("%-32s %d\n", name, value))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}
