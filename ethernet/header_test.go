package ethernet

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/seed-012105e5/gonet/packet"
)

var (
	own   = Addr{0x02, 0, 0, 0, 0, 0x01}
	peer  = Addr{0x02, 0, 0, 0, 0, 0x02}
	group = Addr{0x01, 0x00, 0x5e, 0, 0, 0xfb}
)

// TestPush: RFC1122-2.3.3-1, RFC1122-2.3.3-3: gopacket reads what Push writes: every host sends
// the encapsulation of RFC 894.
func TestPush(t *testing.T) {
	b := packet.From([]byte{0x45, 1, 2, 3})
	defer b.Release()
	Push(b, peer, own, TypeIPv4)

	p := gopacket.NewPacket(b.Bytes(), layers.LayerTypeEthernet, gopacket.NoCopy)
	e, ok := p.LinkLayer().(*layers.Ethernet)
	if !ok {
		t.Fatalf("not an Ethernet frame: %x", b.Bytes())
	}
	if Addr(e.DstMAC) != peer || Addr(e.SrcMAC) != own || e.EthernetType != layers.EthernetTypeIPv4 {
		t.Errorf("gopacket reads %v", gopacket.LayerString(e))
	}
	if !bytes.Equal(e.Payload, []byte{0x45, 1, 2, 3}) {
		t.Errorf("payload %x", e.Payload)
	}
	h := Header(b.Bytes())
	if h.Dst() != peer || h.Src() != own || h.Type() != TypeIPv4 {
		t.Errorf("the view reads %v", h)
	}
}

func TestHeaderString(t *testing.T) {
	for _, c := range []struct {
		kind uint16
		want string
	}{
		{TypeIPv4, "02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype IPv4 (0x0800), length 16"},
		{TypeARP, "02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype ARP (0x0806), length 16"},
		{0x86dd, "02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype 0x86dd, length 16"},
		{2, "02:00:00:00:00:01 > 02:00:00:00:00:02, 802.3, length 16"},
	} {
		b := packet.From([]byte{1, 2})
		Push(b, peer, own, c.kind)
		if got := Header(b.Bytes()).String(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
		b.Release()
	}
}

// snapFrame is p in the encapsulation of RFC 1042, with pad bytes of padding.
func snapFrame(dst Addr, etherType uint16, p []byte, pad int) []byte {
	f := append(dst[:], peer[:]...)
	f = binary.BigEndian.AppendUint16(f, uint16(snapLen+len(p)))
	f = append(f, snapPrefix...)
	f = binary.BigEndian.AppendUint16(f, etherType)
	return append(append(f, p...), make([]byte, pad)...)
}

// frame is p in the encapsulation of RFC 894.
func frame(dst Addr, etherType uint16, p []byte) []byte {
	return append(binary.BigEndian.AppendUint16(append(dst[:], peer[:]...), etherType), p...)
}

func TestPullHeader(t *testing.T) {
	payload := []byte("payload")
	oui := snapFrame(own, TypeIPv4, payload, 0)
	oui[HeaderLen+5] = 1 // another organization's types
	short := snapFrame(own, TypeIPv4, payload, 0)
	short[13] = byte(snapLen) - 1
	for _, c := range []struct {
		name  string
		frame []byte
		kind  uint16
		rest  string
	}{
		{"RFC 894", frame(own, TypeIPv4, payload), TypeIPv4, "payload"},
		{"RFC 894 without payload", frame(own, TypeIPv4, nil), TypeIPv4, ""},
		{"RFC 894, largest length", frame(own, 1500, payload), 0, ""},
		{"RFC 894, smallest type", frame(own, 1501, payload), 1501, "payload"},
		{"RFC1122-2.3.3-2 RFC 1042", snapFrame(own, TypeIPv4, payload, 0), TypeIPv4, "payload"},
		{"RFC1122-2.3.3-2 RFC 1042 without payload", snapFrame(own, TypeARP, nil, 0), TypeARP, ""},
		{"RFC1122-2.3.3-2 RFC 1042 with padding", snapFrame(own, TypeARP, payload, 30), TypeARP, "payload"},
		{"RFC 1042 cut short", snapFrame(own, TypeIPv4, payload, 0)[:25], 0, ""},
		{"RFC 1042 with too small a length", short, 0, ""},
		{"SNAP of another organization", oui, 0, ""},
		{"LLC without SNAP", frame(own, 8, []byte("\x42\x42\x03bridge")), 0, ""},
		{"length 0", frame(own, 0, nil), 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := packet.From(c.frame)
			defer b.Release()
			kind := pullHeader(b)
			if kind != c.kind {
				t.Fatalf("type 0x%04x, want 0x%04x", kind, c.kind)
			}
			if kind != 0 && string(b.Bytes()) != c.rest {
				t.Errorf("left %q, want %q", b.Bytes(), c.rest)
			}
		})
	}
}

// FuzzFrame receives any bytes: nothing panics, each frame is counted once,
// and what is passed on is a part of the frame.
func FuzzFrame(f *testing.F) {
	f.Add(frame(own, TypeIPv4, []byte("payload")))
	f.Add(frame(Broadcast, TypeARP, make([]byte, 46)))
	f.Add(frame(own, 0x8100, []byte{0, 1, 8, 0}))
	f.Add(snapFrame(own, TypeIPv4, []byte("payload"), 20))
	f.Add(snapFrame(group, TypeARP, nil, 0))
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, p []byte) {
		p = p[:min(len(p), packet.MaxSize)]
		b := packet.From(p)
		defer b.Release()
		filter := NewFilter(own)
		filter.SetGroups([]Addr{group})
		var stats Stats
		kind := Demux(b, filter, 3, &stats)

		passed := stats.RxARP.Load() + stats.RxIP.Load()
		dropped := stats.DropRunt.Load() + stats.DropOtherHost.Load() + stats.DropUnknownType.Load()
		if passed+dropped != 1 || (passed == 1) != (kind != 0) {
			t.Fatalf("type 0x%04x, %d passed, %d dropped", kind, passed, dropped)
		}
		if kind == 0 {
			return
		}
		if b.Len() > len(p)-HeaderLen || !bytes.Contains(p[HeaderLen:], b.Bytes()) {
			t.Fatalf("%x left of %x", b.Bytes(), p)
		}
		if b.Link != 3 || b.Group != Header(p).Dst().IsGroup() {
			t.Fatalf("link %d, group %v", b.Link, b.Group)
		}
	})
}
