package nbd

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/internal/buffers"
)

// A Client is an export of a server as a block device. It has all optional powers of
// package block, and Info tells which of them the server has. Of the others, zeroes and
// trims fail with [block.ErrNotSupported], for [block.NewDisk] to emulate, a FUA write is
// followed by a Sync, Prefetch does nothing, and all extents are data.
//
// Its methods may be called by many goroutines at the same time. Reads and writes of
// any length are taken, in pieces of what the server takes; they are aligned to the
// server's block size. An error that a server has told is a [RequestError].
//
// Methods with a context return when it ends. The request goes on at the server, and
// keeps its place among MaxRequests until it is answered; calls of a range that such a
// write changes wait until then.
//
// A server that breaks the protocol costs the connection, and the error says how.
type Client struct {
	dialer      Dialer
	dial        func(ctx context.Context) (*opened, error) // nil: cannot connect again
	connections int
	style       headerStyle
	info        ExportInfo
	size        atomic.Int64

	submit chan *call    // from callers to the writers of all links
	dead   chan struct{} // closed when the client has ended, for the reason err
	err    error
	ended  chan struct{} // closed when the supervisor has ended
	ctx    context.Context
	cancel context.CancelFunc // ends the client

	calls      sync.Pool // of *call
	buffers    buffers.Pool
	unflushed  unflushed
	strays     strays
	notices    block.ResizeNotices
	reconnects atomic.Int64
}

// newClient takes over the connections.
func newClient(d *Dialer, all []*opened, dial func(ctx context.Context) (*opened, error)) *Client {
	c := &Client{
		dialer:      *d,
		dial:        dial,
		connections: len(all),
		style:       all[0].style,
		info:        all[0].info,
		submit:      make(chan *call),
		dead:        make(chan struct{}),
		ended:       make(chan struct{}),
	}
	c.size.Store(c.info.Size)
	c.unflushed.keep = d.Replay == ReplayUnflushed && c.reconnecting()
	c.unflushed.limit = d.MaxUnflushed
	if c.unflushed.limit <= 0 {
		c.unflushed.limit = defaultMaxUnflushed
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	var links []*clientLink
	for _, o := range all {
		links = append(links, newLink(c, o))
	}
	go c.supervise(links)
	return c
}

func (c *Client) maxRequests() int { return c.dialer.maxRequests() }

// maxPayload is the longest read or write.
func (e *ExportInfo) maxPayload() int {
	if e.MaximumRequestSize == 0 {
		return defaultMaxPayload
	}
	return int(min(e.MaximumRequestSize, defaultMaxPayload))
}

// Close tells the server that the client goes, and ends the connections. Calls under
// way fail with block.ErrClosed. What was not flushed may or may not be durable.
func (c *Client) Close() error {
	c.cancel()
	<-c.ended
	return nil
}

// Export is what the server has told of the export when the client first connected.
func (c *Client) Export() ExportInfo {
	e := c.info
	e.Contexts = append([]string(nil), e.Contexts...)
	return e
}

// Connections is how many connections there are, and Reconnects how often they were
// made again.
func (c *Client) Connections() int  { return c.connections }
func (c *Client) Reconnects() int64 { return c.reconnects.Load() }

// Size is that which the server has told, or to which Resize has set it.
func (c *Client) Size() (int64, error) {
	select {
	case <-c.dead:
		return 0, c.err
	default:
		return c.size.Load(), nil
	}
}

// Info tells which powers the server has.
func (c *Client) Info() block.Info {
	f := c.info.Flags
	return block.Info{
		ReadOnly:   c.ReadOnly(),
		Rotational: c.Rotational(),
		MultiConn:  c.MultiConn(),
		FUA:        f.Has(FlagSendFUA),
		Trim:       f.Has(FlagSendTrim),
		Zero:       f.Has(FlagSendWriteZeroes),
		Extents:    c.has(contextAllocation),
		Prefetch:   f.Has(FlagSendCache),
		Resize:     f.Has(FlagSendResize),
		BlockSizes: c.BlockSizes(),
	}
}

// ReadOnly, Rotational and MultiConn are by the flags of the export. MultiConn is that
// of this client's users, who share its connections.
func (c *Client) ReadOnly() bool   { return c.info.Flags.Has(FlagReadOnly) }
func (c *Client) Rotational() bool { return c.info.Flags.Has(FlagRotational) }
func (c *Client) MultiConn() bool  { return true }

// BlockSizes are the server's. Reads and writes longer than Maximum go in pieces.
func (c *Client) BlockSizes() block.BlockSizes {
	return block.BlockSizes{
		Minimum:   int(c.info.MinimumBlockSize),
		Preferred: int(c.info.PreferredBlockSize),
		Maximum:   c.info.maxPayload(),
	}
}

func (c *Client) has(name string) bool {
	for _, n := range c.info.Contexts {
		if n == name {
			return true
		}
	}
	return false
}

// check returns an error unless the range lies in the device.
func (c *Client) check(off, length int64, writes bool) error {
	size, err := c.Size()
	switch {
	case err != nil:
		return err
	case writes && c.ReadOnly():
		return block.ErrReadOnly
	case off < 0 || length < 0 || off > size || length > size-off:
		return block.ErrRange
	}
	return nil
}

// aligned is check for reads and writes.
func (c *Client) aligned(off, length int64, writes bool) error {
	if err := c.check(off, length, writes); err != nil {
		return err
	}
	if (off|length)&(max(int64(c.info.MinimumBlockSize), 1)-1) != 0 {
		return block.ErrAlignment
	}
	return nil
}

// lend gives the call the caller's bytes, or a buffer where the caller may leave
// before the call is done.
func (c *Client) lend(ctx context.Context, k *call, p []byte) []byte {
	if ctx.Done() == nil {
		return p
	}
	k.buf = c.buffers.Get(len(p))
	return k.buf.Bytes[:len(p)]
}

// ReadAt is ReadAtContext without a context.
func (c *Client) ReadAt(p []byte, off int64) (int, error) {
	return c.ReadAtContext(context.Background(), p, off)
}

// ReadAtContext reads len(p) bytes at off. With an error, n are good.
func (c *Client) ReadAtContext(ctx context.Context, p []byte, off int64) (n int, err error) {
	if err := c.aligned(off, int64(len(p)), false); err != nil {
		return 0, err
	}
	for n < len(p) {
		part := p[n:min(n+c.info.maxPayload(), len(p))]
		k := c.newCall(request{cmd: cmdRead, offset: uint64(off + int64(n)), length: uint64(len(part))})
		k.into = c.lend(ctx, k, part)
		if err := c.do(ctx, k); err != nil {
			return n, err
		}
		good, err := len(part), k.err
		if err != nil {
			good = 0
			if _, told := errors.AsType[*RequestError](err); told {
				good = k.reply.good()
			}
		}
		if k.buf != nil {
			copy(part, k.into[:good])
		}
		c.free(k)
		n += good
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// WriteAt and WriteAtFUA are WriteAtContext without a context.
func (c *Client) WriteAt(p []byte, off int64) (int, error) {
	return c.WriteAtContext(context.Background(), p, off, false)
}

func (c *Client) WriteAtFUA(p []byte, off int64) (int, error) {
	return c.WriteAtContext(context.Background(), p, off, true)
}

// WriteAtContext writes p at off. With fua it is durable when it returns nil, if need
// be by a Sync.
func (c *Client) WriteAtContext(ctx context.Context, p []byte, off int64, fua bool) (n int, err error) {
	if err := c.aligned(off, int64(len(p)), true); err != nil {
		return 0, err
	}
	r := request{cmd: cmdWrite}
	if fua && c.info.Flags.Has(FlagSendFUA) {
		r.flags = cmdFlagFUA
	}
	for n < len(p) {
		part := p[n:min(n+c.info.maxPayload(), len(p))]
		r.offset, r.length = uint64(off+int64(n)), uint64(len(part))
		if err := c.change(ctx, r, part); err != nil {
			return n, err
		}
		n += len(part)
	}
	if fua && r.flags == 0 {
		return n, c.flush(ctx)
	}
	return n, nil
}

// change has a request done that changes the device.
func (c *Client) change(ctx context.Context, r request, payload []byte) error {
	entry, ok := c.unflushed.begin(r, payload)
	for !ok {
		if err := c.flush(ctx); err != nil {
			return err
		}
		entry, ok = c.unflushed.begin(r, payload)
	}
	k := c.newCall(r)
	k.entry = entry
	if payload != nil {
		k.payload = c.lend(ctx, k, payload)
		if k.buf != nil {
			copy(k.payload, payload)
		}
	}
	return c.wait(ctx, k)
}

// wait has a call done of which only the error is wanted.
func (c *Client) wait(ctx context.Context, k *call) error {
	if err := c.do(ctx, k); err != nil {
		return err
	}
	err := k.err
	c.free(k)
	return err
}

// Sync is SyncContext without a context.
func (c *Client) Sync() error { return c.SyncContext(context.Background()) }

// SyncContext returns when all that was written before is durable. A server without
// FLUSH says by that that it has nothing to flush, and nothing is sent.
func (c *Client) SyncContext(ctx context.Context) error {
	err := c.flush(ctx)
	if err != nil {
		c.unflushed.told(err)
	}
	return err
}

// flush is SyncContext, but for that it leaves it to the next Sync to tell of loss.
func (c *Client) flush(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := c.Size(); err != nil {
		return err
	}
	m, err := c.unflushed.mark()
	if err != nil {
		return err
	}
	if c.info.Flags.Has(FlagSendFlush) {
		if err := c.wait(ctx, c.newCall(request{cmd: cmdFlush})); err != nil {
			return err
		}
	}
	return c.unflushed.durable(m)
}

// pieces calls f with parts of a range that fit one request, of at most most bytes or,
// if that is 0, as many as headers can tell.
func (c *Client) pieces(off, length int64, most int64, f func(off, length uint64) error) error {
	if most == 0 {
		most = math.MaxInt64
		if c.style != headersExtended {
			most = 1 << 30
		}
	}
	for length > 0 {
		n := min(length, most)
		if err := f(uint64(off), uint64(n)); err != nil {
			return err
		}
		off, length = off+n, length-n
	}
	return nil
}

// Trim is TrimContext without a context.
func (c *Client) Trim(off, length int64) error {
	return c.TrimContext(context.Background(), off, length)
}

// TrimContext lets the server forget the range. What does not fill whole blocks of the
// server is left as it is.
func (c *Client) TrimContext(ctx context.Context, off, length int64) error {
	if err := c.check(off, length, true); err != nil {
		return err
	}
	if !c.info.Flags.Has(FlagSendTrim) {
		return block.ErrNotSupported
	}
	mask := max(int64(c.info.MinimumBlockSize), 1) - 1
	end := (off + length) &^ mask
	off = (off + mask) &^ mask
	return c.pieces(off, end-off, 0, func(off, length uint64) error {
		return c.change(ctx, request{cmd: cmdTrim, offset: off, length: length}, nil)
	})
}

// WriteZeroes is WriteZeroesContext without a context.
func (c *Client) WriteZeroes(off, length int64, flags block.ZeroFlags) error {
	return c.WriteZeroesContext(context.Background(), off, length, flags)
}

// WriteZeroesContext makes the range read as zeroes.
func (c *Client) WriteZeroesContext(ctx context.Context, off, length int64, flags block.ZeroFlags) error {
	if err := c.aligned(off, length, true); err != nil {
		return err
	}
	f := c.info.Flags
	if !f.Has(FlagSendWriteZeroes) || flags&block.ZeroFast != 0 && !f.Has(FlagSendFastZero) {
		return block.ErrNotSupported
	}
	r := request{cmd: cmdWriteZeroes}
	if flags&block.ZeroNoHole != 0 {
		r.flags |= cmdFlagNoHole
	}
	if flags&block.ZeroFast != 0 {
		r.flags |= cmdFlagFastZero
	}
	fua := flags&block.ZeroFUA != 0
	if fua && f.Has(FlagSendFUA) {
		r.flags |= cmdFlagFUA
	}
	err := c.pieces(off, length, 0, func(off, length uint64) error {
		r.offset, r.length = off, length
		return c.change(ctx, r, nil)
	})
	if err == nil && fua && r.flags&cmdFlagFUA == 0 {
		err = c.flush(ctx)
	}
	return err
}

// Prefetch asks the server to bring the range nearer (CACHE), if it takes that.
func (c *Client) Prefetch(off, length int64) error {
	if err := c.check(off, length, false); err != nil || !c.info.Flags.Has(FlagSendCache) {
		return err
	}
	mask := max(int64(c.info.MinimumBlockSize), 1) - 1
	end := (off + length + mask) &^ mask
	off &^= mask
	return c.pieces(off, end-off, int64(c.info.maxPayload()), func(off, length uint64) error {
		return c.wait(context.Background(), c.newCall(request{cmd: cmdCache, offset: off, length: length}))
	})
}

// Resize changes the size of the export, where the server takes that.
func (c *Client) Resize(size int64) error {
	switch {
	case c.ReadOnly():
		return block.ErrReadOnly
	case !c.info.Flags.Has(FlagSendResize):
		return block.ErrNotSupported
	case size < 0:
		return block.ErrRange
	case size&(max(int64(c.info.MinimumBlockSize), 1)-1) != 0:
		return block.ErrAlignment
	}
	if err := c.wait(context.Background(), c.newCall(request{cmd: cmdResize, offset: uint64(size)})); err != nil {
		return err
	}
	c.size.Store(size)
	c.notices.Tell(size)
	return nil
}

// NotifyResize tells of sizes that Resize has set.
func (c *Client) NotifyResize(f func(size int64)) (stop func()) { return c.notices.NotifyResize(f) }
