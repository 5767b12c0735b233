package tap

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/internal/testing/echopeer"
	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

var peerAddr = netip.MustParseAddr("10.0.0.2")

// echo is a kernel's connection to an echopeer at the other end of a tap.
// Calling end returns what the peer has seen.
func echo(t testing.TB, ns *netns.NS, card link.Link) (c net.Conn, end func() echopeer.Seen) {
	t.Helper()
	quit, seen := make(chan struct{}), make(chan echopeer.Seen, 1)
	go func() { seen <- echopeer.Serve(card, peerAddr, quit) }()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := ns.Dial(ctx, "tcp", "10.0.0.2:7")
	if err != nil {
		close(quit)
		<-seen
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return c, func() echopeer.Seen {
		c.Close()
		close(quit)
		return <-seen
	}
}

// TestEcho sends 4 MB from the kernel through the tap and back.
func TestEcho(t *testing.T) {
	eachKind(t, func(t *testing.T, cfg Config) {
		ns := private(t)
		if err := ns.Sysctl("net.ipv4.tcp_congestion_control", "reno"); err != nil {
			t.Fatal(err)
		}
		cfg.HostAddr = hostAddr
		card := mustOpen(t, ns, cfg)
		c, end := echo(t, ns, card)
		sent, received := make([]byte, 60000), make([]byte, 60000)
		for round := range 70 {
			for i := range sent {
				sent[i] = byte(i*7 + i>>8 + round)
			}
			if _, err := c.Write(sent); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, received); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(sent, received) {
				t.Fatalf("round %d: what came back is not what was sent", round)
			}
		}
		seen := end()
		if seen.BadChecksum != 0 {
			t.Errorf("%d bad checksums", seen.BadChecksum)
		}
		joined := card.Stats.Joined.Load() // what the device has not done, the reader has
		if cfg.DisableOffload && (seen.Trains < 70 || seen.Partial != seen.Trains || seen.Longest < 10000 || joined < 1000) {
			t.Errorf("a plain tap gave %+v, with %d joined", seen, joined)
		}
		if !cfg.DisableOffload && (seen.Trains < 70 || seen.Partial != seen.Segments || seen.Longest < 30000) {
			t.Errorf("a tap with offload gave %+v", seen)
		}
		s := card.Stats
		if n := s.DropTxError.Load() + s.DropTxFull.Load() + s.DropMalformed.Load() + s.DropTooLong.Load(); n != 0 {
			t.Errorf("%d frames dropped", n)
		}
	})
}

// TestUDP sends a datagram with a partial checksum to a socket of the kernel,
// and gets an answer; then one with a wrong checksum, which must not arrive.
func TestUDP(t *testing.T) {
	eachKind(t, func(t *testing.T, cfg Config) {
		ns := private(t)
		cfg.HostAddr, cfg.HostMAC, cfg.MAC = hostAddr, [6]byte{2, 0, 0, 0, 0, 1}, [6]byte{2, 0, 0, 0, 0, 2}
		card := mustOpen(t, ns, cfg)
		defer finish(card)
		socket, err := ns.ListenPacket("udp", "10.0.0.1:5000")
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		socket.SetDeadline(time.Now().Add(5 * time.Second))

		wrong := udp(t, cfg, "wrong")
		wrong.Bytes()[40] ^= 1
		wrong.Checksum = packet.ChecksumComplete
		card.Tx <- wrong
		card.Tx <- udp(t, cfg, "right")
		p := make([]byte, 100)
		n, from, err := socket.ReadFrom(p)
		if err != nil || string(p[:n]) != "right" {
			t.Fatalf("%q from %v, %v", p[:n], from, err)
		}

		if _, err := socket.WriteTo([]byte("answer"), from); err != nil {
			t.Fatal(err)
		}
		timeout := time.After(5 * time.Second)
		for {
			select {
			case b := <-card.Rx:
				switch f := b.Bytes(); {
				case f[12] == 8 && f[13] == 6: // who has 10.0.0.2?
					answerARP(cfg, b)
					card.Tx <- b
				case f[12] == 8 && f[13] == 0 && f[23] == 17:
					partial := b.Checksum == packet.ChecksumPartial
					if partial == cfg.DisableOffload {
						t.Errorf("the checksum of the answer is partial: %v", partial)
					}
					b.CompleteChecksum()
					checkAnswer(t, b)
					b.Release()
					return
				default:
					b.Release()
				}
			case <-timeout:
				t.Fatal("no answer")
			}
		}
	})
}

// udp is a datagram from port 6000 of our end to port 5000 of the host's,
// with a partial checksum, made by gopacket but for that.
func udp(t *testing.T, cfg Config, payload string) *packet.Buffer {
	t.Helper()
	out := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(out, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: cfg.MAC[:], DstMAC: cfg.HostMAC[:], EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: peerAddr.AsSlice(), DstIP: hostAddr.Addr().AsSlice()},
		gopacket.Payload(append([]byte{6000 >> 8, 6000 & 0xff, 5000 >> 8, 5000 & 0xff, 0, byte(8 + len(payload)), 0, 0}, payload...)))
	if err != nil {
		t.Fatal(err)
	}
	b := packet.From(out.Bytes())
	sum := checksum.Fold(ip.PseudoSum(peerAddr, hostAddr.Addr(), 17, 8+len(payload)))
	b.Bytes()[40], b.Bytes()[41] = byte(sum>>8), byte(sum)
	b.SetPartial(34, 6)
	return b
}

// answerARP turns a request into a reply (RFC 826).
func answerARP(cfg Config, b *packet.Buffer) {
	f := b.Bytes()
	copy(f[0:], f[6:12])
	copy(f[6:], cfg.MAC[:])
	f[21] = 2
	copy(f[32:], f[22:32])
	copy(f[22:], cfg.MAC[:])
	copy(f[28:], peerAddr.AsSlice())
}

// checkAnswer decodes the host's answer with gopacket, checksum and all.
func checkAnswer(t *testing.T, b *packet.Buffer) {
	t.Helper()
	decoded := gopacket.NewPacket(b.Bytes(), layers.LayerTypeEthernet, gopacket.Default)
	u, _ := decoded.Layer(layers.LayerTypeUDP).(*layers.UDP)
	if u == nil || string(u.Payload) != "answer" || u.DstPort != 6000 {
		t.Fatalf("answer: %v", decoded)
	}
	segment := b.Bytes()[34:]
	if checksum.Fold(checksum.Sum(segment, ip.PseudoSum(hostAddr.Addr(), peerAddr, 17, len(segment)))) != 0xffff {
		t.Errorf("the checksum of the answer is wrong: %v", decoded)
	}
}

// BenchmarkRoundTrip sends one byte from the kernel and gets it back.
func BenchmarkRoundTrip(b *testing.B) {
	ns := netns.Test(b)
	netns.NeedTun(b)
	card, err := open(ns, Config{HostAddr: hostAddr})
	if err != nil {
		b.Fatal(err)
	}
	c, end := echo(b, ns, card)
	defer end()
	var p [1]byte
	for b.Loop() {
		if _, err := c.Write(p[:]); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, p[:]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEcho sends 60 kB from the kernel and gets them back.
func BenchmarkEcho(b *testing.B) {
	ns := netns.Test(b)
	netns.NeedTun(b)
	for name, disable := range map[string]bool{"offload": false, "plain": true} {
		b.Run(name, func(b *testing.B) {
			card, err := open(ns, Config{HostAddr: hostAddr, DisableOffload: disable})
			if err != nil {
				b.Fatal(err)
			}
			c, end := echo(b, ns, card)
			defer end()
			p := make([]byte, 60000)
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				if _, err := c.Write(p); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(c, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
