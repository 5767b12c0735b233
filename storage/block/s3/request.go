package s3

import (
	"context"

	"github.com/seed-012105e5/gonet/storage/block"
)

// mostRequests is how many calls are under way at the same time. Others wait.
const mostRequests = 64

// An op is what a request asks for.
type op int

const (
	opRead op = iota
	opWrite
	opZero // of whole chunks, or of parts
	opResize
	opReplay // of a record of the journal
	opSync
	opUpload // until all that is there now is in the bucket
	opExtents
	opPrefetch
	opStats
	opClose
	opReplayed // all records of the journal were
)

// A request is one call of a user. It is the owner's, or the journal's, until it is
// finished; the user waits for that, whatever his context says, for its bytes are his.
type request struct {
	op          op
	p           []byte
	off, length int64
	done        int64 // bytes
	durable     bool
	record      record // of opReplay

	extents  []block.Extent
	stats    Stats
	number   uint64 // what must be in the bucket
	progress chan [2]int64
	waitsFor *chunk // of opRead

	ctx   context.Context
	reply chan error // of capacity 1
}

// finish gives the request back to its user.
func (r *request) finish(err error) { r.reply <- err }

// do has the owner do the request, and waits for it.
func (d *Disk) do(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case d.admitted <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-d.ctx.Done():
		return block.ErrClosed
	}
	defer func() { <-d.admitted }()
	r.ctx, r.reply = ctx, make(chan error, 1)
	select {
	case d.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-d.ctx.Done():
		return block.ErrClosed
	}
	select {
	case err := <-r.reply:
		return err
	case <-ctx.Done():
	}
	select {
	case d.cancels <- r:
	case err := <-r.reply:
		return err
	case <-d.ctx.Done():
	}
	return <-r.reply
}
