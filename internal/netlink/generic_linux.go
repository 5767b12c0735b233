package netlink

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrNoFamily says that the kernel has no such family of generic netlink: the module
// that brings it is not loaded.
var ErrNoFamily = errors.New("the kernel does not know it")

// A Generic speaks with one family of generic netlink. It serves one goroutine at a
// time.
type Generic struct {
	conn   Conn
	family family
}

// A family is what the kernel's controller tells of one.
type family struct {
	id     uint16
	groups map[string]uint32 // of multicast, by name
}

// DialGeneric opens a socket and asks for the family.
func DialGeneric(name string) (*Generic, error) {
	fd, err := genericSocket(0)
	if err != nil {
		return nil, err
	}
	g := &Generic{conn: Conn{fd: fd}, family: family{id: unix.GENL_ID_CTRL}}
	_, reply, err := g.Do(unix.CTRL_CMD_GETFAMILY, 1, Attributes(nil).String(unix.CTRL_ATTR_FAMILY_NAME, name))
	if err == nil {
		g.family, err = parseFamily(reply)
	}
	if errors.Is(err, unix.ENOENT) {
		err = ErrNoFamily
	}
	if err != nil {
		g.Close()
		return nil, fmt.Errorf("generic netlink family %s: %w", name, err)
	}
	return g, nil
}

func genericSocket(flags int) (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|flags, unix.NETLINK_GENERIC)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return 0, os.NewSyscallError("bind", err)
	}
	return fd, nil
}

// Close closes the socket.
func (g *Generic) Close() error { return g.conn.Close() }

// parseFamily reads the controller's reply.
func parseFamily(a Attributes) (f family, err error) {
	id, ok := a.Get(unix.CTRL_ATTR_FAMILY_ID)
	if !ok || len(id) != 2 {
		return family{}, errAnswer
	}
	f = family{binary.NativeEndian.Uint16(id), map[string]uint32{}}
	groups, _ := a.Get(unix.CTRL_ATTR_MCAST_GROUPS)
	for _, g := range groups.All() {
		name, _ := g.Get(unix.CTRL_ATTR_MCAST_GRP_NAME)
		if id, ok := g.GetUint32(unix.CTRL_ATTR_MCAST_GRP_ID); ok {
			f.groups[string(bytes.TrimRight(name, "\x00"))] = id
		}
	}
	return f, nil
}

// Do sends a command, and returns the kernel's reply, if there is one.
func (g *Generic) Do(command, version uint8, attributes Attributes) (reply uint8, a Attributes, err error) {
	m := append(newMessage(g.family.id, 0), command, version, 0, 0)
	g.conn.seq++
	if err := unix.Sendto(g.conn.fd, append(m, attributes...).seal(g.conn.seq), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, nil, os.NewSyscallError("sendto", err)
	}
	answer := make([]byte, 32<<10)
	for {
		n, _, err := unix.Recvfrom(g.conn.fd, answer, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, nil, os.NewSyscallError("recvfrom", err)
		}
		done := false
		for p := range messages(answer[:n]) {
			if binary.NativeEndian.Uint32(p[8:]) != g.conn.seq {
				continue
			}
			if binary.NativeEndian.Uint16(p[4:]) != g.family.id {
				done, err = parseAck(p, g.conn.seq)
				if err != nil {
					return 0, nil, err
				}
			} else if c, b, ok := parseGeneric(p); ok {
				reply, a = c, bytes.Clone(b)
			}
		}
		if done {
			return reply, a, nil
		}
	}
}

// messages yields the messages of one datagram, each at least a header long.
func messages(p []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(p) >= unix.SizeofNlMsghdr {
			n := uint64(binary.NativeEndian.Uint32(p))
			if n < unix.SizeofNlMsghdr || n > uint64(len(p)) || !yield(p[:n]) {
				return
			}
			p = p[min((n+3)&^3, uint64(len(p))):]
		}
	}
}

// parseGeneric reads a message of a family.
func parseGeneric(p []byte) (command uint8, a Attributes, ok bool) {
	const header = unix.SizeofNlMsghdr + unix.GENL_HDRLEN
	if len(p) < header {
		return 0, nil, false
	}
	return p[unix.SizeofNlMsghdr], Attributes(p[header:]), true
}

// Events are what the kernel tells a group of a family of generic netlink.
type Events struct {
	f      *os.File
	family uint16
	buf    []byte
}

// Listen joins a group of the family.
func (g *Generic) Listen(group string) (*Events, error) {
	id, ok := g.family.groups[group]
	if !ok {
		return nil, fmt.Errorf("generic netlink: no group %s", group)
	}
	fd, err := genericSocket(unix.SOCK_NONBLOCK)
	if err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(id)); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("setsockopt", err)
	}
	return &Events{os.NewFile(uintptr(fd), "netlink"), g.family.id, make([]byte, 32<<10)}, nil
}

// Next calls f with each event of the next datagram; Close ends it. Command 0 says that
// events were lost, since there was no room for them.
func (e *Events) Next(f func(command uint8, a Attributes)) error {
	n, err := e.f.Read(e.buf)
	if errors.Is(err, unix.ENOBUFS) {
		f(0, nil)
		return nil
	}
	if err != nil {
		return err
	}
	for p := range messages(e.buf[:n]) {
		if binary.NativeEndian.Uint16(p[4:]) != e.family {
			continue
		}
		if c, a, ok := parseGeneric(p); ok {
			f(c, a)
		}
	}
	return nil
}

// Close ends Next.
func (e *Events) Close() error { return e.f.Close() }
