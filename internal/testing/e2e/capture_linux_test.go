package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/seed-012105e5/gonet/link"
)

// A capture is a pcap file of what passes a cable, up to a limit.
type capture struct {
	link.Sink
	file   *os.File
	limit  int // bytes; 0 means none
	bytes  int
	frames int
}

func newCapture(t *testing.T, limit int) *capture {
	f := inTempDir(t, "capture.pcap")
	return &capture{Sink: link.Pcap(f), file: f, limit: limit}
}

// Record writes one frame, unless the file is full.
func (c *capture) Record(r link.Record) error {
	if c.limit > 0 && c.bytes >= c.limit {
		return nil
	}
	c.bytes += len(r.Frame)
	c.frames++
	return c.Sink.Record(r)
}

// inspect has tshark look for what must not be in the capture.
func (c *capture) inspect(t *testing.T) {
	t.Helper()
	must(t, c.file.Close())
	if c.frames == 0 {
		t.Error("nothing was captured")
	}
	faults, err := tsharkFaults(t, c.file.Name())
	must(t, err)
	if len(faults) > 0 {
		t.Errorf("tshark finds fault with %d of %d frames:\n%s", len(faults), c.frames, strings.Join(faults[:min(len(faults), 20)], "\n"))
	}
}

// fault is a display filter for frames that must not be: malformed ones; ones
// with a wrong checksum; and of ours, which our capture has all causes of,
// those that acknowledge what was never received.
//
// Two things that the kernel does are no faults. What its ICMP errors quote
// has a checksum that no device has completed. And where TCP's checksum is 0 it
// may send 0xffff, which is as good a zero, though RFC 1624 prefers the other.
const fault = `_ws.malformed or _ws.expert.group == "Malformed"
	or ip.checksum.status == "Bad" or icmp.checksum.status == "Bad"
	or (_ws.expert.group == "Checksum" and not (eth.src == ` + kernelMAC + ` and (icmp.type == 3 or tcp.checksum == 0xffff)))
	or (tcp.analysis.ack_lost_segment and ip.src == ` + ours + `)`

// tsharkFaults returns a line for each frame of a file that has a fault.
func tsharkFaults(t *testing.T, file string) ([]string, error) {
	cmd := command(t, time.Minute, "tshark", "-r", file, "-n",
		"-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE",
		"-d", "tcp.port==1-65535,data", "-d", "udp.port==1-65535,data", // not what happens to be the port of something
		"-Y", strings.Join(strings.Fields(fault), " "),
		"-T", "fields", "-E", "separator=|", "-e", "frame.number", "-e", "frame.time_relative",
		"-e", "ip.src", "-e", "ip.dst", "-e", "_ws.col.Protocol", "-e", "_ws.col.Info", "-e", "_ws.expert.message")
	out, err := cmd.Output()
	if err != nil {
		if e, ok := err.(*exec.ExitError); ok {
			err = fmt.Errorf("tshark: %w\n%s", err, e.Stderr)
		}
		return nil, err
	}
	text := strings.TrimSpace(string(out))
	if text == "" {
		return nil, nil
	}
	return strings.Split(text, "\n"), nil
}

// TestInspect shows that tshark finds what it is asked for.
func TestInspect(t *testing.T) {
	ethernet := func(from string) *layers.Ethernet {
		h := &layers.Ethernet{SrcMAC: mac(kernelMAC), DstMAC: mac(ourMAC), EthernetType: layers.EthernetTypeIPv4}
		if from == ours {
			h.SrcMAC, h.DstMAC = h.DstMAC, h.SrcMAC
		}
		return h
	}
	network := func(protocol layers.IPProtocol, from, to string) *layers.IPv4 {
		return &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: protocol, SrcIP: net.ParseIP(from).To4(), DstIP: net.ParseIP(to).To4()}
	}
	text := gopacket.Payload("longer than the padding of a frame")
	segment := func(from, to string, h layers.TCP) []gopacket.SerializableLayer {
		h.SrcPort, h.DstPort, h.Window = 7, 7, 1000
		return []gopacket.SerializableLayer{ethernet(from), network(layers.IPProtocolTCP, from, to), &h, text}
	}
	good := segment(ours, kernel, layers.TCP{Seq: 1, Ack: 1, ACK: true})
	keep := func([]byte) {}
	spoilLast := func(f []byte) { f[len(f)-1]++ }
	file := newCapture(t, 0)
	var want []string
	for i, c := range []struct {
		name   string
		layers []gopacket.SerializableLayer
		spoil  func(frame []byte)
		faulty bool
	}{
		// Both directions must have been seen before tshark speaks of what was not.
		{"good", segment(kernel, ours, layers.TCP{Seq: 1, Ack: 1, ACK: true}), keep, false},
		{"good too", good, keep, false},
		{"IP checksum", good, func(f []byte) { f[14+8]++ }, true},
		{"TCP checksum", good, spoilLast, true},
		{"TCP option too long", segment(ours, kernel, layers.TCP{Seq: 1, Ack: 1, ACK: true, Options: []layers.TCPOption{
			{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: make([]byte, 8)},
		}}), func(f []byte) { f[14+20+20+1] = 99 }, true},
		{"UDP checksum", []gopacket.SerializableLayer{ethernet(ours), network(layers.IPProtocolUDP, ours, kernel),
			&layers.UDP{SrcPort: 7, DstPort: 7}, text}, spoilLast, true},
		{"ICMP checksum", []gopacket.SerializableLayer{ethernet(ours), network(layers.IPProtocolICMPv4, ours, kernel),
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(0, 0)}, text}, spoilLast, true},
		{"the kernel acknowledges too much", segment(kernel, ours, layers.TCP{Seq: 100, Ack: 1 << 16, ACK: true}), keep, false},
		{"we do", segment(ours, kernel, layers.TCP{Seq: 1, Ack: 1 << 16, ACK: true}), keep, true},
	} {
		frame := serialize(t, c.layers)
		c.spoil(frame)
		must(t, file.Record(link.Record{Time: time.Now(), Frame: frame}))
		if c.faulty {
			want = append(want, fmt.Sprint(i+1))
		}
	}
	must(t, file.Flush())
	faults, err := tsharkFaults(t, file.file.Name())
	must(t, err)
	var got []string
	for _, f := range faults {
		number, _, _ := strings.Cut(f, "|")
		got = append(got, number)
	}
	if !slices.Equal(got, want) {
		t.Errorf("faults in frames %v, want %v:\n%s", got, want, strings.Join(faults, "\n"))
	}
}

// serialize has gopacket build a frame, with lengths and checksums.
func serialize(t *testing.T, parts []gopacket.SerializableLayer) []byte {
	t.Helper()
	switch h := parts[2].(type) {
	case *layers.TCP:
		h.SetNetworkLayerForChecksum(parts[1].(*layers.IPv4))
	case *layers.UDP:
		h.SetNetworkLayerForChecksum(parts[1].(*layers.IPv4))
	}
	buf := gopacket.NewSerializeBuffer()
	must(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, parts...))
	return buf.Bytes()
}
