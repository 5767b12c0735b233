package subject

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/seed-012105e5/gonet/paper/internal/agent"
)

// manyCables is how many cables those subjects have that have many.
const manyCables = 8

// An end is the stack's end of a cable.
type end struct {
	device     string
	addr, peer netip.Prefix
}

// ends are those of all cables.
func (c Config) ends() (all []end) {
	for i := range max(c.Cables, 1) {
		all = append(all, end{NthDevice(Device, i), agent.Nth(c.Addr, i), agent.Nth(c.Peer, i)})
	}
	return all
}

// NthDevice is the name of a device of cable i, by that of cable 0: server0 and
// server3. A device that has no number is one for all.
func NthDevice(name string, i int) string {
	if prefix, ok := strings.CutSuffix(name, "0"); ok {
		return prefix + strconv.Itoa(i)
	}
	return name
}

// kernelLinks is the kernel with several veths between its two ends.
func kernelLinks(key, name string, n int) Subject {
	s := kernel(key, name, Veth)
	s.Cables = n
	return s
}

// ourLinks is one GoNet that has several taps.
func ourLinks(key, name string, n int) Subject {
	s := ours(key, name, false)
	s.Cables = n
	return s
}

// ourStacks is several GoNets in one process, with a tap each.
func ourStacks(key, name string, n int) Subject {
	return Subject{Key: key, Name: name, Cable: Tap, Cables: n, Start: func(cfg Config) (Stack, error) {
		var all stacks
		for _, e := range cfg.ends() {
			s, err := startOurs(cfg, []end{e}, false)
			if err != nil {
				return nil, errors.Join(err, all.Close())
			}
			all = append(all, s)
		}
		return all, nil
	}}
}

// stacks are several stacks that serve as one.
type stacks []Stack

// Listen listens on all of them.
func (all stacks) Listen(port uint16) (net.Listener, error) {
	joined := &listeners{conns: make(chan net.Conn), ended: make(chan struct{})}
	for _, s := range all {
		l, err := s.Listen(port)
		if err != nil {
			return nil, errors.Join(err, joined.Close())
		}
		joined.all = append(joined.all, l)
		go joined.accept(l)
	}
	return joined, nil
}

// ListenPacket does not: a datagram has to go out where its request has come in,
// and nobody needs it here.
func (all stacks) ListenPacket(uint16) (net.PacketConn, error) { return nil, errors.ErrUnsupported }

// Close closes all of them.
func (all stacks) Close() (err error) {
	for _, s := range all {
		err = errors.Join(err, s.Close())
	}
	return err
}

// listeners are several listeners that serve as one.
type listeners struct {
	all   []net.Listener
	conns chan net.Conn
	ended chan struct{}
}

// accept hands on what one of them gets.
func (j *listeners) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		select {
		case j.conns <- c:
		case <-j.ended:
			c.Close()
			return
		}
	}
}

func (j *listeners) Accept() (net.Conn, error) {
	select {
	case c := <-j.conns:
		return c, nil
	case <-j.ended:
		return nil, net.ErrClosed
	}
}

// Close closes all of them; it is called once.
func (j *listeners) Close() (err error) {
	close(j.ended)
	for _, l := range j.all {
		err = errors.Join(err, l.Close())
	}
	return err
}

// Addr is the address of the first.
func (j *listeners) Addr() net.Addr { return j.all[0].Addr() }
