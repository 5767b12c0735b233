package echopeer

import (
	"net"
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// TestServe opens a connection, sends data, data again out of order, and the
// end; gopacket makes the segments and reads the answers.
func TestServe(t *testing.T) {
	before := packet.Live()
	synctest.Test(t, func(t *testing.T) {
		in, out := make(chan *packet.Buffer), make(chan *packet.Buffer)
		quit, seen := make(chan struct{}), make(chan Seen, 1)
		card := link.Link{Rx: in, Tx: out, MAC: [6]byte{2, 0, 0, 0, 0, 2}}
		go func() { seen <- Serve(card, netip.MustParseAddr("10.0.0.2"), quit) }()

		const iss = 1<<32 - 2
		for _, step := range []struct {
			name       string
			send, want layers.TCP
			payload    string
			echoed     string
		}{
			{"SYN", layers.TCP{SYN: true, Seq: iss}, layers.TCP{SYN: true, ACK: true, Seq: 1<<32 - 1000, Ack: iss + 1}, "", ""},
			{"data", layers.TCP{ACK: true, Seq: iss + 1}, layers.TCP{ACK: true, PSH: true, Seq: 1<<32 - 999, Ack: 2}, "abc", "abc"},
			{"gap", layers.TCP{ACK: true, Seq: 9}, layers.TCP{ACK: true, Seq: 1<<32 - 996, Ack: 2}, "xyz", ""},
			{"FIN", layers.TCP{ACK: true, FIN: true, Seq: 2}, layers.TCP{ACK: true, PSH: true, FIN: true, Seq: 1<<32 - 996, Ack: 3}, "", ""},
		} {
			in <- segment(t, step.send, step.payload)
			b := <-out
			b.CompleteChecksum()
			got := gopacket.NewPacket(b.Bytes(), layers.LayerTypeEthernet, gopacket.Default)
			tcp, _ := got.Layer(layers.LayerTypeTCP).(*layers.TCP)
			if tcp == nil {
				t.Fatalf("%s: %v", step.name, got)
			}
			w := step.want
			if tcp.SYN != w.SYN || tcp.ACK != w.ACK || tcp.FIN != w.FIN || tcp.PSH != w.PSH || tcp.Seq != w.Seq || tcp.Ack != w.Ack || string(tcp.Payload) != step.echoed {
				t.Errorf("%s: %v", step.name, got)
			}
			b.Release()
		}
		wrong := segment(t, layers.TCP{ACK: true, Seq: 3}, "")
		wrong.Bytes()[50] ^= 1
		in <- wrong
		close(in)
		close(quit)
		if _, open := <-out; open {
			t.Error("a frame after the end")
		}
		if got, want := <-seen, (Seen{Segments: 5, Longest: 57, BadChecksum: 1}); got != want {
			t.Errorf("seen %+v, want %+v", got, want)
		}
	})
	if leaked := packet.Live() - before; leaked != 0 {
		t.Errorf("%d buffers leaked", leaked)
	}
}

func segment(t *testing.T, tcp layers.TCP, payload string) *packet.Buffer {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2}}
	tcp.SrcPort, tcp.DstPort = 1000, 7
	tcp.SetNetworkLayerForChecksum(ip)
	out := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(out, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4},
		ip, &tcp, gopacket.Payload(payload))
	if err != nil {
		t.Fatal(err)
	}
	return packet.From(out.Bytes())
}
