package setup

import (
	"context"
	"net"

	"github.com/seed-012105e5/gonet/tcp"
)

// connectPort is where the end that is connected to listens.
const connectPort = "5001"

// Connect makes a TCP connection from host a to host b of a pair, and returns
// both its ends. Hang up closes them, as does the end of ctx.
func Connect(ctx context.Context, a, b *Host) (from, to *tcp.Conn, hangUp func(), err error) {
	l, err := b.Listen("tcp", ":"+connectPort)
	if err != nil {
		return nil, nil, nil, err
	}
	defer l.Close()
	c, err := a.DialContext(ctx, "tcp", net.JoinHostPort(AddrB.Addr().String(), connectPort))
	if err != nil {
		return nil, nil, nil, err
	}
	peer, err := l.Accept()
	if err != nil {
		c.Close()
		return nil, nil, nil, err
	}
	closeBoth := func() { c.Close(); peer.Close() }
	stop := context.AfterFunc(ctx, closeBoth)
	return c.(*tcp.Conn), peer.(*tcp.Conn), func() { stop(); closeBoth() }, nil
}
