package tcp

import (
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/seed-012105e5/gonet/internal/deadline"
	"github.com/seed-012105e5/gonet/ip"
)

// opError wraps err as package net does. io.EOF stays as it is.
func (c *Conn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	e := new(connError)
	e.OpError = net.OpError{Op: op, Net: networkName(c.isV4), Source: e.source.set(c.flow.Local), Addr: e.addr.set(c.flow.Remote), Err: e.call.wrap(op, err)}
	return &e.OpError
}

// setError is the error of a call that package net makes on the descriptor
// alone: it names no peer.
func (c *Conn) setError(err error) error {
	return &net.OpError{Op: "set", Net: networkName(c.isV4), Addr: c.LocalAddr(), Err: wrapErrno("set", err)}
}

// A connError is an error of package net with all that hangs on it, in one
// piece: net/http has a Read pass its deadline with each request.
type connError struct {
	net.OpError
	source, addr netAddr
	call         callError
}

// A callError is an errno, and the system call that gives it where the sockets
// are the kernel's: programs that ask for *os.SyscallError find one.
type callError struct{ os.SyscallError }

// wrap is err, in e where it is an errno.
func (e *callError) wrap(op string, err error) error {
	if _, ok := err.(syscall.Errno); !ok {
		return err
	}
	e.SyscallError = os.SyscallError{Syscall: callOf(op), Err: err}
	return &e.SyscallError
}

func wrapErrno(op string, err error) error { return new(callError).wrap(op, err) }

// callOf is the system call of an operation.
func callOf(op string) string {
	switch op {
	case "dial":
		return "connect"
	case "listen":
		return "bind"
	case "close":
		return "shutdown"
	case "set":
		return "setsockopt"
	}
	return op
}

// networkName is what errors call the network: as it was given to Dial or
// Listen.
func networkName(isV4 bool) string {
	if isV4 {
		return "tcp4"
	}
	return "tcp"
}

// dialError wraps what has kept a connection from being established.
func dialError(o DialOptions, remote netip.AddrPort, err error) error {
	e := &net.OpError{Op: "dial", Net: networkName(o.Network == "tcp4"), Addr: net.TCPAddrFromAddrPort(remote), Err: wrapErrno("dial", deadline.OfContext(err))}
	if o.Local != (netip.AddrPort{}) {
		e.Source = net.TCPAddrFromAddrPort(o.Local)
	}
	return e
}

// A netAddr is an address of package net in one piece.
type netAddr struct {
	net.TCPAddr
	ip [16]byte
}

// set makes a the address of e.
func (a *netAddr) set(e ip.Endpoint) *net.TCPAddr {
	addr := e.Addr()
	a.ip, a.Port = addr.As16(), int(e.Port)
	if a.IP = a.ip[:]; addr.Is4() {
		a.IP = a.ip[12:]
	}
	return &a.TCPAddr
}

func netAddrOf(e ip.Endpoint) *net.TCPAddr { return new(netAddr).set(e) }
