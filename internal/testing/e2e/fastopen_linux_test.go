package e2e

import (
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/tcp"
)

// TestFastOpenClient: RFC7413-4.2.1, RFC7413-4.2.2: the stack dials a server of the kernel's
// twice; the second SYN carries the request, and the kernel takes it.
func TestFastOpenClient(t *testing.T) {
	h := fastOpenHost(t)
	h.kernelAnswers(t)
	for i := range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		c, err := h.DialFastOpen(ctx, "tcp", kernel+":7", []byte(question))
		must(t, err)
		must(t, c.SetDeadline(time.Now().Add(5*time.Second)))
		got, err := io.ReadAll(c)
		must(t, err)
		if string(got) != reply || c.Info().FastOpen != (i == 1) {
			t.Errorf("connection %d: %q, Fast Open %v", i, got, c.Info().FastOpen)
		}
		must(t, c.Close())
	}
	h.checkFastOpen(t, true)
}

// TestFastOpenServer: RFC7413-4.2.2: a client of the kernel's dials the stack
// twice; the second SYN carries the request, and the stack takes it.
func TestFastOpenServer(t *testing.T) {
	h := fastOpenHost(t)
	l, err := h.Listen("tcp", ":7")
	must(t, err)
	defer l.Close()
	must(t, l.(*tcp.Listener).SetFastOpen(16))
	early := make(chan bool, 2)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			early <- c.(*tcp.Conn).Info().FastOpen
			answer(c)
		}
	}()
	for i := range 2 {
		must(t, h.ns.Do(func() error { return kernelFastOpen(t) }))
		if got := <-early; got != (i == 1) {
			t.Errorf("connection %d: Fast Open %v", i, got)
		}
	}
	h.checkFastOpen(t, false)
}

const reply = "and its answer"

// question is longer than a segment for a peer whose MSS is not known.
var question = strings.Repeat("a question ", 120)

func fastOpenHost(t *testing.T) *host {
	h := newHost(t, cable{})
	must(t, h.ns.Sysctl("net.ipv4.tcp_fastopen", "3"))
	return h
}

// answerAll serves one connection after the other.
func answerAll(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		answer(c)
	}
}

// answer serves one connection.
func answer(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadFull(c, make([]byte, len(question))); err == nil {
		c.Write([]byte(reply))
	}
}

// kernelAnswers has a socket of the kernel's listen, with Fast Open.
func (h *host) kernelAnswers(t *testing.T) {
	t.Helper()
	listener := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 16) })
		if err == nil {
			err = e
		}
		return err
	}}
	must(t, h.ns.Do(func() error {
		l, err := listener.Listen(t.Context(), "tcp", kernel+":7")
		if err == nil {
			t.Cleanup(func() { l.Close() })
			go answerAll(l)
		}
		return err
	}))
}

// kernelFastOpen asks the stack with a socket of the kernel's.
func kernelFastOpen(t *testing.T) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &unix.Timeval{Sec: 5}); err != nil {
			return err
		}
	}
	to := &unix.SockaddrInet4{Port: 7, Addr: netip.MustParseAddr(ours).As4()}
	if err := unix.Sendto(fd, []byte(question), unix.MSG_FASTOPEN, to); err != nil {
		return err
	}
	var got []byte
	for buf := make([]byte, 100); ; {
		n, err := unix.Read(fd, buf)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		got = append(got, buf[:n]...)
	}
	if string(got) != reply {
		t.Errorf("the kernel has read %q", got)
	}
	return nil
}

// checkFastOpen reads the capture: the first SYN asks for a cookie, the second
// has it with the question, and the answer to that acknowledges both.
func (h *host) checkFastOpen(t *testing.T, weDial bool) {
	t.Helper()
	h.Close()
	const kind = layers.TCPOptionKind(34)
	var syns, synACKs []segment
	for _, s := range readTCP(t, h.capture.file.Name()) {
		switch {
		case s.SYN && s.ACK && s.ours != weDial:
			synACKs = append(synACKs, s)
		case s.SYN && !s.ACK && s.ours == weDial:
			syns = append(syns, s)
		}
	}
	if len(syns) != 2 || len(synACKs) != 2 {
		t.Fatalf("%d SYNs, %d answers", len(syns), len(synACKs))
	}
	first, given, second := syns[0].option(kind), synACKs[0].option(kind), syns[1].option(kind)
	if first == nil || len(first.OptionData) != 0 || len(syns[0].Payload) != 0 {
		t.Errorf("the first SYN has option %v, text %q", first, syns[0].Payload)
	}
	if given == nil || len(given.OptionData) < 4 {
		t.Fatalf("its answer has option %v", given)
	}
	if second == nil || string(second.OptionData) != string(given.OptionData) || string(syns[1].Payload) != question {
		t.Errorf("the second SYN has option %v, text %q", second, syns[1].Payload)
	}
	if acked := synACKs[1].Ack - syns[1].Seq; acked != uint32(1+len(question)) {
		t.Errorf("its answer acknowledges %d", acked)
	}
}
