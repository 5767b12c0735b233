package udp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
)

// Control data is what comes or goes with a datagram besides its bytes, in the
// form that Linux has for it (cmsg(3), ip(7)) on machines of this word size and
// byte order, here on every system:
//
//	IP_PKTINFO  the interface, counted from 1, 0 for this host; our address; the destination in the header
//	IP_TTL      the time to live
//	IP_TOS      the type of service: DSCP and ECN
//
// So it is read by golang.org/x/net/ipv4.ControlMessage and the functions of
// golang.org/x/sys/unix.
const (
	levelIP   = 0
	typeTOS   = 1
	typeTTL   = 2
	typeInfo  = 8 // struct in_pktinfo
	infoLen   = 12
	numberLen = 4
)

// The flags of ReadMsgUDP, of recvmsg(2).
const (
	MsgControlTruncated = 0x8  // MSG_CTRUNC: oob had no room for all control data
	MsgTruncated        = 0x20 // MSG_TRUNC: b had no room for the whole datagram
)

// The length of a struct cmsghdr: a word and two ints; and its alignment.
const (
	wordLen   = int(unsafe.Sizeof(uintptr(0)))
	headerLen = wordLen + 2*4
)

func align(n int) int { return (n + wordLen - 1) &^ (wordLen - 1) }

// ReadMsgUDP reads one datagram into p, and control data into oob: with room
// for it, always, as if IP_PKTINFO, IP_RECVTTL and IP_RECVTOS were on. That is
// 80 bytes where a word has 8. It returns how much it has put into both, and
// MsgTruncated and MsgControlTruncated. [Conn.ReadMsg] tells the same and more
// by a type.
func (c *Conn) ReadMsgUDP(p, oob []byte) (n, oobn, flags int, addr *net.UDPAddr, err error) {
	n, oobn, flags, from, err := c.ReadMsgUDPAddrPort(p, oob)
	if err != nil {
		return n, oobn, flags, nil, err
	}
	return n, oobn, flags, net.UDPAddrFromAddrPort(from), nil
}

// ReadMsgUDPAddrPort is ReadMsgUDP without allocation.
func (c *Conn) ReadMsgUDPAddrPort(p, oob []byte) (n, oobn, flags int, addr netip.AddrPort, err error) {
	b, err := c.receive()
	if err != nil {
		return 0, 0, 0, netip.AddrPort{}, c.opError("read", "recvmsg", err)
	}
	if n = copy(p, b.Bytes()); n < b.Len() {
		flags |= MsgTruncated
	}
	addr = remoteOf(b)
	if len(oob) > 0 {
		w := controlWriter{space: oob}
		w.received(ipv4.Header(b.Network()), b.Link, c.sockets.cfg.Table.Load())
		oobn = w.len
		if w.full {
			flags |= MsgControlTruncated
		}
	}
	c.release(b)
	return n, oobn, flags, addr, nil
}

// A controlWriter puts control data into a space.
type controlWriter struct {
	space []byte
	len   int
	full  bool // something did not fit
}

// received puts in what is known of a datagram that came in on a link. Our
// address is the one that it was for, or, when that was a group, the one that an
// answer comes from.
func (w *controlWriter) received(h ipv4.Header, link int, routes *ip.Table) {
	if p := w.message(typeInfo, infoLen); p != nil {
		ours, dst := h.Dst(), h.Dst().As4()
		if !routes.IsLocal(ours) {
			ours, _ = routes.Source(h.Src())
		}
		binary.NativeEndian.PutUint32(p[0:], uint32(link+1))
		if ours.Is4() {
			a := ours.As4()
			copy(p[4:], a[:])
		}
		copy(p[8:], dst[:])
	}
	if p := w.message(typeTTL, numberLen); p != nil {
		binary.NativeEndian.PutUint32(p, uint32(h.TTL()))
	}
	if p := w.message(typeTOS, 1); p != nil {
		p[0] = h.TOS()
	}
}

// message begins a control message, and returns where its data goes; nil when
// there is no room.
func (w *controlWriter) message(kind uint32, dataLen int) []byte {
	p := w.space[w.len:]
	if len(p) < headerLen+dataLen {
		w.full = true
		return nil
	}
	if wordLen == 8 {
		binary.NativeEndian.PutUint64(p, uint64(headerLen+dataLen))
	} else {
		binary.NativeEndian.PutUint32(p, uint32(headerLen+dataLen))
	}
	binary.NativeEndian.PutUint32(p[wordLen:], levelIP)
	binary.NativeEndian.PutUint32(p[wordLen+4:], kind)
	end := min(align(headerLen+dataLen), len(p))
	clear(p[headerLen:end])
	w.len += end
	return p[headerLen : headerLen+dataLen]
}

// WriteMsgUDP sends one datagram with control data: IP_PKTINFO has its source
// in the second field, and IP_TOS and IP_TTL are for this datagram alone. The
// address is nil on a connected socket, and only there. What control data it
// does not know is EINVAL, and no datagram is sent. See WriteTo for the other
// errors.
func (c *Conn) WriteMsgUDP(p, oob []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	remote := c.remote
	if addr != nil || !c.isConnected() {
		remote, err = c.destination(addr)
	}
	if err == nil {
		err = c.writeMsg(p, oob, remote)
	}
	if err != nil {
		return 0, 0, c.sockets.opError("write", "sendmsg", udpAddr(c.local), opAddr(addr), err)
	}
	return len(p), len(oob), nil
}

// WriteMsgUDPAddrPort is WriteMsgUDP without allocation.
func (c *Conn) WriteMsgUDPAddrPort(p, oob []byte, addr netip.AddrPort) (n, oobn int, err error) {
	remote := c.remote
	if addr.IsValid() || !c.isConnected() {
		remote, err = addr, c.checkRemote(addr)
	}
	if err == nil {
		err = c.writeMsg(p, oob, remote)
	}
	if err != nil {
		return 0, 0, c.sockets.opError("write", "sendmsg", udpAddr(c.local), udpAddr(addr), err)
	}
	return len(p), len(oob), nil
}

func (c *Conn) writeMsg(p, oob []byte, remote netip.AddrPort) error {
	o := c.options.Load()
	var local netip.Addr
	if len(oob) > 0 {
		changed := *o
		var ok bool
		if local, ok = changed.control(oob); !ok {
			return syscall.EINVAL
		}
		o = &changed
	}
	if c.isConnected() && !local.IsValid() {
		local = c.local.Addr()
	}
	return c.send(p, o, c.from(local), remote)
}

// control sets what control data says, and returns the source that it asks
// for, or the zero Addr.
func (o *options) control(oob []byte) (local netip.Addr, ok bool) {
	for len(oob) >= headerLen {
		n := cmsgLen(oob)
		if n < headerLen || n > len(oob) {
			return local, false
		}
		level, kind := binary.NativeEndian.Uint32(oob[wordLen:]), binary.NativeEndian.Uint32(oob[wordLen+4:])
		data := oob[headerLen:n]
		switch {
		case level != levelIP:
			return local, false
		case kind == typeInfo && len(data) == infoLen:
			if a := netip.AddrFrom4([4]byte(data[4:8])); !a.IsUnspecified() {
				local = a
			}
		case kind == typeTOS && len(data) == 1:
			o.tos = data[0]
		case kind == typeTOS && len(data) == numberLen:
			v := binary.NativeEndian.Uint32(data)
			if v > 0xff {
				return local, false
			}
			o.tos = uint8(v)
		case kind == typeTTL && len(data) == numberLen:
			v := binary.NativeEndian.Uint32(data)
			if v < 1 || v > 0xff {
				return local, false
			}
			o.ttl, o.multicastTTL = uint8(v), uint8(v)
		default:
			return local, false
		}
		oob = oob[min(align(n), len(oob)):]
	}
	return local, true
}

// cmsgLen is the length that the struct cmsghdr at the front of p tells; -1 for
// one that cannot be.
func cmsgLen(p []byte) int {
	n := uint64(binary.NativeEndian.Uint32(p))
	if wordLen == 8 {
		n = binary.NativeEndian.Uint64(p)
	}
	if n > uint64(len(p)) {
		return -1
	}
	return int(n)
}
