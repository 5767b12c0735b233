package nbd

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// Errors that end a link.
var (
	errStopped = errors.New("nbd: the link was stopped")
	errUnasked = errors.New("nbd: a reply to no request that is under way")
	errSilent  = errors.New("nbd: the server has answered nothing for too long")
)

// A clientLink is the transmission phase of one connection. Its processes are:
//
//   - the writer, who takes calls from the client's channel submit, gives each a slot
//     of the table, and writes it;
//   - the reader, who reads replies, finds the call in the table by the cookie, and
//     returns the slot.
//
// A cookie is a slot and a number that never comes again, so a second reply to one
// request is found out. The slot of a call that was given up stays taken until its
// reply has come. Neither process waits for anything but the connection, slots, and
// calls; the supervisor ends both by closing stop and the connection, waits for them,
// and then owns what is left in the table.
type clientLink struct {
	client *Client
	conn   net.Conn
	in     *bufio.Reader // the reader's
	out    *bufio.Writer // the writer's
	style  headerStyle
	ids    []uint32 // of meta contexts
	names  []string

	table []atomic.Pointer[call]
	slots chan uint16 // that are free
	seq   uint64      // the writer's
	head  []byte      // the writer's
	first []*call     // the writer's, from before a reconnect

	stop    chan struct{} // closed by the supervisor
	gentle  atomic.Bool   // DISC goes before the end
	ended   chan error    // of the writer and the reader
	sent    atomic.Uint64
	replies atomic.Uint64
	// What of them the supervisor saw at its last look.
	seen, seenSent uint64
}

func newLink(c *Client, o *opened) *clientLink {
	n := c.maxRequests()
	l := &clientLink{
		client: c, conn: o.conn, in: o.in, style: o.style, ids: o.ids, names: o.info.Contexts,
		out:   bufio.NewWriterSize(o.conn, clientInput),
		table: make([]atomic.Pointer[call], n),
		slots: make(chan uint16, n),
		stop:  make(chan struct{}),
		ended: make(chan error, 2),
	}
	for i := range n {
		l.slots <- uint16(i)
	}
	return l
}

// start starts the processes.
// lost is told when one has ended, and has room for both.
func (l *clientLink) start(lost chan<- struct{}) {
	run := func(process func() error) {
		l.ended <- process()
		lost <- struct{}{}
	}
	go run(l.write)
	go run(l.read)
}

// write is the writer. It owns out, seq, head and first, reads submit and slots,
// writes to the connection, and blocks in all of these but ends with stop.
func (l *clientLink) write() error {
	for {
		slot, err := l.slot()
		if err != nil {
			return err
		}
		k, err := l.next()
		if err != nil {
			return err
		}
		if err := l.send(k, slot); err != nil {
			return err
		}
	}
}

// slot takes a free slot. Before it waits it sends what is written.
func (l *clientLink) slot() (uint16, error) {
	select {
	case s := <-l.slots:
		return s, nil
	default:
	}
	if err := l.out.Flush(); err != nil {
		return 0, err
	}
	select {
	case s := <-l.slots:
		return s, nil
	case <-l.stop:
		return 0, l.farewell()
	}
}

// next takes a call. Before it waits it sends what is written.
func (l *clientLink) next() (*call, error) {
	if len(l.first) > 0 {
		k := l.first[0]
		l.first = l.first[1:]
		return k, nil
	}
	select {
	case k := <-l.client.submit:
		return k, nil
	default:
	}
	if err := l.out.Flush(); err != nil {
		return nil, err
	}
	select {
	case k := <-l.client.submit:
		return k, nil
	case <-l.stop:
		return nil, l.farewell()
	}
}

// farewell tells the server that the client goes, where it goes in peace.
func (l *clientLink) farewell() error {
	if l.gentle.Load() {
		l.conn.SetWriteDeadline(time.Now().Add(time.Second))
		l.seq++
		l.out.Write(appendRequest(l.head[:0], request{cmd: cmdDisc, cookie: l.seq << 16}, l.style))
		l.out.Flush()
	}
	return errStopped
}

// send publishes the call in the table and writes it.
func (l *clientLink) send(k *call, slot uint16) error {
	if k.state.Load() == callAbandoned {
		l.client.finish(k, errAbandoned)
		l.slots <- slot
		return nil
	}
	l.seq++
	k.req.cookie = l.seq<<16 | uint64(slot)
	k.req.flags &^= cmdFlagPayloadLen
	if l.style == headersExtended && k.req.cmd == cmdWrite {
		k.req.flags |= cmdFlagPayloadLen
	}
	k.reply.start(k.req, l.style, l.ids)
	k.statuses = k.statuses[:0]
	l.head = appendRequest(l.head[:0], k.req, l.style)
	k.holders.Store(2)
	l.table[slot].Store(k)
	l.sent.Add(1)
	_, err := l.out.Write(l.head)
	if err == nil && len(k.payload) > 0 {
		_, err = l.out.Write(k.payload)
	}
	l.release(k)
	return err
}

// release lets go of a call, for the writer or the reader.
func (l *clientLink) release(k *call) {
	if k.holders.Add(-1) == 0 {
		l.client.finish(k, k.answered())
	}
}

// read is the reader. It owns in, reads the connection, and blocks in nothing else.
func (l *clientLink) read() error {
	for {
		if err := l.readReply(); err != nil {
			return err
		}
	}
}

// readReply reads one simple reply or one chunk.
func (l *clientLink) readReply() error {
	b, err := l.in.Peek(4)
	if err != nil {
		return err
	}
	n, simple, err := replyHeaderSize(b, l.style)
	if err != nil {
		return err
	}
	if b, err = l.in.Peek(n); err != nil {
		return err
	}
	if simple {
		r, err := parseSimpleReply(b)
		if err != nil {
			return err
		}
		l.in.Discard(n)
		return l.simple(r)
	}
	c, err := parseChunk(b, l.style)
	if err != nil {
		return err
	}
	l.in.Discard(n)
	return l.chunk(c)
}

// find returns the call of a cookie.
func (l *clientLink) find(cookie uint64) (*call, error) {
	slot := cookie & 0xffff
	if slot >= uint64(len(l.table)) {
		return nil, errUnasked
	}
	k := l.table[slot].Load()
	if k == nil || k.req.cookie != cookie {
		return nil, errUnasked
	}
	return k, nil
}

// end checks that the reply is whole and takes the call out of the table. That the server
// is shutting down is a lost connection where the client can make another one; to one
// call, once.
func (l *clientLink) end(k *call) error {
	if err := k.reply.end(); err != nil {
		return err
	}
	if k.reply.errno == ESHUTDOWN && l.client.reconnecting() && !k.again {
		k.again = true
		return k.answered()
	}
	slot := uint16(k.req.cookie)
	l.table[slot].Store(nil)
	l.replies.Add(1)
	l.release(k)
	l.slots <- slot
	return nil
}

func (l *clientLink) simple(r simpleReply) error {
	k, err := l.find(r.cookie)
	if err != nil {
		return err
	}
	data, err := k.reply.simple(r.errno)
	if err != nil {
		return err
	}
	if data {
		if _, err := k.reply.fill(k.req.offset, k.req.length); err != nil {
			return err
		}
		if _, err := io.ReadFull(l.in, k.into); err != nil {
			return err
		}
	}
	return l.end(k)
}

func (l *clientLink) chunk(c chunk) error {
	k, err := l.find(c.cookie)
	if err != nil {
		return err
	}
	if err := k.reply.chunk(c); err != nil {
		return err
	}
	switch {
	case c.typ.isError():
		err = l.failure(k, c)
	case c.typ == chunkOffsetData:
		err = l.data(k, c)
	case c.typ == chunkOffsetHole:
		err = l.hole(k)
	case c.typ == chunkBlockStatus || c.typ == chunkBlockStatusExtended:
		err = l.status(k, c)
	}
	if err != nil || !c.done() {
		return err
	}
	return l.end(k)
}

// payload reads n bytes of a chunk into the call's scratch memory.
func (l *clientLink) payload(k *call, n int) ([]byte, error) {
	if cap(k.heads) < n {
		k.heads = make([]byte, n)
	}
	_, err := io.ReadFull(l.in, k.heads[:n])
	return k.heads[:n], err
}

func (l *clientLink) failure(k *call, c chunk) error {
	b, err := l.payload(k, int(c.length))
	if err != nil {
		return err
	}
	f, err := parseError(b, c.typ)
	if err != nil {
		return err
	}
	return k.reply.fail(f, c.typ)
}

func (l *clientLink) data(k *call, c chunk) error {
	b, err := l.payload(k, offsetDataPrefix)
	if err != nil {
		return err
	}
	n := c.length - offsetDataPrefix
	from, err := k.reply.fill(binary.BigEndian.Uint64(b), n)
	if err != nil {
		return err
	}
	_, err = io.ReadFull(l.in, k.into[from:from+int(n)])
	return err
}

func (l *clientLink) hole(k *call) error {
	b, err := l.payload(k, offsetHoleSize)
	if err != nil {
		return err
	}
	offset, length, err := parseOffsetHole(b)
	if err != nil {
		return err
	}
	from, err := k.reply.fill(offset, uint64(length))
	if err != nil {
		return err
	}
	clear(k.into[from : from+int(length)])
	return nil
}

// status reads the descriptors of one context, keeps some of those that the call
// wants, and drops the rest: a reply may tell of less than was asked for.
func (l *clientLink) status(k *call, c chunk) error {
	prefix, size := blockStatusPrefix, blockStatusDescriptor
	if l.style == headersExtended {
		prefix, size = blockStatusExtPrefix, blockStatusExtDescriptor
	}
	kept := min(int(c.length), prefix+size*keptDescriptors)
	b, err := l.payload(k, kept)
	if err != nil {
		return err
	}
	if l.style == headersExtended {
		if n := binary.BigEndian.Uint32(b[4:]); uint64(n) != (c.length-blockStatusExtPrefix)/blockStatusExtDescriptor {
			return errUnsound
		}
		binary.BigEndian.PutUint32(b[4:], uint32((kept-prefix)/size))
	}
	id, all, err := parseBlockStatus(b, k.statuses, l.style)
	if err != nil {
		return err
	}
	if err := k.reply.context(id); err != nil {
		return err
	}
	for i, other := range l.ids {
		if other == id && l.names[i] == k.want {
			k.statuses = all
		}
	}
	_, err = l.in.Discard(int(c.length) - kept)
	return err
}

// left ends the processes, if they have not ended, and returns the calls that have no
// reply, and why the link ended. Only the supervisor calls it.
func (l *clientLink) left() (calls []*call, err error) {
	if l.gentle.Load() {
		l.conn.SetWriteDeadline(time.Now().Add(time.Second))
	} else {
		abort(l.conn)
	}
	close(l.stop)
	for range 2 {
		if e := <-l.ended; err == nil || errors.Is(err, errStopped) || errors.Is(err, net.ErrClosed) {
			err = e
		}
		l.conn.Close()
	}
	for i := range l.table {
		if k := l.table[i].Load(); k != nil {
			calls = append(calls, k)
		}
	}
	return append(calls, l.first...), err
}

// abort closes a connection and has TCP drop what it has not sent: a server that got it
// later would do old requests after new ones.
func abort(conn net.Conn) {
	inner := conn
	if c, ok := conn.(*tls.Conn); ok {
		inner = c.NetConn()
	}
	if c, ok := inner.(interface{ SetLinger(seconds int) error }); ok {
		c.SetLinger(0)
		inner.Close()
	}
	conn.Close()
}

// silent says whether requests that were under way at the last look still are, and
// none was answered since.
func (l *clientLink) silent() bool {
	replies, sent := l.replies.Load(), l.sent.Load()
	silent := replies == l.seen && replies < l.seenSent
	l.seen, l.seenSent = replies, sent
	return silent
}
