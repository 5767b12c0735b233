package nbd

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
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

// TestServerGoNet serves over two stacks of ours, in virtual time, joined by a link
// that loses, doubles and reorders frames, and holds random requests, many at once,
// against a model.
func TestServerGoNet(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := link.Pipe(link.PipeConfig{})
				near = link.Impair(near, link.Impairment{Rate: 100e6, Delay: time.Millisecond, Loss: 0.02, Duplicate: 0.01, Reorder: 0.02, Seed: seed})
				stack := func(l link.Link, addr string, seed byte) *gonet.Stack {
					s, err := gonet.New(gonet.Config{Link: l, Addr: netip.MustParsePrefix(addr), Rand: bytesOf(seed)})
					if err != nil {
						t.Fatal(err)
					}
					return s
				}
				a, b := stack(near, "10.0.0.1/24", 1), stack(far, "10.0.0.2/24", 2)
				defer a.Close()
				defer b.Close()
				l, err := b.Listen("tcp", ":10809")
				if err != nil {
					t.Fatal(err)
				}
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
