// Package setup is what the programs of the storage module have in common: where they
// serve, on sockets of the kernel's or on a stack of their own behind a tap.
package setup

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/rootless"
	"github.com/seed-012105e5/gonet/tap"
)

// Where is where a program serves, or from where it dials.
type Where struct {
	tap        string
	addr, host netip.Prefix
	rootless   bool
	outside    map[string]string // with -rootless: where clients reach what listens at a port

	stack *gonet.Stack // nil: the kernel's sockets
}

// Flags adds the flags of it.
func (w *Where) Flags(flags *flag.FlagSet) {
	flags.StringVar(&w.tap, "tap", "", "use a TCP/IP stack of the program's own behind this `tap` (needs root, or a tap of one's own),\nin place of the kernel's sockets")
	flags.TextVar(&w.addr, "addr", netip.MustParsePrefix("10.0.0.2/24"), "with -tap: `address` of the stack, with its network")
	flags.TextVar(&w.host, "host", netip.MustParsePrefix("10.0.0.1/24"), "with -tap: `address` of the kernel's end")
}

// ServerFlags adds the flags of a server: those of Flags, and -rootless.
func (w *Where) ServerFlags(flags *flag.FlagSet) {
	w.Flags(flags)
	flags.BoolVar(&w.rootless, "rootless", false, "use a stack of the program's own, behind a tap in a private network, as an ordinary user may;\nthe address to listen at is this machine's, from where connections are forwarded to the stack")
}

// Enter is called by a server before it opens anything, with the addresses that it is to
// listen at; an empty one is none. With -rootless it runs the program a second time, in a
// private network (see package rootless), and says at the end of that one that there is
// nothing more to do.
func (w *Where) Enter(ctx context.Context, addresses ...string) (goOn bool, err error) {
	if !w.rootless {
		return true, nil
	}
	w.outside = map[string]string{}
	var forwards []rootless.Forward
	for _, address := range addresses {
		if address == "" || strings.HasPrefix(address, "unix:") {
			continue // the file system is not private
		}
		_, port, err := net.SplitHostPort(address)
		if err != nil || port == "0" {
			return false, program.Usage("-rootless wants an address to listen at with a port of its own, and %q is not one", address)
		}
		if other := w.outside[port]; other != "" {
			return false, program.Usage("-rootless wants different ports: %s and %s", other, address)
		}
		w.outside[port] = address
		forwards = append(forwards, rootless.Forward{Listen: address, To: net.JoinHostPort(w.addr.Addr().String(), port)})
	}
	if w.tap == "" {
		w.tap = "tap0"
	}
	return rootless.Run(ctx, forwards)
}

// Rootless says whether the program is to run as an ordinary user.
func (w *Where) Rootless() bool { return w.rootless }

// Open makes the stack, if there is to be one. Close ends it.
func (w *Where) Open() error {
	if w.tap == "" {
		return nil
	}
	if w.host.IsValid() && (w.host.Masked() != w.addr.Masked() || w.host.Addr() == w.addr.Addr()) {
		return program.Usage("-host %v and -addr %v: want two addresses of one network", w.host, w.addr)
	}
	card, err := tap.Open(tap.Config{Name: w.tap, HostAddr: w.host, Queues: tap.AutoQueues})
	if err != nil {
		return err
	}
	w.stack, err = gonet.New(gonet.Config{Link: card, Addr: w.addr, Gateway: w.host.Addr()})
	return err
}

// Close ends the stack, if there is one.
func (w *Where) Close() {
	if w.stack != nil {
		w.stack.Close()
	}
}

// Listen listens at an address, host:port, or unix:PATH for a socket of the file
// system, which is the kernel's in any case; one that nobody listens at any more is
// replaced.
func (w *Where) Listen(ctx context.Context, address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if c, err := net.Dial("unix", path); err == nil {
			c.Close()
			return nil, fmt.Errorf("somebody listens at %s already", path)
		}
		if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
			os.Remove(path)
		}
		return new(net.ListenConfig).Listen(ctx, "unix", path)
	}
	if w.outside != nil { // forwarded from there
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		address = ":" + port
	}
	if w.stack != nil {
		return w.stack.Listen("tcp", address)
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", address)
}

// DialContext dials by the stack, if there is one.
func (w *Where) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if w.stack != nil && network != "unix" {
		return w.stack.DialContext(ctx, network, address)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// OnStack says whether the program uses a stack of its own, which Open has made.
func (w *Where) OnStack() bool { return w.stack != nil }

// Host is the address by which clients reach what listens at address.
func (w *Where) Host(address net.Addr) string {
	at, ok := address.(*net.TCPAddr)
	switch {
	case !ok:
		return address.String()
	case w.outside != nil:
		return w.outside[strconv.Itoa(at.Port)]
	case w.stack != nil && at.IP.IsUnspecified():
		return netip.AddrPortFrom(w.addr.Addr(), uint16(at.Port)).String()
	case at.IP.IsUnspecified():
		return fmt.Sprintf("localhost:%d", at.Port)
	}
	return at.String()
}
