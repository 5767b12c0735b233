package link

import (
	"encoding/binary"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/seed-012105e5/gonet/packet"
)

var (
	macA = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x0a}
	macB = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x0b}
	ipA  = net.IP{10, 0, 0, 1}
	ipB  = net.IP{10, 0, 0, 2}
)

// serialize has gopacket build a frame, lengths and checksums included.
func serialize(t testing.TB, parts ...gopacket.SerializableLayer) []byte {
	t.Helper()
	var network gopacket.NetworkLayer
	for _, p := range parts {
		switch l := p.(type) {
		case *layers.IPv4:
			network = l
		case *layers.TCP:
			l.SetNetworkLayerForChecksum(network)
		case *layers.UDP:
			l.SetNetworkLayerForChecksum(network)
		}
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, parts...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func etherTo(t layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: macA, DstMAC: macB, EthernetType: t}
}

func ipOf(p layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Id: 0xfffe, Protocol: p, SrcIP: ipA, DstIP: ipB, Flags: layers.IPv4DontFragment}
}

// timestamps is the options of an established connection.
var timestamps = []layers.TCPOption{
	{OptionType: layers.TCPOptionKindNop},
	{OptionType: layers.TCPOptionKindNop},
	{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: []byte{0, 0, 0, 7, 0, 0, 0, 8}},
}

func data(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i * 7)
	}
	return p
}

// tcpFrame is a complete segment with n bytes of payload and sequence number
// seq, which also ties its payload to it.
func tcpFrame(t testing.TB, seq uint32, n int) []byte {
	return serialize(t, etherTo(layers.EthernetTypeIPv4), ipOf(layers.IPProtocolTCP), &layers.TCP{
		SrcPort: 1000, DstPort: 80, Seq: seq, Ack: 77, ACK: true, PSH: true, FIN: true, CWR: true, ECE: true,
		Window: 500, Options: timestamps,
	}, gopacket.Payload(data(n)))
}

// train is a train of n bytes of payload in segments of size, with the partial
// checksum that such a frame has. It begins just before the sequence numbers
// wrap.
func train(t testing.TB, n, size int) *packet.Buffer {
	b := packet.From(tcpFrame(t, 0xffffff00, n))
	b.SegmentSize = size
	makePartial(b)
	return b
}

// makePartial replaces the checksum of a TCP frame without IP options.
func makePartial(b *packet.Buffer) {
	f := b.Bytes()
	sum := uint32(protocolTCP) + uint32(len(f)-34)
	for i := 26; i < 34; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(f[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(f[50:], uint16(sum>>16+sum))
	b.SetPartial(34, 16)
}

// valid decodes a frame with gopacket and checks its lengths and checksums.
func valid(t testing.TB, frame []byte) (*layers.IPv4, *layers.TCP) {
	t.Helper()
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	if e := p.ErrorLayer(); e != nil {
		t.Fatalf("gopacket: %v", e.Error())
	}
	ip, _ := p.NetworkLayer().(*layers.IPv4)
	tcp, _ := p.TransportLayer().(*layers.TCP)
	if ip == nil || tcp == nil {
		t.Fatalf("no TCP over IPv4 in %v", p)
	}
	if int(ip.Length) != len(frame)-ethernetLen {
		t.Fatalf("total length %d in a frame of %d bytes", ip.Length, len(frame))
	}
	if !sumsToZero(frame) {
		t.Fatal("a checksum is wrong")
	}
	return ip, tcp
}

// sumsToZero verifies the checksums of IPv4, and of TCP or UDP, word by word.
func sumsToZero(frame []byte) bool {
	add := func(sum uint32, p []byte) uint32 {
		for i, c := range p {
			sum += uint32(c) << (8 * (1 - i%2))
			sum = sum>>16 + sum&0xffff
		}
		return sum
	}
	ip := frame[ethernetLen:]
	n := int(ip[0]&0xf) * 4
	if n > len(ip) || add(0, ip[:n]) != 0xffff {
		return false
	}
	total := min(int(binary.BigEndian.Uint16(ip[2:])), len(ip))
	length := total - n
	pseudo := []byte{0, ip[9], byte(length >> 8), byte(length)}
	return add(add(add(0, ip[12:20]), pseudo), ip[n:total]) == 0xffff
}

// bubble runs f in a bubble of its own, and shows that no Buffer leaks.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	before := packet.Live()
	synctest.Test(t, f)
	if n := packet.Live() - before; n != 0 {
		t.Errorf("%d buffers have not been released", n)
	}
}

// got is a frame that collect has seen.
type got struct {
	frame    []byte
	at       time.Duration // when it was taken, since collect began
	arrived  time.Time
	checksum packet.ChecksumState
	size     int
}

// collect takes all frames of rx until it is closed, and releases them.
func collect(rx <-chan *packet.Buffer) (all []got) {
	start := time.Now()
	for b := range rx {
		all = append(all, got{append([]byte(nil), b.Bytes()...), time.Since(start), b.Arrived, b.Checksum, b.SegmentSize})
		b.Release()
	}
	return all
}

// drain is collect for those who do not look.
func drain(rx <-chan *packet.Buffer) (n int) {
	for b := range rx {
		b.Release()
		n++
	}
	return n
}
