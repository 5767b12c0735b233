package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/tcp"
)

// firstPort is the first port that workloads listen on.
const firstPort = 5001

// An App is an application: one process with an instant of its own, at which
// it begins and goes on after each Sleep.
type App struct {
	Net   *Net
	phase time.Duration
}

// Go starts an application. An error that it returns fails the network, but for
// those that come from the end of the network itself.
func (n *Net) Go(f func(a *App) error) {
	a := &App{Net: n, phase: n.phase()}
	n.apps.Go(func() {
		a.Until(n.Now())
		if err := f(a); err != nil && !errors.Is(err, net.ErrClosed) {
			n.Fail(err)
		}
	})
}

// Sleep waits for d, and on to the application's own instant.
func (a *App) Sleep(d time.Duration) { a.Until(a.Net.Now() + d) }

// Until waits until the instant at, counted from the making of the network,
// and on to the application's own instant.
func (a *App) Until(at time.Duration) {
	time.Sleep(time.Until(next(a.Net.began.Add(at), a.phase)))
}

// Listen listens on a port of h that is not in use.
func (h *Host) Listen() (*tcp.Listener, netip.AddrPort, error) {
	at := netip.AddrPortFrom(h.Addr(), h.ports)
	h.ports++
	l, err := h.Stack.Listen("tcp", at.String())
	if err != nil {
		return nil, at, err
	}
	return l.(*tcp.Listener), at, nil
}

// Dial connects h to a listener.
func (h *Host) Dial(to netip.AddrPort) (*tcp.Conn, error) {
	c, err := h.DialContext(context.Background(), "tcp", to.String())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", h.Name, err)
	}
	return c.(*tcp.Conn), nil
}

// Ended says whether err is how a connection ends that was cut on purpose: by
// a deadline, a reset, or the end of its stack.
func Ended(err error) bool {
	return err == nil || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.ECONNRESET)
}
