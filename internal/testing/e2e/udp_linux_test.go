package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// datagramSizes go from the shortest to the longest, over the bounds at which
// fragments begin.
var datagramSizes = []int{0, 1, 2, 100, 1471, 1472, 1473, 2953, 8000, 30000, 60000, 65507}

// TestUDPEcho sends datagrams of all sizes from the kernel and back.
func TestUDPEcho(t *testing.T) {
	eachTap(t, func(t *testing.T, c cable) {
		h := newHost(t, c)
		l, err := h.ListenPacket("udp", ":7")
		must(t, err)
		defer l.Close()
		go echoDatagrams(l)
		testDatagrams(t, h.dial(t, "udp", ours+":7"))
	})
}

// TestUDPEchoKernel sends them from the stack to the kernel and back.
func TestUDPEchoKernel(t *testing.T) {
	eachTap(t, func(t *testing.T, c cable) {
		h := newHost(t, c)
		l, err := h.ns.ListenPacket("udp", kernel+":7")
		must(t, err)
		defer l.Close()
		go echoDatagrams(l)
		socket, err := h.Dial("udp", kernel+":7")
		must(t, err)
		defer socket.Close()
		must(t, socket.SetDeadline(time.Now().Add(20*time.Second)))
		testDatagrams(t, socket)
	})
}

func testDatagrams(t *testing.T, c net.Conn) {
	got := make([]byte, 1<<16)
	for _, size := range datagramSizes {
		want, err := io.ReadAll(content(size))
		must(t, err)
		for range 3 {
			_, err := c.Write(want)
			must(t, err)
			n, err := c.Read(got)
			must(t, err)
			if !bytes.Equal(got[:n], want) {
				t.Errorf("%d bytes came back otherwise, %d of them", size, n)
			}
		}
	}
}

func echoDatagrams(c net.PacketConn) {
	p := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFrom(p)
		if err != nil {
			return
		}
		if _, err := c.WriteTo(p[:n], from); err != nil {
			fmt.Println("echo:", err) // the test waits in vain, and fails
		}
	}
}
