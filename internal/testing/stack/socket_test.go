package stack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/tcp"
)

// full returns both ends of a connection on which a write waits.
func (p pair) full(t *testing.T) (writer, reader *tcp.Conn) {
	writer, reader = p.connect(t)
	writer.SetWriteDeadline(time.Now().Add(time.Minute))
	if n, err := writer.Write(make([]byte, 10_000_000)); !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 {
		t.Fatalf("%d bytes were written, %v", n, err)
	}
	writer.SetWriteDeadline(time.Time{})
	return writer, reader
}

func TestWakeTCP(t *testing.T) {
	read := func(c *tcp.Conn) func() error {
		return func() error { _, err := c.Read(make([]byte, 1)); return err }
	}
	write := func(c *tcp.Conn) func() error {
		return func() error { _, err := c.Write(make([]byte, 10_000_000)); return err }
	}
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		c, silent := p.full(t)
		wakes(t, read(c), expire(c.SetReadDeadline), os.ErrDeadlineExceeded)
		wakes(t, write(c), expire(c.SetWriteDeadline), os.ErrDeadlineExceeded)
		c.SetDeadline(time.Time{})
		wakes(t, func() error { _, err := io.Copy(io.Discard, c); return err }, expire(c.SetDeadline), os.ErrDeadlineExceeded)
		c.SetDeadline(time.Time{})
		wakes(t, func() error { _, err := c.ReadFrom(bytes.NewReader(make([]byte, 10_000_000))); return err },
			expire(c.SetDeadline), os.ErrDeadlineExceeded)
		c.SetDeadline(time.Time{})

		wakes(t, func() error {
			written := make(chan error)
			go func() { written <- write(c)() }()
			err := read(c)()
			if other := <-written; !errors.Is(other, net.ErrClosed) {
				t.Errorf("write: %v", other)
			}
			return err
		}, func() { c.Close() }, net.ErrClosed)
		silent.Close()
	})
}

func TestWakeAccept(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		l := listen(t, p.b, ":80")
		accept := func() error { _, err := l.Accept(); return err }
		wakes(t, accept, expire(l.SetDeadline), os.ErrDeadlineExceeded)
		l.SetDeadline(time.Time{})
		wakes(t, accept, func() { l.Close() }, net.ErrClosed)
		l = listen(t, p.b, ":80")
		wakes(t, accept, func() { p.b.Close() }, net.ErrClosed)
	})
}

func TestWakeDial(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		ctx, cancel := context.WithCancel(t.Context())
		dial := func() error { _, err := p.a.DialContext(ctx, "tcp", "10.0.0.3:80"); return err }
		wakes(t, dial, cancel, context.Canceled)
		if err := dial(); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that is cancelled: %v", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := dial(); !errors.Is(err, context.DeadlineExceeded) || !isTimeout(err) {
			t.Errorf("after the context's deadline: %v", err)
		}
		ctx = t.Context()
		wakes(t, dial, func() { p.a.Close() }, net.ErrClosed)
		if err := dial(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after the end of the stack: %v", err)
		}
	})
}

// A deadline that passes by itself wakes at its instant, and can be moved
// while a call waits.
func TestDeadlinePasses(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		c, silent := p.connect(t)
		defer silent.Close()
		defer c.Close()
		start := time.Now()
		c.SetReadDeadline(start.Add(time.Second))
		if _, err := c.Read(make([]byte, 1)); !isTimeout(err) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if _, err := c.Write([]byte("x")); err != nil {
			t.Errorf("the read deadline is none of writes: %v", err)
		}
		c.SetReadDeadline(time.Time{})
		silent.Write([]byte("y"))
		if n, err := c.Read(make([]byte, 10)); n != 1 || err != nil {
			t.Errorf("after the deadline was taken away: %d, %v", n, err)
		}
	})
}

func TestEOF(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		ca, cb := p.connect(t)
		defer ca.Close()
		defer cb.Close()
		ca.Write([]byte("last words"))
		if err := ca.CloseWrite(); err != nil {
			t.Error(err)
		}
		got := make([]byte, 100)
		if n, err := cb.Read(got); string(got[:n]) != "last words" || err != nil {
			t.Errorf("%q, %v", got[:n], err)
		}
		for range 2 {
			if n, err := cb.Read(got); n != 0 || err != io.EOF {
				t.Errorf("at the end: %d, %v; want io.EOF itself", n, err)
			}
		}
		if _, err := cb.Write([]byte("an answer")); err != nil {
			t.Errorf("a write to a peer that has closed for writing: %v", err)
		}
		if n, err := ca.Read(got); string(got[:n]) != "an answer" || err != nil {
			t.Errorf("%q, %v", got[:n], err)
		}
	})
}

func TestCloseRead(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		ca, cb := p.connect(t)
		wakes(t, func() error { _, err := ca.Read(make([]byte, 1)); return err }, func() { ca.CloseRead() }, io.EOF)
		if n, err := cb.Write(make([]byte, 10_000_000)); err != nil { // more than any window
			t.Errorf("%d bytes to a peer that does not read: %v", n, err)
		}
		ca.Write([]byte("still here"))
		got := make([]byte, 100)
		if n, err := cb.Read(got); string(got[:n]) != "still here" || err != nil {
			t.Errorf("%q, %v", got[:n], err)
		}
		ca.Close()
		cb.Close()
	})
}

func TestZeroLength(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		ca, cb := p.connect(t)
		for range 2 {
			if n, err := ca.Write(nil); n != 0 || err != nil {
				t.Errorf("Write(nil): %d, %v", n, err)
			}
			if n, err := cb.Read(nil); n != 0 || err != nil {
				t.Errorf("Read(nil): %d, %v", n, err)
			}
		}
		ca.Close()
		if _, err := ca.Write(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write(nil) after Close: %v", err)
		}
		cb.Close()
	})
}

func TestLingerZero(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		writer, reader := p.full(t)
		writer.SetLinger(0)
		start := time.Now()
		writer.Close()
		synctest.Wait()
		if n := len(p.a.Connections()); n != 0 || time.Since(start) != 0 {
			t.Errorf("%d connections are left after %v", n, time.Since(start))
		}
		if n := p.a.Stats()["tcp.OutResets"]; n == 0 {
			t.Error("no reset was sent")
		}
		if _, err := io.Copy(io.Discard, reader); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the peer reads: %v", err)
		}
		reader.Close()
	})
}

func TestLinger(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		writer, reader := p.full(t)
		writer.SetLinger(10)
		start := time.Now()
		writer.Close()
		synctest.Wait()
		resets := p.a.Stats()["tcp.OutResets"]
		if d := time.Since(start); d != 10*time.Second || resets == 0 {
			t.Errorf("Close with a peer that does not read took %v, with %d resets", d, p.a.Stats()["tcp.OutResets"])
		}
		reader.Close()

		writer, reader = p.full(t)
		writer.SetLinger(10)
		start = time.Now()
		go func() {
			time.Sleep(5 * time.Second)
			io.Copy(io.Discard, reader)
			reader.Close()
		}()
		writer.Close()
		synctest.Wait()
		if d := time.Since(start); d < 5*time.Second || d > 6*time.Second || p.a.Stats()["tcp.OutResets"] != resets {
			t.Errorf("Close with a peer that reads after 5 s took %v, with %d resets", d, p.a.Stats()["tcp.OutResets"]-resets)
		}
	})
}

// What was written before Close arrives, and the peer then reads io.EOF.
func TestCloseDelivers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		ca, cb := p.connect(t)
		want := payload(1_500_000)
		ca.SetWriteBuffer(2 << 20)
		if _, err := ca.Write(want); err != nil {
			t.Fatal(err)
		}
		ca.Close()
		time.Sleep(10 * time.Second)
		if got, err := io.ReadAll(cb); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d of %d bytes arrived, %v", len(got), len(want), err)
		}
		cb.Close()
	})
}

// Reading after the peer has closed and the connection has ended
// returns what had arrived.
func TestReadAfterEnd(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		ca, cb := p.connect(t)
		want := payload(100_000)
		cb.Write(want)
		cb.CloseWrite()
		ca.CloseWrite()
		time.Sleep(time.Second)
		if got, err := io.ReadAll(ca); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d of %d bytes were read, %v", len(got), len(want), err)
		}
		ca.Close()
		cb.Close()
	})
}

func TestCopy(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		ca, cb := p.connect(t)
		var _ interface {
			io.ReaderFrom
			io.WriterTo
		} = ca
		want := payload(3_000_000)
		go func() {
			// The reader has no WriterTo, so that io.Copy asks ca.
			if n, err := io.Copy(ca, struct{ io.Reader }{bytes.NewReader(want)}); n != int64(len(want)) || err != nil {
				t.Errorf("Copy to the connection: %d, %v", n, err)
			}
			ca.CloseWrite()
		}()
		var got bytes.Buffer
		if n, err := io.Copy(struct{ io.Writer }{&got}, cb); n != int64(len(want)) || err != nil {
			t.Errorf("Copy from the connection: %d, %v", n, err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Error("other bytes came than were sent")
		}
		broken := errors.New("broken")
		cb.Write([]byte("x"))
		if _, err := io.Copy(failing{broken}, ca); !errors.Is(err, broken) {
			t.Errorf("Copy to a writer that fails: %v", err)
		}
		if _, err := io.Copy(cb, io.MultiReader(bytes.NewReader(want[:10]), failing{broken})); !errors.Is(err, broken) {
			t.Errorf("Copy from a reader that fails: %v", err)
		}
		ca.Close()
		cb.Close()
	})
}

// failing is a reader and a writer that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

// Many goroutines may write and read one connection. Each Write goes out
// whole, as in package net.
func TestConcurrentUse(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		ca, cb := p.connect(t)
		const writers, size = 8, 3_000_000 // more than the send buffer, so that writes wait
		done := make(chan bool)
		for i := range writers {
			go func() {
				if _, err := ca.Write(bytes.Repeat([]byte{byte('a' + i)}, size)); err != nil {
					t.Error(err)
				}
				done <- true
			}()
		}
		go func() {
			for range writers {
				<-done
			}
			ca.CloseWrite()
		}()
		got, err := io.ReadAll(cb)
		if err != nil || len(got) != writers*size {
			t.Fatalf("%d bytes arrived, %v", len(got), err)
		}
		for i := 0; i < len(got); i += size {
			if !bytes.Equal(got[i:i+size], bytes.Repeat(got[i:i+1], size)) {
				t.Errorf("the write of %q is mixed with others", got[i])
				break
			}
		}
		ca.Close()
		cb.Close()
	})
}

func TestConcurrentReaders(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		ca, cb := p.connect(t)
		const readers, size = 8, 1_000_000
		counts := make(chan int)
		for range readers {
			go func() {
				n, p := 0, make([]byte, 1000)
				for {
					m, err := cb.Read(p)
					n += m
					if err != nil {
						counts <- n
						return
					}
				}
			}()
		}
		ca.Write(make([]byte, size))
		ca.Close()
		n := 0
		for range readers {
			n += <-counts
		}
		if n != size {
			t.Errorf("%d readers got %d bytes, want %d", readers, n, size)
		}
		cb.Close()
	})
}
