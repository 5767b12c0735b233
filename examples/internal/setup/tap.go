package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/dns"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/rootless"
	"github.com/seed-012105e5/gonet/tap"
)

// Tap is a host on a tap, as flags describe it.
type Tap struct {
	*Flags
	Addr netip.Prefix // of our end, the stack
	Host netip.Prefix // of the kernel's end; zero: somebody else sets it up

	name     string
	mtu      int
	offload  bool
	dns      dns.Config
	rootless bool
	private  bool   // a private network will do
	forward  string // where to listen outside, for port
	port     *int   // nil: the program serves nothing
}

// defaultForward is where a rootless program listens.
const defaultForward = "127.0.0.1:8080"

// Tap adds the flags of a tap.
func (f *Flags) Tap() *Tap {
	t := &Tap{Flags: f}
	f.StringVar(&t.name, "tap", "tap0", "`name` of the tap, which is made if it is not there")
	f.TextVar(&t.Addr, "addr", AddrB, "`address` of the stack, with the length of its network's prefix")
	f.TextVar(&t.Host, "host", AddrA, "`address` of the kernel's end of the tap; empty leaves it alone")
	f.IntVar(&t.mtu, "mtu", 0, "longest IP datagram in `bytes` (default what the tap has, 1500)")
	f.BoolVar(&t.offload, "offload", true, "exchange trains of segments with the kernel, without checksums")
	f.Check(t.check)
	return t
}

// Private lets the program run in a private network, where nobody but the
// kernel is at the other end of the tap, and adds the flag that asks for it.
func (t *Tap) Private() {
	t.private = true
	t.BoolVar(&t.rootless, "rootless", false, "run in a private network, where an ordinary user may make taps;\nwhat an ordinary user gets when there is no tap of that name")
}

// Forward is Private for a server: it adds the flag that says from where TCP
// connections are let in to a port of the stack.
func (t *Tap) Forward(port *int) {
	t.Private()
	t.port = port
	t.StringVar(&t.forward, "forward", "", "`address` of this machine from where connections are forwarded to the stack\n(default "+defaultForward+" with -rootless, otherwise none)")
	t.Check(t.checkForward)
}

// Run makes the tap and the stack, calls do, which is to return when ctx is
// done, and takes all down again.
func (t *Tap) Run(ctx context.Context, do func(*Host) error) (err error) {
	if t.rootless {
		if inside, err := rootless.Run(ctx, t.forwards()); err != nil || !inside {
			return err
		}
	}
	conflict := t.conflict()
	if conflict != nil && os.Geteuid() == 0 { // others may go to a private network yet
		return conflict
	}
	file, err := t.openPcap()
	if err != nil {
		return err
	}
	if file != nil {
		defer func() { err = errors.Join(err, file.Close()) }()
	}
	card, err := tap.Open(tap.Config{Name: t.name, MTU: t.mtu, HostAddr: t.Host, DisableOffload: !t.offload})
	switch {
	case t.hides(err):
		t.Say("only root may make a tap here: this one is in a private network, see -rootless")
		os.Args = slices.Insert(os.Args, 1, "-rootless") // for the second process
		_, err = rootless.Run(ctx, t.forwards())
		return err
	case err != nil:
		return err
	case conflict != nil:
		close(card.Tx)
		for b := range card.Rx {
			b.Release()
		}
		return conflict
	}
	return t.on(ctx, card, file, do)
}

// hides says whether the program is to go to a private network because of err:
// the user may not make taps, rather than not use the one that is there.
func (t *Tap) hides(err error) bool {
	_, missing := net.InterfaceByName(t.name)
	return t.private && !t.rootless && errors.Is(err, fs.ErrPermission) && missing != nil
}

// on is Run with the tap.
func (t *Tap) on(ctx context.Context, card link.Link, file *os.File, do func(*Host) error) error {
	t.Say("%s: the kernel is %v, the stack %v, MTU %d", card.Name, t.Host, t.Addr, card.MTU)
	card = t.record(t.impair(card), file)
	host, err := newHost(gonet.Config{Link: card, Addr: t.Addr, Gateway: t.Host.Addr(), DNS: t.dns})
	if err != nil {
		return err
	}
	if err = t.serveForward(ctx); err == nil {
		err = do(host)
	}
	host.Close()
	if t.Stats {
		fmt.Fprintf(t.Out, "\n%v", host.Stats())
	}
	return err
}

// forwards is what a rootless program lets in.
func (t *Tap) forwards() []rootless.Forward {
	if t.port == nil {
		return nil
	}
	if t.forward == "" {
		t.forward = defaultForward
	}
	return []rootless.Forward{{Listen: t.forward, To: t.target()}}
}

// serveForward lets in what a program does that is not rootless.
func (t *Tap) serveForward(ctx context.Context) error {
	if t.rootless || t.forward == "" {
		return nil
	}
	return rootless.Forward{Listen: t.forward, To: t.target()}.Serve(ctx)
}

// target is where connections are forwarded to.
func (t *Tap) target() string {
	return netip.AddrPortFrom(t.Addr.Addr(), uint16(*t.port)).String()
}

// Reach is where clients on this machine find what the program serves on port:
// host and port, where connections are forwarded from, or else the stack itself.
func (t *Tap) Reach() string {
	if t.forward == "" {
		return t.target()
	}
	host, port, _ := net.SplitHostPort(t.forward) // checked
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
