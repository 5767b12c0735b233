package nbd

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/storage/block"
)

// A bytesOf is an endless reader of one byte: randomness that can be repeated.
type bytesOf byte

func (b bytesOf) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

// newStack makes a stack that repeats itself.
func newStack(t testing.TB, l link.Link, addr string, seed byte) *gonet.Stack {
	t.Helper()
	s, err := gonet.New(gonet.Config{Link: l, Addr: netip.MustParsePrefix(addr), Rand: bytesOf(seed)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// lossyStacks are two stacks, joined by a link that loses, doubles and reorders frames;
// the second, 10.0.0.2, listens.
func lossyStacks(t *testing.T, seed uint64) (*gonet.Stack, net.Listener) {
	t.Helper()
	near, far := link.Pipe(link.PipeConfig{})
	near = link.Impair(near, link.Impairment{Rate: 100e6, Delay: time.Millisecond, Loss: 0.02, Duplicate: 0.01, Reorder: 0.02, Seed: seed})
	a, b := newStack(t, near, "10.0.0.1/24", 1), newStack(t, far, "10.0.0.2/24", 2)
	t.Cleanup(func() { a.Close(); b.Close() })
	l, err := b.Listen("tcp", ":10809")
	if err != nil {
		t.Fatal(err)
	}
	return a, l
}

// TestServerGoNet serves over two stacks of ours, in virtual time, joined by a link
// that loses, doubles and reorders frames, and holds random requests, many at once,
// against a model.
func TestServerGoNet(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, l := lossyStacks(t, seed)
				s := newServer(t, waiting{block.NewMemory(1 << 20)})
				served := make(chan error)
				go func() { served <- s.Serve(l) }()
				conn, err := a.Dial("tcp", "10.0.0.2:10809")
				if err != nil {
					t.Fatal(err)
				}
				c := &rawClient{t: t, conn: conn}
				c.hello(flagFixedNewstyle)
				c.negotiate(styles[seed], "a")
				randomRequests(c, rand.New(rand.NewPCG(seed, 1)))
				if err := s.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				if err := <-served; !errors.Is(err, ErrServerClosed) {
					t.Error(err)
				}
				conn.Close()
			})
		})
	}
}

// trains counts the frames with text that a card sends, and how long the longest was.
type trains struct{ frames, longest atomic.Int64 }

func (c *trains) Record(r link.Record) error {
	const headers = 14 + 20 + 32 // with timestamps
	if text := int64(len(r.Frame) - headers); r.Sent && text > 0 {
		c.frames.Add(1)
		c.longest.Store(max(c.longest.Load(), text))
	}
	return nil
}

func (c *trains) Flush() error { return nil }

// TestServerGoNetTrains looks how replies leave a stack of ours: header and payload of
// one together, as one frame of many segments.
func TestServerGoNetTrains(t *testing.T) {
	for style := headersSimple; style <= headersExtended; style++ {
		synctest.Test(t, func(t *testing.T) {
			near, far := link.Pipe(link.PipeConfig{})
			var sent trains
			a, b := newStack(t, near, "10.0.0.1/24", 1), newStack(t, link.Tee(far, nil, &sent), "10.0.0.2/24", 2)
			defer a.Close()
			defer b.Close()
			l, err := b.Listen("tcp", ":10809")
			if err != nil {
				t.Fatal(err)
			}
			s := newServer(t, block.NewMemory(1<<20))
			defer s.Close()
			go s.Serve(l)
			conn, err := a.Dial("tcp", "10.0.0.2:10809")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			c := &rawClient{t: t, conn: conn}
			c.hello(flagFixedNewstyle)
			c.negotiate(style, "a")
			const length = 60000
			for i := range 20 {
				time.Sleep(time.Second)
				sent.frames.Store(0)
				sent.longest.Store(0)
				c.do(request{cmdFlagDF * commandFlags(min(style, 1)), cmdRead, uint64(i), 0, length}, nil, 0)
				synctest.Wait()
				// The first replies are longer than the congestion window.
				if n := sent.frames.Load(); i > 5 && n != 1 || sent.longest.Load() < 1000 {
					t.Errorf("headers %d, reply %d of %d bytes left in %d frames, of at most %d bytes", style, i, length, n, sent.longest.Load())
				}
			}
		})
	}
}

// BenchmarkServerGoNet reads by a client, over two stacks joined by a cable in memory.
func BenchmarkServerGoNet(b *testing.B) {
	for _, length := range []int{4 << 10, 256 << 10} {
		b.Run(fmt.Sprint(length), func(b *testing.B) {
			near, far := link.Pipe(link.PipeConfig{})
			x, y := newStack(b, near, "10.0.0.1/24", 1), newStack(b, far, "10.0.0.2/24", 2)
			defer x.Close()
			defer y.Close()
			l, err := y.Listen("tcp", ":10809")
			if err != nil {
				b.Fatal(err)
			}
			m := block.NewMemory(16 << 20)
			for off := int64(0); off < 16<<20; off += 64 << 10 {
				if _, err := m.WriteAt([]byte{1}, off); err != nil {
					b.Fatal(err)
				}
			}
			s := newServer(b, m)
			defer s.Close()
			go s.Serve(l)
			c, err := (&Dialer{DialContext: x.DialContext}).Dial(b.Context(), "nbd://10.0.0.2/a")
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			b.SetBytes(int64(length))
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				p := make([]byte, length)
				for i := 0; pb.Next(); i++ {
					if _, err := c.ReadAt(p, int64(i%32)*int64(length)); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// randomRequests sends rounds of requests whose ranges do not overlap, takes their
// replies in whatever order they come, and compares with a model.
func randomRequests(c *rawClient, r *rand.Rand) {
	c.t.Helper()
	model := make([]byte, 1<<20)
	for range 40 {
		var requests []request
		var stream []byte
		for off := 0; off < len(model) && len(requests) < 20; {
			q := request{0, []command{cmdRead, cmdRead, cmdWrite, cmdWriteZeroes}[r.IntN(4)], uint64(len(requests)), uint64(off), uint64(1 + r.IntN(min(20000, len(model)-off)))}
			off += int(q.length) + r.IntN(60000)
			part := model[q.offset : q.offset+q.length]
			switch q.cmd {
			case cmdWrite:
				q.flags = c.writeFlag()
				payload := bytes.Repeat([]byte{byte(r.Uint32())}, int(q.length))
				copy(part, payload)
				stream = append(appendRequest(stream, q, c.style), payload...)
			case cmdWriteZeroes:
				clear(part)
				fallthrough
			default:
				stream = appendRequest(stream, q, c.style)
			}
			requests = append(requests, q)
		}
		sent := make(chan error, 1)
		go func() {
			_, err := c.conn.Write(stream)
			sent <- err
		}()
		receiveAll(c, requests, model)
		if err := <-sent; err != nil {
			c.t.Fatal(err)
		}
	}
}

// receiveAll takes the replies of all requests. Simple replies do not tell whether
// data follows: the cookie does.
func receiveAll(c *rawClient, requests []request, model []byte) {
	c.t.Helper()
	pending := slices.Clone(requests)
	for len(pending) > 0 {
		b := c.read(simpleReplySize)
		n, simple, err := replyHeaderSize(b, c.style)
		if err != nil {
			c.t.Fatal(err)
		}
		b = append(b, c.read(n-simpleReplySize)...)
		cookie, errno, last := uint64(0), Errno(0), true
		var payload []byte
		var typ chunkType
		if simple {
			reply, _ := parseSimpleReply(b)
			cookie, errno = reply.cookie, reply.errno
		} else {
			ch, err := parseChunk(b, c.style)
			if err != nil {
				c.t.Fatal(err)
			}
			cookie, last, typ, payload = ch.cookie, ch.done(), ch.typ, c.read(int(ch.length))
		}
		at := slices.IndexFunc(pending, func(q request) bool { return q.cookie == cookie })
		if at < 0 || errno != 0 || typ.isError() {
			c.t.Fatalf("a reply to %d with error %d, chunk %d", cookie, errno, typ)
		}
		q := pending[at]
		switch {
		case simple && q.cmd == cmdRead:
			payload = append(make([]byte, 8), c.read(int(q.length))...)
			fallthrough
		case typ == chunkOffsetData:
			if !bytes.Equal(payload[8:], model[q.offset:q.offset+q.length]) {
				c.t.Fatalf("the %d bytes at %d are not what was written", q.length, q.offset)
			}
		}
		if last {
			pending = slices.Delete(pending, at, at+1)
		}
	}
}
