package input

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/storage/internal/buffers"
)

const testSize = 4096

// pairs are connections of each kind: sockets, and one that is none.
func pairs(t *testing.T) map[string][2]net.Conn {
	t.Helper()
	all := map[string][2]net.Conn{}
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": t.TempDir() + "/s"} {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		near, err := net.Dial(network, l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		far, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		all[network] = [2]net.Conn{near, far}
	}
	near, far := net.Pipe()
	all["pipe"] = [2]net.Conn{near, far}
	for _, p := range all {
		t.Cleanup(func() { p[0].Close(); p[1].Close() })
	}
	return all
}

// Whatever the calls, and the pieces in which the bytes come, they are those that were
// sent, in their order, and at the end of the stream that is told.
func TestReader(t *testing.T) {
	for name, p := range pairs(t) {
		random := rand.New(rand.NewPCG(1, 2))
		sent := make([]byte, 2<<20)
		for i := range sent {
			sent[i] = byte(random.Uint32())
		}
		go func() {
			pieces := rand.New(rand.NewPCG(3, 4))
			for rest := sent; len(rest) > 0; {
				n := min(len(rest), 1+pieces.IntN(1<<pieces.IntN(17)))
				p[0].Write(rest[:n])
				rest = rest[n:]
			}
			p[0].Close()
		}()
		in := New(p[1], &buffers.Pool{}, testSize)
		at := 0
		check := func(got []byte, call string) {
			if !bytes.Equal(got, sent[at:at+len(got)]) {
				t.Fatalf("%s: %s of %d bytes at %d gives others", name, call, len(got), at)
			}
		}
		for at < len(sent) {
			left := len(sent) - at
			n := min(left, 1+random.IntN(1<<random.IntN(16)))
			switch random.IntN(4) {
			case 0:
				n = min(n, testSize)
				b, err := in.Peek(n)
				if err != nil {
					t.Fatal(err)
				}
				check(b, "Peek")
				n = 0
			case 1:
				if _, err := in.Discard(n); err != nil {
					t.Fatal(err)
				}
			case 2:
				b := make([]byte, n)
				var err error
				if n, err = in.Read(b); err != nil {
					t.Fatal(err)
				}
				check(b[:n], "Read")
			case 3:
				b := make([]byte, n)
				cut := random.IntN(n + 1)
				if err := in.Payload([][]byte{b[:cut], b[cut:]}, min(64, testSize)); err != nil {
					t.Fatal(err)
				}
				check(b, "Payload")
			}
			at += n
		}
		if b, err := in.Peek(1); err != io.EOF || len(b) != 0 {
			t.Errorf("%s: at the end Peek gives %d bytes and %v", name, len(b), err)
		}
		if err := in.Payload([][]byte{make([]byte, 9000)}, 28); err != io.ErrUnexpectedEOF {
			t.Errorf("%s: at the end Payload gives %v", name, err)
		}
	}
}

// A part of a header and the end: Peek says how much there was, of every kind of
// connection and also behind a long payload.
func TestReaderEnd(t *testing.T) {
	for name, p := range pairs(t) {
		go func() {
			p[0].Write(make([]byte, 3*testSize+5))
			p[0].Close()
		}()
		in := New(p[1], &buffers.Pool{}, testSize)
		if err := in.Payload([][]byte{make([]byte, 3*testSize)}, 28); err != nil {
			t.Fatal(err)
		}
		if b, err := in.Peek(28); len(b) != 5 || err != io.EOF {
			t.Errorf("%s: %d bytes and %v, want 5 and the end", name, len(b), err)
		}
	}
}

// On a socket no buffer is held while the peer says nothing, and a deadline ends the
// wait.
func TestReaderIdle(t *testing.T) {
	for name, p := range pairs(t) {
		in := New(p[1], &buffers.Pool{}, testSize)
		go p[0].Write(make([]byte, 48))
		if _, err := in.Peek(48); err != nil {
			t.Fatal(err)
		}
		in.Discard(48)
		p[1].SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := in.Peek(48); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v, want a deadline", name, err)
		}
		if in.sock != nil && in.buf != nil {
			t.Errorf("%s: an idle reader holds a buffer", name)
		}
	}
}
