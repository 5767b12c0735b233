package rootless

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// Forwarding runs beside the stack, between two kernel sockets; none of it is
// on the packet path.

// startTime is how long a connection waits for the tap to be set up, and
// retryTime how often it looks.
const (
	startTime = 5 * time.Second
	retryTime = 20 * time.Millisecond
)

// Serve forwards connections from and to the network that this program is in
// already, until ctx is done: for a program that does without Run.
func (f Forward) Serve(ctx context.Context) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", f.Listen)
	if err != nil {
		return fmt.Errorf("rootless: %w (choose another address)", err)
	}
	go forward(ctx, l, f.To)
	return nil
}

// forward accepts the connections of l, and joins each with one to the address
// to, until ctx is done; those that have been accepted go on until they end.
//
// Owns: l.
// Reads: ctx.
// Writes: nothing.
// Blocks on: l.
func forward(ctx context.Context, l net.Listener, to string) {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	for {
		outer, err := l.Accept()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			time.Sleep(retryTime) // out of descriptors, or the client has gone already
			continue
		}
		go join(ctx, outer.(*net.TCPConn), to)
	}
}

// join makes the inner connection, and copies both ways until both are done.
//
// Owns: outer, and the connection it makes.
// Reads: both, ctx while it connects.
// Writes: both.
// Blocks on: both.
func join(ctx context.Context, outer *net.TCPConn, to string) {
	inner, err := dial(ctx, to)
	if err != nil {
		reset(outer) // as a server that is not there
		return
	}
	var up sync.WaitGroup
	up.Go(func() { pipe(inner, outer) })
	pipe(outer, inner)
	up.Wait()
	outer.Close()
	inner.Close()
}

// dial connects to an address behind the tap. While there is no tap yet, the
// network is unreachable: the stack is still starting.
func dial(ctx context.Context, to string) (*net.TCPConn, error) {
	for deadline := time.Now().Add(startTime); ; {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", to)
		if err == nil {
			return c.(*net.TCPConn), nil
		}
		if !errors.Is(err, syscall.ENETUNREACH) || time.Now().After(deadline) {
			return nil, err
		}
		select {
		case <-time.After(retryTime):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// pipe copies from src to dst to the end, and passes the end on. When either
// breaks it resets both, which ends the other direction too.
func pipe(dst, src *net.TCPConn) {
	if _, err := io.Copy(dst, src); err != nil {
		reset(src)
		reset(dst)
		return
	}
	dst.CloseWrite() // fails when the other direction has broken
}

// reset closes a connection with a reset.
func reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}
