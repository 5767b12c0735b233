package subject

import (
	"errors"
	"net"
	"net/netip"
	"reflect"
	"testing"
)

// TestEnds: each cable has devices and a network of its own.
func TestEnds(t *testing.T) {
	cfg := Config{Addr: netip.MustParsePrefix("10.0.0.2/16"), Peer: netip.MustParsePrefix("10.0.0.1/16")}
	first := end{"server0", cfg.Addr, cfg.Peer}
	if got := cfg.ends(); !reflect.DeepEqual(got, []end{first}) {
		t.Errorf("one cable: %v", got)
	}
	cfg.Cables = 8
	got := cfg.ends()
	last := end{"server7", netip.MustParsePrefix("10.7.0.2/16"), netip.MustParsePrefix("10.7.0.1/16")}
	if len(got) != 8 || got[0] != first || got[7] != last {
		t.Errorf("8 cables: %v", got)
	}
	for i, a := range got {
		for _, b := range got[:i] {
			if a.addr.Overlaps(b.addr) || a.device == b.device {
				t.Errorf("%v and %v are not apart", a, b)
			}
		}
	}
	if NthDevice("lo", 3) != "lo" {
		t.Error("there are several lo")
	}
}

// loopback is a stack that listens at a port of its own choice.
type loopback struct{}

func (loopback) Listen(uint16) (net.Listener, error)         { return net.Listen("tcp4", "127.0.0.1:0") }
func (loopback) ListenPacket(uint16) (net.PacketConn, error) { return nil, errors.ErrUnsupported }
func (loopback) Close() error                                { return nil }

// TestListeners: several stacks accept as one does.
func TestListeners(t *testing.T) {
	l, err := stacks{loopback{}, loopback{}, loopback{}}.Listen(9)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range l.(*listeners).all {
		c, err := net.Dial("tcp4", one.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer accepted.Close()
		if accepted.RemoteAddr().String() != c.LocalAddr().String() {
			t.Errorf("%v was accepted, %v has dialled", accepted.RemoteAddr(), c.LocalAddr())
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
