package tcp

import (
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"testing"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
)

// TestOpError: errors are those that package net would make of its own parts.
func TestOpError(t *testing.T) {
	c := newConn(tcptest.PeerFlow(1), false, nil, nil)
	local, remote := c.flow.Local.AddrPort(), c.flow.Remote.AddrPort()
	want := &net.OpError{
		Op: "read", Net: "tcp", Source: net.TCPAddrFromAddrPort(local), Addr: net.TCPAddrFromAddrPort(remote), Err: os.ErrDeadlineExceeded,
	}
	got := c.opError("read", os.ErrDeadlineExceeded)
	if !reflect.DeepEqual(got, error(want)) || got.Error() != want.Error() {
		t.Errorf("%#v, %v; want %#v, %v", got, got, want, want)
	}
	if !got.(net.Error).Timeout() {
		t.Error("it is no timeout")
	}
	for _, err := range []error{nil, io.EOF} {
		if got := c.opError("read", err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
	if got, want := fmt.Sprintf("%T %v", c.LocalAddr(), c.LocalAddr()), "*net.TCPAddr "+local.String(); got != want {
		t.Errorf("the local address is %s, want %s", got, want)
	}
}

// TestOpErrorAllocations: net/http has one made for each request.
func TestOpErrorAllocations(t *testing.T) {
	c := newConn(tcptest.PeerFlow(1), false, nil, nil)
	var err error
	if n := testing.AllocsPerRun(100, func() { err = c.opError("read", os.ErrDeadlineExceeded) }); n != 1 {
		t.Errorf("%v allocations for %v, want 1", n, err)
	}
}
