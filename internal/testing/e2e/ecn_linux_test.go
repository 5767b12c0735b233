package e2e

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp"
)

// A marker is a router that is congested now and then: it marks every so-many-th
// frame that is ECT (RFC 3168 section 5).
type marker struct {
	every          int
	toKernel, toUs atomic.Int64 // frames marked
}

func (m *marker) router(l link.Link) link.Link {
	sent, received := make(chan *packet.Buffer, link.QueueLen), make(chan *packet.Buffer, link.QueueLen)
	go m.pass(sent, l.Tx, &m.toKernel)
	go m.pass(l.Rx, received, &m.toUs)
	l.Tx, l.Rx = sent, received
	return l
}

func (m *marker) pass(in <-chan *packet.Buffer, out chan<- *packet.Buffer, marked *atomic.Int64) {
	defer close(out)
	seen := 0
	for b := range in {
		if e := codepoint(b.Bytes()); e == ip.ECT0 || e == ip.ECT1 {
			if seen++; seen%m.every == 0 {
				markCE(b.Bytes())
				marked.Add(1)
			}
		}
		out <- b
	}
}

// codepoint is that of a frame with an IPv4 datagram, and Not-ECT of others.
func codepoint(frame []byte) ip.ECN {
	if len(frame) < 34 || binary.BigEndian.Uint16(frame[12:]) != 0x0800 {
		return ip.NotECT
	}
	return ipv4.Header(frame[14:]).ECN()
}

// markCE sets the codepoint, and the header checksum that goes with it.
func markCE(frame []byte) {
	datagram := ipv4.Header(frame[14:])
	datagram[1] |= uint8(ip.CE)
	datagram[10], datagram[11] = 0, 0
	binary.BigEndian.PutUint16(datagram[10:], checksum.Of(datagram[:datagram.Len()]))
}

// TestECN has text go both ways between the kernel and the stack, through a
// router that marks some of it (RFC3168-6.1). What is marked, and nothing else,
// is told of, and the other end says that it has heard.
func TestECN(t *testing.T) {
	netns.Need(t)
	for _, c := range []struct {
		name   string
		ask    bool // we dial, and ask
		sysctl string
		want   bool
	}{
		{"the kernel asks", false, "1", true},
		{"we ask", true, "2", true},
		{"we ask a kernel that refuses", true, "0", false},
		{"nobody asks", false, "2", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			eachTap(t, func(t *testing.T, wire cable) {
				m := &marker{every: 10}
				wire.router = m.router
				if c.ask {
					wire.tcp.ECN = tcp.ECNAsk
				}
				h := newHost(t, wire)
				must(t, h.ns.Sysctl("net.ipv4.tcp_ecn", c.sysctl))
				theirs, own := h.connect(t, c.ask)
				exchange(t, theirs, own, 3_000_000)
				checkECNInfo(t, theirs, own, c.want)
				h.Close()
				checkECN(t, readTCP(t, h.capture.file.Name()), m, c.want)
			})
		})
	}
}

// connect makes a connection, from us or from the kernel.
func (h *host) connect(t *testing.T, fromUs bool) (theirs *net.TCPConn, own *tcp.Conn) {
	t.Helper()
	if !fromUs {
		l, err := h.Listen("tcp", ":7")
		must(t, err)
		defer l.Close()
		theirs = h.dial(t, "tcp", ours+":7").(*net.TCPConn)
		own, err = l.(*tcp.Listener).AcceptTCP()
		must(t, err)
	} else {
		l, err := h.ns.Listen("tcp", kernel+":7")
		must(t, err)
		defer l.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		c, err := h.DialContext(ctx, "tcp", kernel+":7")
		must(t, err)
		own = c.(*tcp.Conn)
		s, err := l.Accept()
		must(t, err)
		theirs = s.(*net.TCPConn)
	}
	t.Cleanup(func() { own.Close(); theirs.Close() })
	must(t, own.SetDeadline(time.Now().Add(30*time.Second)))
	must(t, theirs.SetDeadline(time.Now().Add(30*time.Second)))
	return theirs, own
}

// exchange sends n bytes each way, first one and then the other.
func exchange(t *testing.T, a, b net.Conn, n int) {
	t.Helper()
	for _, dir := range [][2]net.Conn{{a, b}, {b, a}} {
		sent := make(chan error, 1)
		go func() {
			_, err := io.Copy(dir[0], content(n))
			sent <- err
		}()
		got, err := io.Copy(io.Discard, io.LimitReader(dir[1], int64(n)))
		must(t, err)
		must(t, <-sent)
		if got != int64(n) {
			t.Errorf("%d bytes came, want %d", got, n)
		}
	}
}

// checkECNInfo compares what the two ends say of a connection.
func checkECNInfo(t *testing.T, theirs *net.TCPConn, own *tcp.Conn, want bool) {
	t.Helper()
	raw, err := theirs.SyscallConn()
	must(t, err)
	var info *unix.TCPInfo
	must(t, raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }))
	must(t, err)
	const negotiated, seen = 8, 16 // TCPI_OPT_ECN, TCPI_OPT_ECN_SEEN of linux/tcp.h
	i := own.Info()
	t.Logf("ours: ECN %v, received with CE %d, delivered with CE %d; the kernel's: options %#x, delivered with CE %d",
		i.ECN, i.BytesReceivedCE, i.BytesDeliveredCE, info.Options, info.Delivered_ce)
	if i.ECN != want || (info.Options&negotiated != 0) != want || (info.Options&seen != 0) != want ||
		(i.BytesReceivedCE > 0) != want || (i.BytesDeliveredCE > 0) != want || (info.Delivered_ce > 0) != want {
		t.Errorf("ECN is wanted: %v", want)
	}
}

// checkECN reads the capture, which has what we send before it is marked, and
// what the kernel sends after.
func checkECN(t *testing.T, segments []segment, m *marker, want bool) {
	t.Helper()
	var echoes, reductions [2]int // of ours and of the kernel's
	var next uint32               // behind our highest text
	for i, s := range segments {
		side := 0
		if !s.ours {
			side = 1
		}
		if s.SYN {
			if s.ecn != ip.NotECT {
				t.Errorf("segment %d, %v: a SYN is %v", i, s, s.ecn)
			}
			if want && (!s.ECE || s.CWR == s.ACK) {
				t.Errorf("segment %d, %v: ECE %v, CWR %v", i, s, s.ECE, s.CWR)
			}
			if s.ours {
				next = s.Seq + 1
			}
			continue
		}
		if s.ECE {
			echoes[side]++
		}
		if s.CWR {
			reductions[side]++
		}
		if !s.ours {
			continue
		}
		expect := ip.NotECT
		if end := s.Seq + uint32(len(s.Payload)); len(s.Payload) > 0 && int32(end-next) > 0 {
			next = end
			if want {
				expect = ip.ECT0
			}
		} else if s.CWR {
			t.Errorf("segment %d, %v: CWR without new text", i, s)
		}
		if s.ecn != expect {
			t.Errorf("segment %d, %v with %d bytes is %v, want %v", i, s, len(s.Payload), s.ecn, expect)
		}
	}
	t.Logf("%d frames to us were marked: %d echoes of ours, %d CWR of the kernel's; %d to the kernel: %d echoes, %d CWR",
		m.toUs.Load(), echoes[0], reductions[1], m.toKernel.Load(), echoes[1], reductions[0])
	for _, n := range []int{int(m.toUs.Load()), int(m.toKernel.Load()), echoes[0], echoes[1], reductions[0], reductions[1]} {
		if (n > 0) != want {
			t.Errorf("ECN is wanted: %v", want)
		}
	}
}
