package netdiff

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// names puts the names of sockets in the place of their ports, which chance
// has chosen.
func (r *runner) names(s string) string {
	return portAtEnd.ReplaceAllStringFunc(s, func(port string) string {
		switch name := r.ports[port[1:]]; {
		case name != "":
			return ":" + name
		case len(port) > 5: // an ephemeral one
			return ":?"
		}
		return port
	})
}

var portAtEnd = regexp.MustCompile(`:[0-9]+\b`)

// addr is the type of an address and its text.
func (r *runner) addr(a net.Addr) string {
	if a == nil {
		return "nil"
	}
	kind := fmt.Sprintf("%T", a)
	if kind == "net.addrPortUDPAddr" { // which no program can name
		kind = "*net.UDPAddr"
	}
	return fmt.Sprintf("%s %s %s", kind, a.Network(), r.names(a.String()))
}

// addrs is all addresses of a socket.
func (r *runner) addrs(s any) string {
	if l, ok := s.(net.Listener); ok {
		return r.addr(l.Addr())
	}
	c, ok := s.(net.Conn)
	if !ok {
		return r.addr(s.(net.PacketConn).LocalAddr())
	}
	return r.addr(c.LocalAddr()) + " to " + r.addr(c.RemoteAddr())
}

// error is an error with all that programs look at: its text, the exported types
// of its chain with their fields, and what it is.
func (r *runner) error(err error) string {
	switch err {
	case nil:
		return "no error"
	case io.EOF:
		return "io.EOF"
	}
	var chain []string
	for e := err; e != nil; e = errors.Unwrap(e) {
		chain = append(chain, r.link(e))
	}
	var is []string
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			is = append(is, k.name)
		}
	}
	if t, ok := err.(interface{ Timeout() bool }); ok && t.Timeout() {
		is = append(is, "Timeout")
	}
	if t, ok := err.(interface{ Temporary() bool }); ok && t.Temporary() {
		is = append(is, "Temporary")
	}
	return fmt.Sprintf("error %q: %s; is %s", r.names(err.Error()), strings.Join(chain, " around "), strings.Join(is, ", "))
}

// kinds are what programs ask errors for.
var kinds = []struct {
	name string
	err  error
}{
	{"net.ErrClosed", net.ErrClosed},
	{"os.ErrDeadlineExceeded", os.ErrDeadlineExceeded},
	{"context.Canceled", context.Canceled},
	{"context.DeadlineExceeded", context.DeadlineExceeded},
}

// link is one error of a chain.
func (r *runner) link(err error) string {
	switch e := err.(type) {
	case *net.OpError:
		return fmt.Sprintf("*net.OpError{%s %s, source %s, addr %s}", e.Op, e.Net, r.addr(e.Source), r.addr(e.Addr))
	case *os.SyscallError:
		return fmt.Sprintf("*os.SyscallError{%s}", e.Syscall)
	case syscall.Errno:
		return "syscall." + unix.ErrnoName(e)
	case *net.DNSError:
		return fmt.Sprintf("*net.DNSError{%q, name %s, not found %v, timeout %v}", e.Err, e.Name, e.IsNotFound, e.IsTimeout)
	case *net.AddrError:
		return fmt.Sprintf("*net.AddrError{%q, %s}", e.Err, r.names(e.Addr))
	case net.UnknownNetworkError, net.InvalidAddrError:
		return fmt.Sprintf("%T", err)
	}
	return "an error"
}
