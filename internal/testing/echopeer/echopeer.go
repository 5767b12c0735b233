// Package echopeer is a host that fits in one function, for tests of links
// and of what is around them: it answers ARP and echoes TCP. It shares nothing
// with the stack, so that it can tell the faults of the two apart. It sends
// nothing twice, so it needs a link that loses nothing.
package echopeer

import (
	"encoding/binary"
	"net/netip"

	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// Seen is what the peer has seen of TCP.
type Seen struct {
	Segments    int // a train is one
	Trains      int
	Longest     int // frame, in bytes
	Partial     int // checksums that were left to be done
	BadChecksum int
}

const (
	ethLen, ipLen, tcpLen = 14, 20, 20
	headers               = ethLen + ipLen + tcpLen

	fin, syn, rst, psh, ack = 1, 2, 4, 8, 16
)

// flow is one connection: sequence numbers as in RFC 9293 section 3.3.1.
type flow struct{ rcvNxt, sndNxt uint32 }

type peer struct {
	card  link.Link
	addr  [4]byte
	flows map[netip.AddrPort]*flow
	seen  Seen
}

// Serve is the host with the address addr at the end of card, where it echoes
// on all TCP ports. When quit is closed it closes the card and returns.
func Serve(card link.Link, addr netip.Addr, quit <-chan struct{}) Seen {
	p := &peer{card: card, addr: addr.As4(), flows: map[netip.AddrPort]*flow{}}
	for {
		select {
		case b, ok := <-card.Rx:
			if !ok {
				<-quit
				close(card.Tx)
				return p.seen
			}
			p.receive(b)
		case <-quit:
			close(card.Tx)
			for b := range card.Rx {
				b.Release()
			}
			return p.seen
		}
	}
}

// receive answers one frame, whose buffer becomes the answer.
func (p *peer) receive(b *packet.Buffer) {
	f := b.Bytes()
	switch {
	case len(f) >= ethLen+28 && binary.BigEndian.Uint16(f[12:]) == 0x0806 && [4]byte(f[38:]) == p.addr && f[21] == 1:
		p.answerARP(b)
	case len(f) >= headers && binary.BigEndian.Uint16(f[12:]) == 0x0800 && f[14] == 0x45 && [4]byte(f[30:]) == p.addr && f[23] == 6:
		p.answerTCP(b)
	default:
		b.Release()
	}
}

// answerARP turns a request into a reply (RFC 826).
func (p *peer) answerARP(b *packet.Buffer) {
	f := b.Bytes()
	copy(f[0:], f[6:12])
	copy(f[6:], p.card.MAC[:])
	f[21] = 2
	copy(f[32:], f[22:32])
	copy(f[22:], p.card.MAC[:])
	copy(f[28:], p.addr[:])
	p.card.Tx <- b
}

func (p *peer) answerTCP(b *packet.Buffer) {
	b.Trim(ethLen + int(binary.BigEndian.Uint16(b.Bytes()[16:])))
	p.look(b)
	f := b.Bytes()
	tcp := f[ethLen+ipLen:]
	seq, flags := binary.BigEndian.Uint32(tcp[4:]), tcp[13]
	from := netip.AddrPortFrom(netip.AddrFrom4([4]byte(f[26:])), binary.BigEndian.Uint16(tcp))
	port := binary.BigEndian.Uint16(tcp[2:])
	mac := [6]byte(f[6:])
	b.Pull(ethLen + ipLen + int(tcp[12]>>4)*4)

	c := p.flows[from]
	switch {
	case flags&rst != 0 || c == nil && flags&syn == 0:
		delete(p.flows, from)
		b.Release()
	case flags&syn != 0:
		p.flows[from] = &flow{rcvNxt: seq + 1, sndNxt: 1<<32 - 1000} // near the wrap, as all tests
		p.send(b, mac, port, from, syn|ack)
	case seq != c.rcvNxt:
		b.Trim(0)
		p.send(b, mac, port, from, ack)
	case b.Len() > 0 || flags&fin != 0:
		c.rcvNxt += uint32(b.Len()) + uint32(flags&fin)
		p.send(b, mac, port, from, ack|psh|flags&fin)
	default: // a mere acknowledgement
		b.Release()
	}
}

// look notes what a received segment is like.
func (p *peer) look(b *packet.Buffer) {
	f := b.Bytes()
	p.seen.Segments++
	p.seen.Longest = max(p.seen.Longest, len(f))
	if b.SegmentSize > 0 {
		p.seen.Trains++
	}
	src, dst := netip.AddrFrom4([4]byte(f[26:])), netip.AddrFrom4([4]byte(f[30:]))
	segment := f[ethLen+ipLen:]
	pseudo := ip.PseudoSum(src, dst, 6, len(segment))
	ok := checksum.Fold(checksum.Sum(segment, pseudo)) == 0xffff
	if b.Checksum == packet.ChecksumPartial {
		p.seen.Partial++
		start, offset := b.Partial()
		ok = start == ethLen+ipLen && offset == 16 && binary.BigEndian.Uint16(segment[16:]) == checksum.Fold(pseudo)
	}
	if !ok {
		p.seen.BadChecksum++
	}
}

// send puts headers before the payload in b, and sends it. A train stays one.
func (p *peer) send(b *packet.Buffer, mac [6]byte, port uint16, to netip.AddrPort, flags uint8) {
	c := p.flows[to]
	e := binary.BigEndian
	options := 0
	if flags&syn != 0 {
		b.Trim(0)
		copy(b.Push(8), []byte{2, 4, 1460 >> 8, 1460 & 0xff, 1, 3, 3, 7}) // MSS; window scale
		options = 8
	}
	h := b.Push(tcpLen)
	clear(h)
	e.PutUint16(h[0:], port)
	e.PutUint16(h[2:], to.Port())
	e.PutUint32(h[4:], c.sndNxt)
	e.PutUint32(h[8:], c.rcvNxt)
	h[12], h[13] = uint8(tcpLen+options)/4<<4, flags
	e.PutUint16(h[14:], 0xffff)
	c.sndNxt += uint32(b.Len()-tcpLen-options) + uint32(flags&fin) + uint32(flags&syn)/syn
	if b.Len() <= tcpLen+b.SegmentSize {
		b.SegmentSize = 0
	}
	e.PutUint16(h[16:], checksum.Fold(ip.PseudoSum(netip.AddrFrom4(p.addr), to.Addr(), 6, b.Len())))
	b.SetPartial(0, 16)

	h = b.Push(ipLen)
	clear(h)
	h[0], h[6], h[8], h[9] = 0x45, 0x40, 64, 6
	e.PutUint16(h[2:], uint16(b.Len()))
	dst := to.Addr().As4()
	copy(h[12:], p.addr[:])
	copy(h[16:], dst[:])
	e.PutUint16(h[10:], checksum.Of(h))

	h = b.Push(ethLen)
	copy(h[0:], mac[:])
	copy(h[6:], p.card.MAC[:])
	e.PutUint16(h[12:], 0x0800)
	p.card.Tx <- b
}
