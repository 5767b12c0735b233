package e2e

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp"
)

// sieve lets datagrams of up to mtu bytes through in both directions, and
// swallows larger ones without a word.
func sieve(mtu int) link.Middleware {
	return func(l link.Link) link.Link {
		tx, rx := make(chan *packet.Buffer, link.QueueLen), make(chan *packet.Buffer, link.QueueLen)
		go sift(l.Tx, tx, mtu)
		go sift(rx, l.Rx, mtu)
		l.Tx, l.Rx = tx, rx
		return l
	}
}

func sift(out chan<- *packet.Buffer, in <-chan *packet.Buffer, mtu int) {
	const ethernet = 14
	defer close(out)
	for b := range in {
		arrived := b.Arrived
		link.Cut(b, func(b *packet.Buffer) {
			if b.Len() > mtu+ethernet {
				b.Release()
				return
			}
			b.Arrived = arrived
			out <- b
		})
	}
}

// TestBlackHole: RFC8899-4.3, RFC4821-7.7: between the stack and the kernel the large segments vanish
// without a word, and transfers complete all the same, both ways.
func TestBlackHole(t *testing.T) {
	const size, mtu = 20_000_000, 1300
	h := newHost(t, cable{router: sieve(mtu)})
	must(t, h.ns.Sysctl("net.ipv4.tcp_mtu_probing", "1"))
	want := bytes.Repeat([]byte("what the path takes"), size/19+1)[:size]
	sent := make(chan tcp.Info, 1)
	h.listen(t, ":19", func(c *tcp.Conn) {
		_, err := c.Write(want)
		if err != nil {
			t.Error(err)
		}
		sent <- c.Info()
	})
	h.listen(t, ":9", func(c *tcp.Conn) {
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes from the kernel, %v", len(got), err)
		}
	})

	begin := time.Now()
	got, err := io.ReadAll(h.dial(t, "tcp", ours+":19"))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes to the kernel, %v", len(got), err)
	}
	i := <-sent
	t.Logf("to the kernel: %v, %d timeouts, path MTU %d, search %v", time.Since(begin), i.Timeouts, i.PathMTU, i.PathMTUSearch)
	if i.PathMTU > mtu || i.PathMTU < mtu-mtu/16 {
		t.Errorf("path MTU %d, want %d nearly", i.PathMTU, mtu)
	}
	if i.Timeouts > 10 { // rather than how long it took, which the machine decides too
		t.Errorf("to the kernel it took %d timeouts", i.Timeouts)
	}

	begin = time.Now()
	c := h.dial(t, "tcp", ours+":9")
	_, err = c.Write(want)
	must(t, err)
	must(t, c.(*net.TCPConn).CloseWrite())
	_, err = io.ReadAll(c)
	must(t, err)
	t.Logf("from the kernel: %v", time.Since(begin))
}
