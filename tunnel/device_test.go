package tunnel_test

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tunnel"
)

// host is a stack that has all else behind the device.
func host(t *testing.T, addr string) (*gonet.Stack, *tunnel.Device[string]) {
	t.Helper()
	dev, card := tunnel.New(tunnel.Config[string]{Up: "up"})
	stack, err := gonet.New(gonet.Config{
		Link: card, Addr: netip.MustParsePrefix(addr), Routes: []gonet.Route{{Prefix: netip.MustParsePrefix("0.0.0.0/0")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return stack, dev
}

// carry brings what one device has to another, until either is closed.
func carry(from, to *tunnel.Device[string]) {
	const offset = 16 // as WireGuard wants room in front
	bufs, sizes := make([][]byte, from.BatchSize()), make([]int, from.BatchSize())
	for i := range bufs {
		bufs[i] = make([]byte, offset+tunnel.DefaultMTU)
	}
	for {
		n, err := from.Read(bufs, sizes, offset)
		if err != nil {
			return
		}
		packets := make([][]byte, n)
		for i := range packets {
			packets[i] = bufs[i][:offset+sizes[i]]
		}
		if _, err := to.Write(packets, offset); err != nil {
			return
		}
	}
}

// TestDevice has two stacks talk through a program that carries their packets.
func TestDevice(t *testing.T) {
	before := packet.Live()
	synctest.Test(t, func(t *testing.T) {
		a, devA := host(t, "10.9.0.1/32")
		b, devB := host(t, "10.9.0.2/32")
		var carriers sync.WaitGroup
		carriers.Go(func() { carry(devA, devB) })
		carriers.Go(func() { carry(devB, devA) })
		if <-devA.Events() != "up" {
			t.Error("the device is not up")
		}
		l, err := b.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if c, err := l.Accept(); err == nil {
				io.Copy(c, c)
				c.Close()
			}
		}()
		c, err := a.Dial("tcp", "10.9.0.2:80")
		if err != nil {
			t.Fatal(err)
		}
		text := bytes.Repeat([]byte("inside "), 100_000)
		go func() { c.Write(text); c.(interface{ CloseWrite() error }).CloseWrite() }()
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%d of %d bytes came back, %v", len(got), len(text), err)
		}
		a.Close() // and with it the link, and so the device has no more to read
		devB.Close()
		b.Close()
		carriers.Wait()
		if _, open := <-devB.Events(); !open {
			t.Error("the events of a device that was up are gone")
		}
		if _, err := devB.Write([][]byte{{1}}, 0); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Write to a closed device: %v", err)
		}
		if err := devB.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("a second Close: %v", err)
		}
		devA.Close()
	})
	if left := packet.Live() - before; left != 0 {
		t.Errorf("%d packets are left", left)
	}
}

// TestBadCalls has the program ask for what cannot be.
func TestBadCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stack, dev := host(t, "10.9.0.1/32")
		c, err := stack.Dial("udp", "10.9.0.2:9")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := dev.Read(nil, nil, 0); err == nil {
			t.Error("Read into nothing")
		}
		c.Write(make([]byte, 100))
		if n, err := dev.Read([][]byte{make([]byte, 100)}, make([]int, 1), 0); n != 0 || !errors.Is(err, io.ErrShortBuffer) {
			t.Errorf("Read into too little: %d, %v", n, err)
		}
		if _, err := dev.Write([][]byte{make([]byte, 10)}, 11); err == nil {
			t.Error("Write from behind the end on")
		}
		if _, err := dev.Write([][]byte{make([]byte, packet.MaxSize+1)}, 0); err == nil {
			t.Error("Write of too much")
		}
		if n, err := dev.Write([][]byte{{}, {1}, make([]byte, 3000)}, 0); n != 3 || err != nil { // dropped by the link, or by IP
			t.Errorf("Write of nonsense: %d, %v", n, err)
		}
		if mtu, _ := dev.MTU(); mtu != tunnel.DefaultMTU {
			t.Errorf("MTU %d", mtu)
		}
		if name, _ := dev.Name(); name != "tunnel" || dev.File() != nil {
			t.Errorf("name %q", name)
		}
		stack.Close()
		dev.Close()
	})
}
