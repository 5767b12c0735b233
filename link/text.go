package link

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
)

type text struct {
	w    io.Writer
	line []byte
}

// Text returns a sink that writes one line a frame to w, each in one Write, in
// the manner of tcpdump -S, with the time in UTC:
//
//	15:04:05.000000000 tap0 Out IP 10.0.0.2.49152 > 10.0.0.1.80: Flags [S], seq 1, win 65535, options [mss 1460], length 0
//	15:04:05.000020000 tap0 In  ARP, Request who-has 10.0.0.2 tell 10.0.0.1
func Text(w io.Writer) Sink { return &text{w: w} }

func (t *text) Record(r Record) error {
	line := r.Time.UTC().AppendFormat(t.line[:0], "15:04:05.000000000 ")
	line = append(line, r.Link...)
	if r.Sent {
		line = append(line, " Out "...)
	} else {
		line = append(line, " In  "...)
	}
	if r.IP {
		line = appendIPv4(line, r.Frame)
	} else {
		line = appendFrame(line, r.Frame)
	}
	if r.SegmentSize > 0 {
		line = fmt.Appendf(line, ", in segments of %d", r.SegmentSize)
	}
	t.line = append(line, '\n')
	_, err := t.w.Write(t.line)
	return err
}

func (t *text) Flush() error { return nil }

// appendFrame describes an Ethernet frame. In it, as in all below, what is cut
// short or makes no sense is named in brackets, as in [|tcp], and ends the
// description.
func appendFrame(line, frame []byte) []byte {
	if len(frame) < ethernetLen {
		return append(line, "[|ether]"...)
	}
	switch t := binary.BigEndian.Uint16(frame[12:]); t {
	case typeIPv4:
		return appendIPv4(line, frame[ethernetLen:])
	case typeARP:
		return appendARP(line, frame[ethernetLen:])
	default:
		return fmt.Appendf(line, "%v > %v, ethertype 0x%04x, length %d", mac(frame[6:]), mac(frame), t, len(frame))
	}
}

// appendARP describes a packet of RFC 826 for IPv4 over Ethernet.
func appendARP(line, p []byte) []byte {
	const length = 28
	if len(p) < length {
		return append(line, "[|arp]"...)
	}
	hardware, sender, target := mac(p[8:]), addr(p[14:]), addr(p[24:])
	switch op := binary.BigEndian.Uint16(p[6:]); op {
	case 1:
		return fmt.Appendf(line, "ARP, Request who-has %v tell %v", target, sender)
	case 2:
		return fmt.Appendf(line, "ARP, Reply %v is-at %v", sender, hardware)
	default:
		return fmt.Appendf(line, "ARP, op %d", op)
	}
}

// appendIPv4 describes a datagram (RFC 791).
func appendIPv4(line, p []byte) []byte {
	if len(p) < minIPLen || p[0]>>4 != 4 {
		return append(line, "[|ip]"...)
	}
	n, total := int(p[0]&0xf)*4, int(binary.BigEndian.Uint16(p[2:]))
	if n < minIPLen || n > len(p) || n > total {
		return append(line, "[|ip]"...)
	}
	protocol, src, dst := p[9], addr(p[12:]), addr(p[16:])
	payload, length := p[n:min(total, len(p))], total-n
	line = append(line, "IP "...)
	if offset := int(binary.BigEndian.Uint16(p[6:])&0x1fff) * 8; offset > 0 {
		line = fmt.Appendf(line, "%v > %v: proto %d, id %d, offset %d, length %d",
			src, dst, protocol, binary.BigEndian.Uint16(p[4:]), offset, length)
		return appendECN(line, p[1])
	}
	switch {
	case protocol == protocolTCP && len(payload) >= minTCPLen:
		line = appendFlow(line, src, dst, payload)
		line = appendTCP(line, payload, length)
	case protocol == protocolUDP && len(payload) >= 8:
		line = appendFlow(line, src, dst, payload)
		line = appendUDP(line, payload)
	case protocol == protocolICMP && len(payload) >= 8:
		line = fmt.Appendf(line, "%v > %v: ", src, dst)
		line = appendICMP(line, payload, length)
	default:
		line = fmt.Appendf(line, "%v > %v: proto %d, length %d", src, dst, protocol, length)
	}
	const moreFragments = 0x20
	if p[6]&moreFragments != 0 {
		line = fmt.Appendf(line, ", id %d, offset 0", binary.BigEndian.Uint16(p[4:]))
	}
	return appendECN(line, p[1])
}

// appendECN names the codepoint of RFC 3168 section 5 that is in a type of
// service, unless it is Not-ECT.
func appendECN(line []byte, tos byte) []byte {
	return append(line, [...]string{"", ", ECT(1)", ", ECT(0)", ", CE"}[tos&3]...)
}

// appendFlow writes "src.port > dst.port: "; the ports begin p.
func appendFlow(line []byte, src, dst netip.Addr, p []byte) []byte {
	line = append(src.AppendTo(line), '.')
	line = strconv.AppendUint(line, uint64(binary.BigEndian.Uint16(p)), 10)
	line = append(dst.AppendTo(append(line, " > "...)), '.')
	line = strconv.AppendUint(line, uint64(binary.BigEndian.Uint16(p[2:])), 10)
	return append(line, ": "...)
}

// appendUDP describes a datagram (RFC 768), of which p has at least the header.
func appendUDP(line, p []byte) []byte {
	n := int(binary.BigEndian.Uint16(p[4:]))
	if n < 8 {
		return append(line, "[|udp]"...)
	}
	return fmt.Appendf(line, "UDP, length %d", n-8)
}

// appendTCP describes a segment (RFC 9293 section 3.1) of length bytes, of
// which p has at least the fixed header. Sequence numbers are absolute.
func appendTCP(line, p []byte, length int) []byte {
	n := int(p[12]>>4) * 4
	if n < minTCPLen || n > length {
		return append(line, "[|tcp]"...)
	}
	flags, data := p[13], length-n
	line = append(line, "Flags ["...)
	for bit, letter := range []byte("FSRP.UEW") {
		if flags&(1<<bit) != 0 {
			line = append(line, letter)
		}
	}
	line = append(line, ']')
	const synOrFinOrRst, ack, urg = 0x07, 0x10, 0x20
	if seq := binary.BigEndian.Uint32(p[4:]); data > 0 {
		line = fmt.Appendf(line, ", seq %d:%d", seq, seq+uint32(data))
	} else if flags&synOrFinOrRst != 0 {
		line = fmt.Appendf(line, ", seq %d", seq)
	}
	if flags&ack != 0 {
		line = fmt.Appendf(line, ", ack %d", binary.BigEndian.Uint32(p[8:]))
	}
	line = fmt.Appendf(line, ", win %d", binary.BigEndian.Uint16(p[14:]))
	if flags&urg != 0 {
		line = fmt.Appendf(line, ", urg %d", binary.BigEndian.Uint16(p[18:]))
	}
	if options := p[minTCPLen:min(n, len(p))]; len(options) > 0 {
		line = append(appendTCPOptions(append(line, ", options ["...), options), ']')
	}
	return fmt.Appendf(line, ", length %d", data)
}

// appendTCPOptions lists the options of RFC 9293 section 3.2, RFC 7323 and
// RFC 2018.
func appendTCPOptions(line, p []byte) []byte {
	for first := true; len(p) > 0; first = false {
		if !first {
			line = append(line, ',')
		}
		kind := p[0]
		if kind == 0 {
			return append(line, "eol"...)
		}
		if kind == 1 {
			line = append(line, "nop"...)
			p = p[1:]
			continue
		}
		if len(p) < 2 || p[1] < 2 || int(p[1]) > len(p) {
			return append(line, "[|opt]"...)
		}
		line = appendTCPOption(line, kind, p[2:p[1]])
		p = p[p[1]:]
	}
	return line
}

// appendTCPOption describes one option with its value v.
func appendTCPOption(line []byte, kind byte, v []byte) []byte {
	switch {
	case kind == 2 && len(v) == 2:
		return fmt.Appendf(line, "mss %d", binary.BigEndian.Uint16(v))
	case kind == 3 && len(v) == 1:
		return fmt.Appendf(line, "wscale %d", v[0])
	case kind == 4 && len(v) == 0:
		return append(line, "sackOK"...)
	case kind == 5 && len(v) > 0 && len(v)%8 == 0:
		line = fmt.Appendf(line, "sack %d ", len(v)/8)
		for ; len(v) > 0; v = v[8:] {
			line = fmt.Appendf(line, "{%d:%d}", binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:]))
		}
		return line
	case kind == 8 && len(v) == 8:
		return fmt.Appendf(line, "TS val %d ecr %d", binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:]))
	default:
		return fmt.Appendf(line, "opt-%d:%x", kind, v)
	}
}

// appendICMP describes a message (RFC 792) of length bytes, of which p has at
// least the first 8. What an error quotes is described too.
func appendICMP(line, p []byte, length int) []byte {
	kind, code := p[0], p[1]
	const echoReply, unreachable, quench, redirect, echo, exceeded, parameter = 0, 3, 4, 5, 8, 11, 12
	high, low := binary.BigEndian.Uint16(p[4:]), binary.BigEndian.Uint16(p[6:])
	line = append(line, "ICMP "...)
	switch kind {
	case echo:
		return fmt.Appendf(line, "echo request, id %d, seq %d, length %d", high, low, length)
	case echoReply:
		return fmt.Appendf(line, "echo reply, id %d, seq %d, length %d", high, low, length)
	case unreachable:
		reasons := [...]string{"net", "host", "protocol", "port", "need to frag", "source route failed"}
		if int(code) < len(reasons) {
			line = fmt.Appendf(line, "unreachable - %s", reasons[code])
		} else {
			line = fmt.Appendf(line, "unreachable - code %d", code)
		}
		if code == 4 { // the next hop's MTU of RFC 1191
			line = fmt.Appendf(line, " (mtu %d)", low)
		}
	case exceeded:
		reasons := [...]string{"in-transit", "reassembly"}
		if int(code) >= len(reasons) {
			return fmt.Appendf(line, "time exceeded code %d, length %d", code, length)
		}
		line = fmt.Appendf(line, "time exceeded %s", reasons[code])
	case redirect:
		line = fmt.Appendf(line, "redirect to %v", addr(p[4:]))
	case parameter:
		line = fmt.Appendf(line, "parameter problem - octet %d", p[4])
	case quench:
		line = append(line, "source quench"...)
	default:
		return fmt.Appendf(line, "type %d code %d, length %d", kind, code, length)
	}
	return appendQuote(fmt.Appendf(line, ", length %d", length), p[8:])
}

// appendQuote names the flow of the datagram p that an ICMP error quotes, with
// at least 8 bytes behind its header (RFC 792).
func appendQuote(line, p []byte) []byte {
	if len(p) < minIPLen+8 || p[0]>>4 != 4 {
		return line
	}
	n := int(p[0]&0xf) * 4
	if n < minIPLen || n+4 > len(p) {
		return line
	}
	src, dst := addr(p[12:]), addr(p[16:])
	line = append(line, ", of IP "...)
	if protocol := p[9]; protocol == protocolTCP || protocol == protocolUDP {
		line = appendFlow(line, src, dst, p[n:])
		return fmt.Appendf(line, "proto %d", protocol)
	}
	return fmt.Appendf(line, "%v > %v: proto %d", src, dst, p[9])
}

func addr(p []byte) netip.Addr { return netip.AddrFrom4([4]byte(p)) }

func mac(p []byte) net.HardwareAddr { return p[:6] }
