package tap

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// flowFrame is the beginning of a frame from 10.0.0.2.
func flowFrame(protocol byte, host byte, ports uint32, fragment uint16) []byte {
	f := make([]byte, 60)
	f[12], f[13], f[14] = 8, 0, 0x45
	binary.BigEndian.PutUint16(f[20:], fragment)
	f[23] = protocol
	copy(f[26:], []byte{10, 0, 0, 2, 10, 0, 0, host})
	binary.BigEndian.PutUint32(f[34:], ports)
	return f
}

// turned is a frame of the other way.
func turned(f []byte) []byte {
	f = bytes.Clone(f)
	copy(f[26:], append(bytes.Clone(f[30:34]), f[26:30]...))
	copy(f[34:], append(bytes.Clone(f[36:38]), f[34:36]...))
	return f
}

func TestEntryOf(t *testing.T) {
	const ports = 80<<16 | 1025
	flow := flowFrame(protocolTCP, 1, ports, 0)
	changed := func(f []byte, change func(f []byte)) []byte {
		f = bytes.Clone(f)
		change(f)
		return f
	}
	for _, c := range []struct {
		name string
		a, b []byte
		same bool
	}{
		{"other text, flags and TTL", flow, changed(flow, func(f []byte) { f[22], f[47], f[59] = 1, 2, 3 }), true},
		{"do not fragment", flow, flowFrame(protocolTCP, 1, ports, 0x4000), true},
		{"the other way", flow, turned(flow), true},
		{"other port", flow, flowFrame(protocolTCP, 1, ports+1, 0), false},
		{"other host", flow, flowFrame(protocolTCP, 3, ports, 0), false},
		{"options of IP", changed(flow, func(f []byte) { f[14] = 0x46 }), changed(flow, func(f []byte) { f[14], f[35] = 0x46, 9 }), true},
		{"fragments", flowFrame(protocolUDP, 1, ports, 0x2000), flowFrame(protocolUDP, 1, 99, 185), true},
		{"pings", flowFrame(1, 1, 0x08001234, 0), flowFrame(1, 1, 0x08005678, 0), true},
		{"pings of two hosts", flowFrame(1, 1, 0x08001234, 0), flowFrame(1, 3, 0x08001234, 0), false},
		{"not IPv4", changed(flow, func(f []byte) { f[13] = 6 }), make([]byte, 20), true},
		{"no room for ports", flow[:34], changed(flow, func(f []byte) { f[23] = 1 }), true},
	} {
		if got := entryOf(c.a, ethernetLen) == entryOf(c.b, ethernetLen); got != c.same {
			t.Errorf("%s: one flow: %v, want %v", c.name, got, c.same)
		}
	}
}

// TestEntries: the flows of clients that count their ports up have entries all
// over the table.
func TestEntries(t *testing.T) {
	var count [entries]int
	for port := range uint32(100 * entries) {
		count[entryOf(flowFrame(protocolTCP, 1, 80<<16|2*port&0xffff, 0), ethernetLen)]++ // Linux gives them even ports first
	}
	for entry, n := range count {
		if n < 50 || n > 200 {
			t.Errorf("%d of %d flows have entry %d", n, 100*entries, entry)
		}
	}
}

// FuzzEntry: whatever the frame, it has an entry, which the text after the ports
// does not change.
func FuzzEntry(f *testing.F) {
	f.Add(flowFrame(protocolTCP, 1, 80<<16|1025, 0))
	f.Add(flowFrame(protocolUDP, 1, 53<<16|1025, 0x2000)[:34])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, frame []byte) {
		const longestHeader = 15*4 + 4
		head := frame[:min(len(frame), ethernetLen+longestHeader)]
		if entryOf(head, ethernetLen) != entryOf(frame, ethernetLen) {
			t.Errorf("the text has changed the flow of % x", head)
		}
	})
}
