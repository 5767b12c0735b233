package main

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/paper/internal/agent"
	"github.com/seed-012105e5/gonet/paper/internal/subject"
)

// A site is where one measurement is made: the namespace of the client, the
// cable, and the processes. It is made anew for each, so that no connection, no
// memory and no history of an earlier one is in it.
type site struct {
	*options
	work    string // its name
	subject subject.Subject
	client  *netns.NS
	stack   *netns.NS // where the stack's end of the cable is; the client's, for a tap
	agents  []*agent.Process
}

// cables is how many the subject has.
func (at *site) cables() int { return max(at.subject.Cables, 1) }

// The network of a site, that of its first cable.
func serverAddr() netip.Prefix { return netip.MustParsePrefix("10.0.0.2/16") }
func clientAddr() netip.Prefix { return netip.MustParsePrefix("10.0.0.1/16") }

func newSite(work string, s subject.Subject, o *options) (_ *site, err error) {
	at := &site{options: o, work: work, subject: s}
	defer func() {
		if err != nil {
			at.close()
		}
	}()
	if at.client, err = newNamespace(); err != nil {
		return nil, err
	}
	if s.Cable == subject.Tap || s.Cable == subject.None {
		at.stack = at.client
		return at, nil // the server makes the tap
	}
	if at.stack, err = newNamespace(); err != nil {
		return nil, err
	}
	if err := at.plugIn(); err != nil {
		return nil, err
	}
	return at, nil
}

// newNamespace makes a namespace in which nothing but the work goes on. Its
// congestion control is reno: the default of some systems, bbr, paces bulk
// transfers, and a namespace may have no other one that is not for everybody.
// The sockets of our own clients and servers have what the command line says.
func newNamespace() (*netns.NS, error) {
	ns, err := netns.New()
	if err != nil {
		return nil, err
	}
	for _, s := range []struct{ name, value string }{
		{"net.ipv4.tcp_congestion_control", "reno"},
		{"net.ipv4.tcp_no_metrics_save", "1"},
		{"net.ipv4.tcp_tw_reuse", "1"},
		{"net.ipv4.ip_local_port_range", "1024 65535"},
		{"net.core.somaxconn", "65535"},
		{"net.ipv6.conf.all.disable_ipv6", "1"},
		{"net.ipv6.conf.default.disable_ipv6", "1"},
	} {
		if err := ns.Sysctl(s.name, s.value); err != nil && !os.IsNotExist(err) {
			return nil, errors.Join(err, ns.Close())
		}
	}
	return ns, nil
}

// close ends the processes, and gives up the namespaces. Taps and veths go with
// them.
func (at *site) close() {
	for _, p := range at.agents {
		p.End() // how it ends is of no interest any more
	}
	if at.stack != nil && at.stack != at.client {
		at.stack.Close()
	}
	if at.client != nil {
		at.client.Close()
	}
}

// serve starts the server.
func (at *site) serve(ctx context.Context, t agent.Task) (*agent.Process, error) {
	t.Subject, t.Threads = at.subject.Key, at.subject.Threads
	if at.profile != "" {
		t.Profile = filepath.Join(at.profile, fileName(at.work+" "+at.subject.Key))
	}
	return at.start(ctx, at.stack, roleServer, t)
}

// fileName is a name for files, with neither blanks nor commas.
func fileName(s string) string {
	return strings.NewReplacer(", ", "-", " ", "-", ",", "").Replace(s)
}

// load starts the client.
func (at *site) load(ctx context.Context, t agent.Task) (*agent.Process, error) {
	return at.start(ctx, at.client, roleClient, t)
}

func (at *site) start(ctx context.Context, ns *netns.NS, role string, t agent.Task) (*agent.Process, error) {
	t.Server, t.Peer, t.Cables, t.Congestion = serverAddr(), clientAddr(), at.cables(), at.congestion
	t.BusyPoll, t.Queues = at.busyPoll, at.queues
	p, err := agent.Start(ctx, ns, role, t)
	if err == nil {
		at.agents = append(at.agents, p)
	}
	return p, err
}

// addSources gives the client as many addresses as it needs for n connections
// to one port.
func (at *site) addSources(n int) ([]netip.Addr, error) {
	// Of an address. There are 64512, but connect looks through all of one half
	// before it takes one of the other (__inet_hash_connect).
	const ports = 30000
	sources := []netip.Addr{clientAddr().Addr()}
	for i := 1; i*ports < n; i++ {
		a := clientAddr().Addr().As4()
		binary.BigEndian.PutUint16(a[2:], uint16(256+i))
		p := netip.PrefixFrom(netip.AddrFrom4(a), clientAddr().Bits())
		if err := at.client.AddAddr(at.subject.Cable.PeerDevice(), p); err != nil {
			return nil, err
		}
		sources = append(sources, p.Addr())
	}
	return sources, nil
}

// output runs a foreign client, and returns what it prints.
func (at *site) output(cmd *exec.Cmd) ([]byte, error) {
	agent.Tame(cmd)
	return at.client.Output(cmd)
}

// sleep waits, or until ctx is done.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
