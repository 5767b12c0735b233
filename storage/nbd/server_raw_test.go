package nbd

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// A rawClient speaks to a server byte by byte, with the codec only.
type rawClient struct {
	t     testing.TB
	conn  net.Conn
	style headerStyle
	flags Flags
	size  uint64
}

// dialRaw gives the server one end of a pipe and reads its greeting at the other.
func dialRaw(t testing.TB, s *Server) *rawClient {
	t.Helper()
	near, far := net.Pipe()
	go s.ServeConn(far)
	t.Cleanup(func() { near.Close() })
	c := &rawClient{t: t, conn: near}
	c.hello(flagFixedNewstyle | flagNoZeroes)
	return c
}

func (c *rawClient) read(n int) []byte {
	c.t.Helper()
	b := make([]byte, n)
	c.conn.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.ReadFull(c.conn, b); err != nil {
		c.t.Fatalf("%d bytes were expected from the server: %v", n, err)
	}
	return b
}

func (c *rawClient) write(b []byte) {
	c.t.Helper()
	c.conn.SetWriteDeadline(time.Now().Add(time.Minute))
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatalf("writing %d bytes to the server: %v", len(b), err)
	}
}

// ends checks that the server closes the connection without another byte.
func (c *rawClient) ends(why string) {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(time.Minute))
	b, err := io.ReadAll(c.conn)
	if len(b) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Errorf("%s: the server sent %x, %v, and does not end the connection", why, b, err)
	}
}

func (c *rawClient) hello(flags uint32) {
	c.t.Helper()
	if got, err := parseGreeting(c.read(greetingSize)); err != nil || got != flagFixedNewstyle|flagNoZeroes {
		c.t.Fatalf("handshake flags %#x, %v", got, err)
	}
	c.write([]byte{0, 0, 0, byte(flags)})
}

// A rawReply is one reply to an option.
type rawReply struct {
	typ  replyType
	data []byte
}

// option sends an option and reads all replies to it.
func (c *rawClient) option(o option, data []byte) (replies []rawReply) {
	c.t.Helper()
	c.write(appendOption(nil, o, data))
	for {
		h, err := parseOptionReply(c.read(optionReplySize))
		if err != nil || h.option != o || h.length > 1<<20 {
			c.t.Fatalf("%v is answered by %+v, %v", o, h, err)
		}
		replies = append(replies, rawReply{h.typ, c.read(int(h.length))})
		if h.typ == repAck || h.typ.isError() {
			return replies
		}
	}
}

// last is the last reply to an option.
func (c *rawClient) last(o option, data []byte) replyType {
	c.t.Helper()
	replies := c.option(o, data)
	return replies[len(replies)-1].typ
}

// negotiate asks for a style of headers, for base:allocation if contexts is set,
// and for the export.
func (c *rawClient) negotiate(style headerStyle, name string, contexts ...string) {
	c.t.Helper()
	switch style {
	case headersStructured:
		c.want(optStructuredReply, nil, repAck)
	case headersExtended:
		c.want(optExtendedHeaders, nil, repAck)
	}
	c.style = style
	if len(contexts) > 0 {
		c.want(optSetMetaContext, appendMetaRequest(nil, metaRequest{name, contexts}), repAck)
	}
	for _, r := range c.option(optGo, appendInfoRequest(nil, infoRequest{name: name})) {
		if r.typ == repInfo {
			if i, err := parseInfo(r.data); err == nil && i.typ == infoExport {
				c.size, c.flags = i.size, i.flags
			}
		} else if r.typ != repAck {
			c.t.Fatalf("GO %q: %v %s", name, r.typ, r.data)
		}
	}
}

func (c *rawClient) want(o option, data []byte, want replyType) {
	c.t.Helper()
	if got := c.last(o, data); got != want {
		c.t.Errorf("%v is answered by %v, want %v", o, got, want)
	}
}

// send sends a request and its payload.
func (c *rawClient) send(r request, payload []byte) {
	c.t.Helper()
	c.write(append(appendRequest(nil, r, c.style), payload...))
}

// An answer is a whole reply to a request.
type answer struct {
	cookie uint64
	errno  Errno
	chunks []chunk
	data   map[uint64][]byte // OFFSET_DATA by offset
	holes  map[uint64]uint32
	status map[uint32][]descriptor
	offset uint64 // of ERROR_OFFSET
}

// receive reads a whole reply, of a READ of length bytes if that is not 0. The
// chunks of one reply must not be mixed with others here.
func (c *rawClient) receive(length int) (a answer) {
	c.t.Helper()
	a.data, a.holes, a.status = map[uint64][]byte{}, map[uint64]uint32{}, map[uint32][]descriptor{}
	for {
		b := c.read(simpleReplySize)
		n, simple, err := replyHeaderSize(b, c.style)
		if err != nil {
			c.t.Fatal(err)
		}
		b = append(b, c.read(n-simpleReplySize)...)
		if simple {
			r, err := parseSimpleReply(b)
			if err != nil {
				c.t.Fatal(err)
			}
			a.cookie, a.errno = r.cookie, r.errno
			if a.errno == 0 && length > 0 {
				a.data[0] = c.read(length)
			}
			return a
		}
		ch, err := parseChunk(b, c.style)
		if err != nil || ch.length > 64<<20 {
			c.t.Fatalf("chunk %+v, %v", ch, err)
		}
		a.cookie = ch.cookie
		a.chunks = append(a.chunks, ch)
		a.take(c, ch, c.read(int(ch.length)))
		if ch.done() {
			return a
		}
	}
}

func (a *answer) take(c *rawClient, ch chunk, payload []byte) {
	c.t.Helper()
	var err error
	switch ch.typ {
	case chunkNone:
	case chunkOffsetData:
		a.data[uint64(payload[7])|uint64(payload[6])<<8|uint64(payload[5])<<16|uint64(payload[4])<<24|uint64(payload[3])<<32] = payload[8:]
	case chunkOffsetHole:
		var off uint64
		var n uint32
		off, n, err = parseOffsetHole(payload)
		a.holes[off] = n
	case chunkBlockStatus, chunkBlockStatusExtended:
		var id uint32
		var ds []descriptor
		id, ds, err = parseBlockStatus(payload, nil, c.style)
		if ch.typ != c.style.blockStatusChunk() {
			c.t.Errorf("status by a chunk of type %d", ch.typ)
		}
		a.status[id] = ds
	default:
		var f chunkFailure
		f, err = parseError(payload, ch.typ)
		a.errno, a.offset = f.errno, f.offset
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// do sends a request and checks the error of its reply.
func (c *rawClient) do(r request, payload []byte, want Errno) answer {
	c.t.Helper()
	c.send(r, payload)
	n := 0
	if r.cmd == cmdRead {
		n = int(r.length)
	}
	a := c.receive(n)
	if a.cookie != r.cookie || a.errno != want {
		c.t.Errorf("%v of %d bytes at %d with flags %v: cookie %d, error %d, want %d, %d", r.cmd, r.length, r.offset, r.flags, a.cookie, a.errno, r.cookie, want)
	}
	return a
}

// alive checks that the connection still serves: it reads what it writes.
func (c *rawClient) alive() {
	c.t.Helper()
	text := []byte("is it still there")
	var flags commandFlags
	if c.style == headersExtended {
		flags = cmdFlagPayloadLen
	}
	c.do(request{flags, cmdWrite, 77, 4000, uint64(len(text))}, text, 0)
	a := c.do(request{0, cmdRead, 78, 4000, uint64(len(text))}, nil, 0)
	for _, data := range a.data {
		if !bytes.Equal(data, text) {
			c.t.Errorf("read %q, want %q", data, text)
		}
	}
}

// A scriptDevice is a Memory whose calls a test can hold and make fail.
type scriptDevice struct {
	*block.Memory
	mu     sync.Mutex
	before func(op string, off int64) error
	calls  []string
}

func (d *scriptDevice) Immediate() bool { return false }

func (d *scriptDevice) call(op string, off int64) error {
	d.mu.Lock()
	d.calls = append(d.calls, op)
	f := d.before
	d.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(op, off)
}

func (d *scriptDevice) ReadAt(p []byte, off int64) (int, error) {
	if err := d.call("read", off); err != nil {
		return 0, err
	}
	return d.Memory.ReadAt(p, off)
}

func (d *scriptDevice) WriteAt(p []byte, off int64) (int, error) {
	if err := d.call("write", off); err != nil {
		return 0, err
	}
	return d.Memory.WriteAt(p, off)
}

func (d *scriptDevice) WriteAtFUA(p []byte, off int64) (int, error) {
	if err := d.call("write FUA", off); err != nil {
		return 0, err
	}
	return d.Memory.WriteAt(p, off)
}

func (d *scriptDevice) Sync() error { return d.call("sync", 0) }

func (d *scriptDevice) Trim(off, length int64) error {
	if err := d.call("trim", off); err != nil {
		return err
	}
	return d.Memory.Trim(off, length)
}

func (d *scriptDevice) WriteZeroes(off, length int64, flags block.ZeroFlags) error {
	op := "zero"
	if flags&block.ZeroNoHole != 0 {
		op += " no hole"
	}
	if flags&block.ZeroFast != 0 {
		op += " fast"
	}
	if flags&block.ZeroFUA != 0 {
		op += " FUA"
	}
	if err := d.call(op, off); err != nil {
		return err
	}
	return d.Memory.WriteZeroes(off, length, flags)
}

func (d *scriptDevice) Prefetch(off, length int64) error { return d.call("prefetch", off) }

// newScript is a device of 1 MiB.
func newScript() *scriptDevice { return &scriptDevice{Memory: block.NewMemory(1 << 20)} }

// newServer serves the devices by the names "a", "b" and so on.
func newServer(t testing.TB, devices ...block.Device) *Server {
	t.Helper()
	s := &Server{}
	for i, d := range devices {
		if err := s.Add(Export{Name: string(rune('a' + i)), Device: d}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}
