package link

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// textCases are frames that gopacket has built, and their text.
func textCases(t testing.TB) map[string][]byte {
	syn := []layers.TCPOption{
		{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{0x05, 0xb4}},
		{OptionType: layers.TCPOptionKindSACKPermitted, OptionLength: 2},
		{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: []byte{0, 0, 0, 1, 0, 0, 0, 0}},
		{OptionType: layers.TCPOptionKindNop},
		{OptionType: layers.TCPOptionKindWindowScale, OptionLength: 3, OptionData: []byte{7}},
	}
	odd := []layers.TCPOption{
		{OptionType: 253, OptionLength: 4, OptionData: []byte{0xab, 0xcd}},
		{OptionType: layers.TCPOptionKindMSS, OptionLength: 3, OptionData: []byte{9}},
		{OptionType: layers.TCPOptionKindEndList},
	}
	sack := []layers.TCPOption{
		{OptionType: layers.TCPOptionKindNop}, {OptionType: layers.TCPOptionKindNop},
		{OptionType: layers.TCPOptionKindSACK, OptionLength: 18, OptionData: []byte{0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 9}},
	}
	tcp := func(h layers.TCP, n int) []byte {
		h.SrcPort, h.DstPort = 1000, 80
		return serialize(t, etherTo(layers.EthernetTypeIPv4), ipOf(layers.IPProtocolTCP), &h, gopacket.Payload(data(n)))
	}
	icmp := func(kind, code uint8, id, seq uint16, payload []byte) []byte {
		return serialize(t, etherTo(layers.EthernetTypeIPv4), ipOf(layers.IPProtocolICMPv4),
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(kind, code), Id: id, Seq: seq}, gopacket.Payload(payload))
	}
	arp := func(op uint16) []byte {
		return serialize(t, etherTo(layers.EthernetTypeARP), &layers.ARP{AddrType: 1, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6,
			ProtAddressSize: 4, Operation: op, SourceHwAddress: macA, SourceProtAddress: ipA, DstHwAddress: make(net.HardwareAddr, 6), DstProtAddress: ipB})
	}
	udp := serialize(t, etherTo(layers.EthernetTypeIPv4), ipOf(layers.IPProtocolUDP), &layers.UDP{SrcPort: 53, DstPort: 99}, gopacket.Payload(data(40)))
	fragment := func(flags layers.IPv4Flag, offset uint16) []byte {
		ip := ipOf(layers.IPProtocolUDP)
		ip.Flags, ip.FragOffset = flags, offset
		return serialize(t, etherTo(layers.EthernetTypeIPv4), ip, gopacket.Payload(udp[34:]))
	}
	badUDP := bytes.Clone(udp)
	badUDP[38], badUDP[39] = 0, 7
	short := tcp(layers.TCP{}, 20)
	short[46] = 0x40
	beyond := tcp(layers.TCP{}, 0)
	beyond[46], beyond[35] = 0xf0, 0xe9
	badOption := tcp(layers.TCP{ACK: true, Options: timestamps}, 0)
	badOption[57] = 11
	marked := func(ecn byte, frame []byte) []byte {
		frame[15] |= ecn
		return frame
	}
	quote := tcp(layers.TCP{}, 20)[14:]

	const flow = "IP 10.0.0.1.1000 > 10.0.0.2.80: "
	const from = "IP 10.0.0.1 > 10.0.0.2: "
	return map[string][]byte{
		flow + "Flags [S], seq 4294967295, win 65535, options [mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7], length 0": tcp(layers.TCP{SYN: true, Seq: 0xffffffff, Window: 65535, Options: syn}, 0),
		flow + "Flags [S.], seq 5, ack 6, win 1, length 0":                                                             tcp(layers.TCP{SYN: true, ACK: true, Seq: 5, Ack: 6, Window: 1}, 0),
		flow + "Flags [P.], seq 4294967295:99, ack 6, win 1, length 100":                                               tcp(layers.TCP{PSH: true, ACK: true, Seq: 0xffffffff, Ack: 6, Window: 1}, 100),
		flow + "Flags [.], ack 6, win 1, options [nop,nop,sack 2 {1:2}{5:9}], length 0":                                tcp(layers.TCP{ACK: true, Ack: 6, Window: 1, Options: sack}, 0),
		flow + "Flags [.], ack 6, win 1, options [opt-253:abcd,opt-2:09,eol], length 0":                                tcp(layers.TCP{ACK: true, Ack: 6, Window: 1, Options: odd}, 0),
		flow + "Flags [FR.UEW], seq 5, ack 6, win 1, urg 3, length 0":                                                  tcp(layers.TCP{FIN: true, RST: true, ACK: true, URG: true, ECE: true, CWR: true, Seq: 5, Ack: 6, Window: 1, Urgent: 3}, 0),
		flow + "Flags [.], ack 0, win 0, options [nop,nop,[|opt]], length 0":                                           badOption,
		flow + "[|tcp]":                                                           short,
		"IP 10.0.0.1.1001 > 10.0.0.2.80: [|tcp]":                                  beyond,
		from + "proto 6, length 40":                                               tcp(layers.TCP{}, 20)[:14+20+19],
		"IP 10.0.0.1.53 > 10.0.0.2.99: UDP, length 40":                            udp,
		"IP 10.0.0.1.53 > 10.0.0.2.99: UDP, length 40, id 65534, offset 0":        fragment(layers.IPv4MoreFragments, 0),
		from + "proto 17, id 65534, offset 800, length 48":                        fragment(0, 100),
		"IP 10.0.0.1.53 > 10.0.0.2.99: [|udp]":                                    badUDP,
		flow + "Flags [S.E], seq 5, ack 6, win 1, length 0, ECT(1)":               marked(1, tcp(layers.TCP{SYN: true, ACK: true, ECE: true, Seq: 5, Ack: 6, Window: 1}, 0)),
		flow + "Flags [.W], seq 5:15, ack 6, win 1, length 10, ECT(0)":            marked(2, tcp(layers.TCP{CWR: true, ACK: true, Seq: 5, Ack: 6, Window: 1}, 10)),
		from + "proto 17, id 65534, offset 800, length 48, CE":                    marked(3, fragment(0, 100)),
		from + "ICMP echo request, id 7, seq 9, length 18":                        icmp(8, 0, 7, 9, data(10)),
		from + "ICMP echo reply, id 7, seq 9, length 18":                          icmp(0, 0, 7, 9, data(10)),
		from + "ICMP unreachable - port, length 48, of " + flow + "proto 6":       icmp(3, 3, 0, 0, quote[:40]),
		from + "ICMP unreachable - need to frag (mtu 1400), length 8":             icmp(3, 4, 0, 1400, nil),
		from + "ICMP unreachable - code 13, length 8":                             icmp(3, 13, 0, 0, nil),
		from + "ICMP time exceeded in-transit, length 36, of " + flow + "proto 6": icmp(11, 0, 0, 0, quote[:28]),
		from + "ICMP time exceeded code 2, length 8":                              icmp(11, 2, 0, 0, nil),
		from + "ICMP redirect to 1.2.3.4, length 8":                               icmp(5, 1, 0x0102, 0x0304, nil),
		from + "ICMP parameter problem - octet 20, length 8":                      icmp(12, 0, 20<<8, 0, nil),
		from + "ICMP source quench, length 8":                                     icmp(4, 0, 0, 0, nil),
		from + "ICMP type 13 code 0, length 8":                                    icmp(13, 0, 0, 0, nil),
		"ARP, Request who-has 10.0.0.2 tell 10.0.0.1":                             arp(1),
		"ARP, Reply 10.0.0.1 is-at 02:00:00:00:00:0a":                             arp(2),
		"ARP, op 9": arp(9),
		"[|arp]":    arp(1)[:41],
		"[|ip]":     udp[:33],
		"[|ether]":  udp[:13],
		"02:00:00:00:00:0a > 02:00:00:00:00:0b, ethertype 0x86dd, length 14": append(bytes.Clone(udp[:12]), 0x86, 0xdd),
	}
}

func TestText(t *testing.T) {
	for want, frame := range textCases(t) {
		if got := string(appendFrame(nil, frame)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestTextLine(t *testing.T) {
	var out strings.Builder
	s := Text(&out)
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600))
	for _, r := range []Record{
		{Link: "tap0", Sent: true, Time: at, Frame: tcpFrame(t, 1, 3), SegmentSize: 2},
		{Link: "tap0", Time: at, Frame: nil},
	} {
		if err := s.Record(r); err != nil {
			t.Error(err)
		}
	}
	const want = `02:04:05.000000006 tap0 Out IP 10.0.0.1.1000 > 10.0.0.2.80: Flags [FP.EW], seq 1:4, ack 77, win 500, options [nop,nop,TS val 7 ecr 8], length 3, in segments of 2
02:04:05.000000006 tap0 In  [|ether]
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
}

func FuzzText(f *testing.F) {
	for _, frame := range textCases(f) {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		line := appendFrame(nil, frame)
		if len(line) == 0 {
			t.Error("no text")
		}
		for _, c := range line {
			if c < ' ' || c > '~' {
				t.Fatalf("%q is not one line of text", line)
			}
		}
	})
}

func BenchmarkText(b *testing.B) {
	s := Text(new(nowhere))
	r := Record{Link: "tap0", Time: time.Unix(1, 0), Frame: tcpFrame(b, 1, 1000)}
	b.ReportAllocs()
	for b.Loop() {
		s.Record(r)
	}
}

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
