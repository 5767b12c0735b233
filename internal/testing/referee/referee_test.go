package referee

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// The host under test is 10.0.0.1 port 1000, its peer 10.0.0.2 port 2000. Both
// count from just before the wrap.
const iss, irs = 0xfffffff0, 0xfffffe00

// An event is a segment that goes out, or arrives where in is true. Numbers are
// relative.
type event struct {
	in       bool
	at       time.Duration
	seq, ack int
	syn, fin bool
	win      uint16
	text     string
	sack     [2]int
	tooBig   int // instead: a router's word about what was sent from seq on
}

// datagram is e on the wire.
func (e event) datagram(t *testing.T) []byte {
	host, peer := net.IP{10, 0, 0, 1}, net.IP{10, 0, 0, 2}
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: host, DstIP: peer}
	tcp := &layers.TCP{SrcPort: 1000, DstPort: 2000, Seq: iss + uint32(e.seq), Ack: irs + uint32(e.ack), SYN: e.syn, FIN: e.fin, ACK: !e.syn || e.in, Window: e.win}
	if e.in && e.tooBig == 0 {
		ip.SrcIP, ip.DstIP, tcp.SrcPort, tcp.DstPort = peer, host, 2000, 1000
		tcp.Seq, tcp.Ack = irs+uint32(e.seq), iss+uint32(e.ack)
	}
	option := func(kind layers.TCPOptionKind, data ...byte) {
		tcp.Options = append(tcp.Options, layers.TCPOption{OptionType: kind, OptionLength: uint8(2 + len(data)), OptionData: data})
	}
	if e.syn {
		option(layers.TCPOptionKindMSS, 1000>>8, 1000&255)
		option(layers.TCPOptionKindWindowScale, 1)
	}
	if e.sack[1] > 0 {
		b := binary.BigEndian.AppendUint32(nil, irs+uint32(e.sack[0]))
		option(layers.TCPOptionKindSACK, binary.BigEndian.AppendUint32(b, irs+uint32(e.sack[1]))...)
	}
	tcp.SetNetworkLayerForChecksum(ip)
	d := serialize(t, ip, tcp, gopacket.Payload(e.text))
	if e.tooBig == 0 {
		return d
	}
	ip = &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: net.IP{10, 0, 0, 9}, DstIP: host}
	icmp := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Seq: uint16(e.tooBig)}
	return serialize(t, ip, icmp, gopacket.Payload(d[:28]))
}

func serialize(t *testing.T, l ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l...); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b.Bytes())
}

// written is what the host writes: 0123456789012…
func written(from, n int) (s string) {
	for i := range n {
		s += fmt.Sprint((from + i) % 10)
	}
	return s
}

// TestFouls shows for each rule what breaks it, and what does not.
func TestFouls(t *testing.T) {
	syn := []event{{syn: true, win: 1000}, {in: true, syn: true, ack: 1, win: 50}, {seq: 1, ack: 1, win: 500}}
	out := func(from, n int) event { return event{seq: 1 + from, ack: 1, win: 500, text: written(from, n)} }
	in := func(from, n int) event {
		return event{in: true, seq: 1 + from, ack: 1, win: 500, text: written(from, n)}
	}
	acked := func(n int) event { return event{in: true, seq: 1, ack: 1 + n, win: 5000} }
	ack := func(n int, win uint16) event { return event{seq: 1, ack: 1 + n, win: win} }
	later := func(e event) event { e.at = time.Second; return e }
	fin := func(e event) event { e.fin = true; return e }
	sack := func(n, left, right int) event {
		return event{seq: 1, ack: 1 + n, win: 500, sack: [2]int{1 + left, 1 + right}}
	}
	tooBig := func(from, mtu int) event { return event{in: true, seq: 1 + from, tooBig: mtu} }
	for _, c := range []struct {
		name, foul string
		events     []event
	}{
		{"text", "", []event{out(0, 20), out(0, 20), out(20, 10)}},
		{"another text", "byte 21 of the text", []event{out(0, 20), {seq: 21, ack: 1, win: 500, text: "02"}}},
		{"a hole", "leaves a hole", []event{out(0, 20), out(21, 5)}},
		{"beyond the window", "2 bytes beyond the window", []event{out(0, 52)}},
		{"a window that is scaled", "", []event{acked(0), out(0, 80), out(80, 80)}},
		{"a probe of the window", "", []event{out(0, 50), out(50, 1)}},
		{"a probe too far", "2 bytes beyond the window", []event{out(0, 50), out(50, 1), out(51, 1)}},
		{"too large", "text and options of 1001 bytes for an MSS of 1000", []event{acked(0), out(0, 1001)}},
		{"too large with options", "1012 bytes for an MSS of 1000", []event{acked(0), in(5, 5), {seq: 1, ack: 1, win: 500, text: written(0, 1000), sack: [2]int{6, 11}}}},
		{"too large for the path", "a datagram of 840 bytes for a path of 600", []event{acked(0), out(0, 800), tooBig(0, 600), later(out(0, 800))}},
		{"on its way when the router spoke", "", []event{acked(0), out(0, 800), tooBig(0, 600), out(800, 800), later(out(0, 560))}},
		{"a router against the evidence", "", []event{acked(0), out(0, 800), acked(800), out(800, 800), tooBig(800, 600), later(out(800, 800))}},
		{"a router about what was acknowledged", "", []event{acked(0), out(0, 800), acked(1), tooBig(0, 600), later(out(1, 799))}},
		{"acknowledged, and again at once", "", []event{out(0, 20), acked(20), out(0, 20)}},
		{"acknowledged, and again", "sends again what was acknowledged", []event{out(0, 20), acked(20), later(out(0, 20))}},
		{"acknowledged in part, and again", "", []event{out(0, 20), acked(19), later(out(0, 20))}},
		{"text behind the FIN", "goes on behind the FIN", []event{fin(out(0, 20)), out(20, 10)}},
		{"two FINs", "goes on behind the FIN", []event{fin(out(0, 20)), fin(out(0, 10))}},
		{"the FIN again", "", []event{fin(out(0, 20)), fin(out(10, 10)), {seq: 22, ack: 1, win: 500}}},
		{"what has not arrived", "acknowledges 1 bytes that have not arrived", []event{in(0, 9), ack(10, 500)}},
		{"what has not arrived, before what has", "acknowledges 10 bytes", []event{in(5, 5), ack(10, 500)}},
		{"a hole that is filled", "", []event{in(5, 5), in(20, 5), in(0, 5), ack(10, 500), in(10, 10), ack(25, 500)}},
		{"less than before", "acknowledges less than before", []event{in(0, 9), ack(9, 500), ack(8, 500)}},
		{"a window that follows", "", []event{in(0, 10), ack(10, 495)}},
		{"a window that shrinks", "moves left by 2", []event{in(0, 10), ack(10, 494)}},
		{"SACK", "", []event{in(5, 5), in(10, 5), sack(0, 5, 15), in(30, 5), sack(0, 30, 35)}},
		{"SACK of a duplicate", "", []event{in(0, 5), in(0, 5), sack(5, 0, 5)}},
		{"SACK of what has not arrived", "reports", []event{in(5, 5), sack(0, 5, 11)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			foul := watch(t, append(syn[:len(syn):len(syn)], c.events...))
			if c.foul == "" && foul != nil || c.foul != "" && (foul == nil || !strings.Contains(foul.Error(), c.foul)) {
				t.Errorf("%v, want %q", foul, c.foul)
			}
		})
	}
}

// watch has a referee see all events, and returns the first foul.
func watch(t *testing.T, events []event) (foul error) {
	r := Referee{
		Foul: func(err error) {
			if foul == nil {
				foul = err
			}
		},
		Differs: func(p []byte, from int) int {
			for i := range p {
				if p[i] != written(from+i, 1)[0] {
					return i
				}
			}
			return -1
		},
	}
	for _, e := range events {
		now := time.Unix(1e9, 0).Add(e.at)
		if e.in {
			r.Hears(now, e.datagram(t))
		} else {
			r.Sends(now, e.datagram(t))
		}
	}
	return foul
}

// TestPeerAcknowledges: what the peer does is looked at, too.
func TestPeerAcknowledges(t *testing.T) {
	foul := watch(t, []event{{syn: true, win: 1000}, {in: true, syn: true, ack: 2, win: 50}})
	if foul == nil || !strings.Contains(foul.Error(), "more than SND.NXT") {
		t.Error(foul)
	}
}

// TestReceived adds spans at random, and compares with a set.
func TestReceived(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		r, set := received{nxt: irs}, map[uint32]bool{}
		for range 40 {
			s := span{irs + random.Uint32N(600), 0}
			s.right = s.left + random.Uint32N(60)
			r.add(s)
			for q := s.left; q != s.right; q++ {
				set[q] = true
			}
			nxt := uint32(irs)
			for set[nxt] {
				nxt++
			}
			if r.nxt != nxt {
				t.Fatalf("next is %d, want %d", r.nxt, nxt)
			}
			for q, end := uint32(irs), nxt+700; q != end; q++ {
				if got, want := r.has(span{q, q + 1}), set[q]; got != want {
					t.Fatalf("has %d is %v", q, got)
				}
			}
		}
	}
}
