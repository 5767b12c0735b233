package packetdrill

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/packet"
)

const (
	ethLen, ipLen, tcpLen = 14, 20, 20

	typeIPv4, typeARP         = 0x0800, 0x0806
	protocolICMP, protocolTCP = 1, 6
)

// A wire is a segment that the stack has sent, with the numbers that it has
// there.
type wire struct {
	segment
	at            time.Time
	local, remote uint16 // ports
	text          []byte
	longest       int   // text and options of the longest segment that it is cut into
	err           error // what is wrong with it
}

// hosts are the two ends of the cable.
type hosts struct {
	ourMAC, peerMAC [6]byte
	our, peer       [4]byte
}

// frame writes a segment that arrives as an Ethernet frame.
func (h *hosts) frame(g *segment, remote, local uint16, text []byte) *packet.Buffer {
	options := encodeOptions(g.options)
	b := packet.Get(ethLen + ipLen + tcpLen + len(options) + len(text))
	p := h.ip(b, protocolTCP, tcpLen+len(options)+len(text), &g.ip)
	binary.BigEndian.PutUint16(p, remote)
	binary.BigEndian.PutUint16(p[2:], local)
	binary.BigEndian.PutUint32(p[4:], g.seq)
	binary.BigEndian.PutUint32(p[8:], g.ack)
	p[12] = byte((tcpLen + len(options)) / 4 << 4)
	if g.ip.offset.is {
		p[12] = byte(g.ip.offset.value << 4)
	}
	p[13] = byte(g.flags)
	binary.BigEndian.PutUint16(p[14:], uint16(g.window.value))
	binary.BigEndian.PutUint16(p[16:], 0)
	binary.BigEndian.PutUint16(p[18:], uint16(g.urgent))
	copy(p[copy(p[tcpLen:], options)+tcpLen:], text)
	sum := ^h.sum(p)
	if g.ip.badSum {
		sum ^= 0x0101
	}
	binary.BigEndian.PutUint16(p[16:], sum)
	if g.ip.train.is {
		b.SegmentSize = g.ip.train.value
		b.Checksum = packet.ChecksumVerified
	}
	return b
}

// sum is that of p with the pseudo-header of the peer's segments, and of ours.
func (h *hosts) sum(p []byte) uint16 {
	sum := checksum.Sum(h.our[:], checksum.Sum(h.peer[:], protocolTCP+uint64(len(p))))
	return checksum.Fold(checksum.Sum(p, sum))
}

// ip writes the headers of a datagram from the peer, and returns the n bytes
// behind them.
func (h *hosts) ip(b *packet.Buffer, protocol byte, n int, said *network) []byte {
	p := b.Extend(ethLen + ipLen + n)
	copy(p, h.ourMAC[:])
	copy(p[6:], h.peerMAC[:])
	binary.BigEndian.PutUint16(p[12:], typeIPv4)
	ip := p[ethLen:]
	copy(ip, []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0})
	ip[1] = byte(said.tos.value)&^3 | byte(said.ecn.value)
	if said.tos.is && !said.ecn.is {
		ip[1] = byte(said.tos.value)
	}
	binary.BigEndian.PutUint16(ip[2:], uint16(ipLen+n))
	if !said.df.is || said.df.value == 1 {
		ip[6] = 0x40
	}
	if said.ttl.is {
		ip[8] = byte(said.ttl.value)
	}
	copy(ip[12:], h.peer[:])
	copy(ip[16:], h.our[:])
	binary.BigEndian.PutUint16(ip[10:], ^checksum.Fold(checksum.Sum(ip[:ipLen], 0)))
	return ip[ipLen:]
}

// icmpFrame writes an ICMP error about a segment of ours, of which it quotes
// the first eight bytes as RFC 792 has it.
func (h *hosts) icmpFrame(e *icmpError, seq uint32, local, remote uint16) *packet.Buffer {
	const quoted = 8
	b := packet.Get(ethLen + 2*ipLen + 8 + quoted)
	p := h.ip(b, protocolICMP, 8+ipLen+quoted, &e.ip)
	clear(p)
	p[0], p[1] = e.typ, e.code
	binary.BigEndian.PutUint16(p[6:], e.mtu)
	q := p[8:]
	copy(q, []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 63, protocolTCP, 0, 0})
	binary.BigEndian.PutUint16(q[2:], uint16(ipLen+tcpLen+e.len))
	copy(q[12:], h.our[:])
	copy(q[16:], h.peer[:])
	binary.BigEndian.PutUint16(q[10:], ^checksum.Fold(checksum.Sum(q[:ipLen], 0)))
	binary.BigEndian.PutUint16(q[ipLen:], local)
	binary.BigEndian.PutUint16(q[ipLen+2:], remote)
	binary.BigEndian.PutUint32(q[ipLen+4:], seq)
	binary.BigEndian.PutUint16(p[2:], ^checksum.Fold(checksum.Sum(p, 0)))
	return b
}

// arpAnswer is what the peer answers to the ARP packet p, which speaks for all
// addresses but the stack's; nil when there is nothing to say.
func (h *hosts) arpAnswer(p []byte) *packet.Buffer {
	const arpLen, request, reply = 28, 1, 2
	if len(p) < arpLen || binary.BigEndian.Uint16(p[6:]) != request || [4]byte(p[24:]) == h.our {
		return nil
	}
	b := packet.Get(ethLen + arpLen)
	q := b.Extend(ethLen + arpLen)
	copy(q, p[8:14])
	copy(q[6:], h.peerMAC[:])
	binary.BigEndian.PutUint16(q[12:], typeARP)
	a := q[ethLen:]
	copy(a, p[:6])
	binary.BigEndian.PutUint16(a[6:], reply)
	copy(a[8:], h.peerMAC[:])
	copy(a[14:], p[24:28])
	copy(a[18:], p[8:18])
	return b
}

var (
	errNotTCP    = errors.New("it is no TCP segment")
	errMalformed = errors.New("its headers do not fit it")
	errSum       = errors.New("its checksum is wrong")
)

// parse reads a frame of the stack. Sums says whether its checksums should be
// complete.
func (h *hosts) parse(frame []byte, sums bool) *wire {
	w := &wire{}
	if len(frame) < ethLen+ipLen || binary.BigEndian.Uint16(frame[12:]) != typeIPv4 || frame[ethLen+9] != protocolTCP {
		w.err = errNotTCP
		return w
	}
	ip := frame[ethLen:]
	total := int(binary.BigEndian.Uint16(ip[2:]))
	if ip[0] != 0x45 || total > len(ip) || total < ipLen+tcpLen ||
		[4]byte(ip[12:]) != h.our || [4]byte(ip[16:]) != h.peer {
		w.err = errMalformed
		return w
	}
	p := ip[ipLen:total]
	offset := int(p[12]>>4) * 4
	if offset < tcpLen || offset > len(p) {
		w.err = errMalformed
		return w
	}
	if sums && (checksum.Fold(checksum.Sum(ip[:ipLen], 0)) != 0xffff || h.sum(p) != 0xffff) {
		w.err = errSum
	}
	w.ip.tos, w.ip.ecn = said{int(ip[1]), true}, said{int(ip[1] & 3), true}
	w.ip.ttl, w.ip.df = said{int(ip[8]), true}, said{int(ip[6] >> 6 & 1), true}
	w.ip.train = said{0, true}
	w.local, w.remote = binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:])
	w.seq, w.ack = binary.BigEndian.Uint32(p[4:]), binary.BigEndian.Uint32(p[8:])
	w.flags = flags(p[13])
	w.window = said{int(binary.BigEndian.Uint16(p[14:])), true}
	w.urgent = int(binary.BigEndian.Uint16(p[18:]))
	w.options = decodeOptions(append([]byte(nil), p[tcpLen:offset]...))
	w.text = append([]byte(nil), p[offset:]...)
	w.len = len(w.text)
	w.longest = len(p) - tcpLen
	return w
}

// tooLong says that a frame does not fit the MTU.
func tooLong(n, mtu int) error {
	return fmt.Errorf("its datagram of %d bytes does not fit the MTU of %d", n, mtu)
}
