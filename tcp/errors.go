package tcp

import (
	"io"
	"net"
)

// opError wraps err as package net does. io.EOF stays as it is.
func (c *Conn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	e := new(connError)
	e.OpError = net.OpError{Op: op, Net: "tcp", Source: e.source.set(c.flow.local), Addr: e.addr.set(c.flow.remote), Err: err}
	return &e.OpError
}

// A connError is an error of package net with all that hangs on it, in one
// piece: net/http has a Read pass its deadline with each request.
type connError struct {
	net.OpError
	source, addr netAddr
}

// A netAddr is an address of package net in one piece.
type netAddr struct {
	net.TCPAddr
	ip [4]byte
}

// set makes a the address of e.
func (a *netAddr) set(e endpoint) *net.TCPAddr {
	a.ip, a.Port = e.ip, int(e.port)
	a.IP = a.ip[:]
	return &a.TCPAddr
}

func (e endpoint) netAddr() *net.TCPAddr { return new(netAddr).set(e) }
