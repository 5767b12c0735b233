package rawip

import (
	"testing"
	"testing/synctest"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/packet"
)

// datagram is a header of IP with that version and destination.
func datagram(version byte, dst [4]byte) []byte {
	p := make([]byte, minLen)
	p[0] = version<<4 | 5
	copy(p[16:], dst[:])
	return p
}

func TestAccept(t *testing.T) {
	for name, c := range map[string]struct {
		p           []byte
		taken       bool
		group       bool
		runt, other uint64
	}{
		"unicast":   {datagram(4, [4]byte{10, 0, 0, 1}), true, false, 0, 0},
		"multicast": {datagram(4, [4]byte{224, 0, 0, 1}), true, true, 0, 0},
		"broadcast": {datagram(4, [4]byte{255, 255, 255, 255}), true, true, 0, 0},
		"255.0.0.1": {datagram(4, [4]byte{255, 0, 0, 1}), true, false, 0, 0},
		"IPv6":      {datagram(6, [4]byte{}), false, false, 0, 1},
		"runt":      {make([]byte, minLen-1), false, false, 1, 0},
		"empty":     {nil, false, false, 1, 0},
	} {
		var stats Stats
		b := accept(packet.From(c.p), 7, &stats)
		if (b != nil) != c.taken || stats.DropRunt.Load() != c.runt || stats.DropUnknownVersion.Load() != c.other {
			t.Errorf("%s: taken %v, %d runts, %d of other versions", name, b != nil, stats.DropRunt.Load(), stats.DropUnknownVersion.Load())
		}
		if b != nil {
			if b.Link != 7 || b.Group != c.group {
				t.Errorf("%s: link %d, group %v", name, b.Link, b.Group)
			}
			b.Release()
		}
	}
}

// TestRx shows what is passed on, and how it ends.
func TestRx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, ip := make(chan *packet.Buffer), make(chan *packet.Buffer)
		ended := make(chan struct{})
		go func() { Rx(edge.InboxFrom(in), 0, edge.To(ip).Out(), new(Stats)); close(ended) }()
		in <- packet.From(datagram(4, [4]byte{10, 0, 0, 1}))
		(<-ip).Release()
		in <- packet.From(datagram(6, [4]byte{}))
		close(in)
		<-ended
	})
}
