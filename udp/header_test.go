package udp

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// RFC1122-4.1.3.4-1, RFC1122-4.1.3.4-3: a checksum is computed, and gopacket agrees with it.
func TestPush(t *testing.T) {
	noLeak(t)
	for _, size := range []int{0, 1, 2, 1472, MaxSize} {
		b := packet.From(bytes.Repeat([]byte{0xff, 1, 2}, size)[:size])
		Push(b, addr("10.0.0.2:1000"), addr("10.0.0.9:53"))
		ipv4.Push(b, ipv4.Fields{Protocol: ip.ProtocolUDP, Src: self, Dst: peer})
		if b.Checksum != packet.ChecksumPartial {
			t.Errorf("checksum state %v", b.Checksum)
		}
		b.CompleteChecksum()
		p := gopacket.NewPacket(bytes.Clone(b.Bytes()), layers.LayerTypeIPv4, gopacket.NoCopy)
		ip, _ := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		udp, _ := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
		if udp == nil {
			t.Fatalf("%d bytes: %v", size, p)
		}
		if udp.SrcPort != 1000 || udp.DstPort != 53 || int(udp.Length) != size+HeaderLen || len(udp.Payload) != size {
			t.Errorf("%d bytes: %+v", size, udp)
		}
		got := udp.Checksum
		udp.SetNetworkLayerForChecksum(ip)
		again := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(again, gopacket.SerializeOptions{ComputeChecksums: true}, udp, gopacket.Payload(udp.Payload)); err != nil {
			t.Fatal(err)
		}
		if want := binary.BigEndian.Uint16(again.Bytes()[checksumOffset:]); got != want {
			t.Errorf("%d bytes: checksum %#04x, want %#04x", size, got, want)
		}
		b.Release()
	}
}

// A sum that comes out as zero is sent as all ones (RFC 768), which the
// receiver takes for a checksum and not for none.
func TestPushZeroChecksum(t *testing.T) {
	noLeak(t)
	b := outgoing("10.0.0.2:1000", "10.0.0.9:53", "\x00\x00")
	b.CompleteChecksum()
	sum := binary.BigEndian.Uint16(b.Bytes()[ipv4.MinHeaderLen+checksumOffset:])
	b.Release()
	b = outgoing("10.0.0.2:1000", "10.0.0.9:53", string([]byte{byte(sum >> 8), byte(sum)}))
	b.CompleteChecksum()
	deliver(t, b)
	defer b.Release()
	if h, err := Parse(b); err != nil || h.Checksum() != 0xffff {
		t.Errorf("%v, checksum %#04x", err, h.Checksum())
	}
}

// RFC1122-4.1.3.4-1: bad datagrams are told from good ones; those without a
// checksum are good.
func TestParse(t *testing.T) {
	noLeak(t)
	for _, test := range []struct {
		name   string
		mutate func(*packet.Buffer)
		want   error
		data   string
	}{
		{"good", func(*packet.Buffer) {}, nil, "hello"},
		{"data changed", func(b *packet.Buffer) { b.Bytes()[9] ^= 1 }, ErrChecksum, ""},
		{"source port changed", func(b *packet.Buffer) { b.Bytes()[0] ^= 1 }, ErrChecksum, ""},
		{"source address changed", func(b *packet.Buffer) { b.Network()[12] ^= 1 }, ErrChecksum, ""},
		{"destination address changed", func(b *packet.Buffer) { b.Network()[19] ^= 1 }, ErrChecksum, ""},
		{"no checksum", func(b *packet.Buffer) { b.Bytes()[6], b.Bytes()[7], b.Bytes()[8] = 0, 0, 'H' }, nil, "Hello"},
		{"the device has verified it", func(b *packet.Buffer) { b.Bytes()[8] = 'H'; b.Checksum = packet.ChecksumVerified }, nil, "Hello"},
		{"it never crossed a wire", func(b *packet.Buffer) { b.Bytes()[8] = 'H'; b.SetPartial(0, checksumOffset) }, nil, "Hello"},
		{"padding", func(b *packet.Buffer) { b.Append([]byte("padding")) }, nil, "hello"},
		{"seven bytes", func(b *packet.Buffer) { b.Trim(7) }, ErrLength, ""},
		{"nothing", func(b *packet.Buffer) { b.Trim(0) }, ErrLength, ""},
		{"cut off", func(b *packet.Buffer) { b.Trim(12) }, ErrLength, ""},
		{"length 7", func(b *packet.Buffer) { b.Bytes()[5] = 7 }, ErrLength, ""},
		{"length 0", func(b *packet.Buffer) { b.Bytes()[5] = 0 }, ErrLength, ""},
		{"length beyond the end", func(b *packet.Buffer) { b.Bytes()[5]++ }, ErrLength, ""},
	} {
		b := received(t, "10.0.0.9:53", "10.0.0.2:1000", "hello")
		test.mutate(b)
		h, err := Parse(b)
		if err != test.want {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if err == nil {
			if string(h.Data()) != test.data || h.SrcPort() != 53 || h.DstPort() != 1000 || b.Len() != HeaderLen+len(test.data) {
				t.Errorf("%s: %v, %q", test.name, h, h.Data())
			}
			if want := "UDP 53 > 1000, length 5"; h.String() != want {
				t.Errorf("%q, want %q", h, want)
			}
		}
		b.Release()
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{0, 53, 4, 0, 0, 13, 0, 0, 'h', 'e', 'l', 'l', 'o'})
	f.Add([]byte{0, 53, 4, 0, 0, 8, 0x12, 0x34})
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > MaxSize+HeaderLen {
			return
		}
		b := packet.From(p)
		defer b.Release()
		ipv4.Push(b, ipv4.Fields{Protocol: ip.ProtocolUDP, Src: peer, Dst: self})
		b.Pull(ipv4.MinHeaderLen)
		h, err := Parse(b)
		if err != nil {
			return
		}
		_ = h.String()
		if len(h) != b.Len() || len(h.Data()) != h.Len()-HeaderLen || h.Len() > len(p) {
			t.Errorf("%d bytes parsed as %d in %d", len(p), h.Len(), b.Len())
		}
	})
}
