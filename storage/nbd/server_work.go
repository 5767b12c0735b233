package nbd

import (
	"context"
	"slices"

	"github.com/seed-012105e5/gonet/storage/block"
)

// A worker does requests on the device. It belongs to one request at a time and
// knows nothing of the connection but what was negotiated.
type worker struct {
	export   *served
	limits   limits // size excepted, which may change
	selected []metaSelection
	// reads ends when the client has gone, who needs no more answers; with it end
	// zeroes, which can be long. Writes go on until the server cuts the connection
	// off, so that none is torn because a client went.
	reads, writes context.Context
	cancelReads   context.CancelFunc
	counters      *serverCounters
}

// work does the request of t and makes the reply.
func (w *worker) work(t *task) {
	if err := w.do(t); err != nil {
		w.counters.failed.Add(1)
		t.fail(w.limits.style, err)
	} else if t.req.cmd == cmdRead {
		w.counters.bytesRead.Add(t.req.length)
	}
}

// do does the request and makes the reply of success.
func (w *worker) do(t *task) (err error) {
	disk := w.export.disk
	off, length := int64(t.req.offset), int64(t.req.length)
	fua := t.req.flags&cmdFlagFUA != 0
	switch t.req.cmd {
	case cmdRead:
		return w.read(t)
	case cmdBlockStatus:
		return w.blockStatus(t)
	case cmdWrite:
		if len(t.pages) > 0 {
			err = w.exchange(t, off)
			break
		}
		var p []byte
		if t.buf != nil {
			p = t.buf.Bytes[:length]
		}
		_, err = disk.WriteAtContext(w.writes, p, off, fua)
	case cmdFlush:
		err = disk.SyncContext(w.writes)
	case cmdTrim:
		if err = disk.TrimContext(w.reads, off, length); err == nil && fua {
			err = disk.SyncContext(w.writes)
		}
	case cmdCache:
		err = disk.Prefetch(off, length)
	case cmdWriteZeroes:
		err = disk.WriteZeroesContext(w.reads, off, length, zeroFlags(t.req.flags))
	case cmdResize:
		if err = disk.Resize(off); err == nil {
			// A device that tells of its size late must not fail the client's
			// next request.
			w.export.setSize(off)
		}
	default:
		err = EINVAL
	}
	if err == nil {
		t.done(w.limits.style)
	}
	return err
}

// exchange writes whole pages: the device takes the memory that they have come in, and
// gives that of the old ones.
func (w *worker) exchange(t *task, off int64) error {
	for _, p := range t.pages {
		if err := w.writes.Err(); err != nil {
			return err
		}
		old, err := w.export.pages.ExchangePage(p.Bytes, off)
		if err != nil {
			return err
		}
		off += int64(len(p.Bytes))
		p.Bytes = old
	}
	return nil
}

func zeroFlags(f commandFlags) (z block.ZeroFlags) {
	if f&cmdFlagNoHole != 0 {
		z |= block.ZeroNoHole
	}
	if f&cmdFlagFastZero != 0 {
		z |= block.ZeroFast
	}
	if f&cmdFlagFUA != 0 {
		z |= block.ZeroFUA
	}
	return z
}

// read reads all, or where the client takes holes and the device knows them, the
// data between them. A client that has selected base:allocation asks for holes
// itself where it wants to know of them.
func (w *worker) read(t *task) error {
	off, length := int64(t.req.offset), int64(t.req.length)
	s := w.limits.style
	if t.buf == nil && length > 0 {
		var err error
		if t.loans, err = w.export.pages.Lend(t.loans, off, length); err != nil {
			return err
		}
	}
	if s != headersSimple && t.req.flags&cmdFlagDF == 0 && length >= smallestSparse && w.export.info.Extents && len(w.selected) == 0 {
		if w.findPieces(t) {
			return w.readPieces(t)
		}
	}
	if t.buf != nil {
		if _, err := w.export.disk.ReadAtContext(w.reads, t.buf.Bytes[:length], off); err != nil {
			return err
		}
	}
	t.data(s)
	return nil
}

// findPieces says whether there are holes worth telling in the range of a READ, and
// where. A device that fails here is read whole.
func (w *worker) findPieces(t *task) (holes bool) {
	t.pieces = t.pieces[:0]
	err := w.export.disk.ExtentsContext(w.reads, int64(t.req.offset), int64(t.req.length), t.addPiece)
	return err == nil && slices.ContainsFunc(t.pieces, func(p piece) bool { return p.hole })
}

func (w *worker) readPieces(t *task) error {
	for _, p := range t.pieces {
		if p.hole || t.buf == nil {
			continue
		}
		if _, err := w.export.disk.ReadAtContext(w.reads, t.buf.Bytes[p.off:p.off+p.length], int64(t.req.offset)+p.off); err != nil {
			return err
		}
	}
	t.sparse(w.limits.style)
	return nil
}

// blockStatus tells of each context that was selected, or those of them that the
// request names.
func (w *worker) blockStatus(t *task) error {
	length := t.req.length
	chosen := w.selected
	if n := t.req.payload(w.limits.style); n > 0 {
		var v verdict
		if length, chosen, v = w.choose(t, t.buf.Bytes[:n]); v.errno != 0 {
			t.refuse(w.limits.style, v)
			return nil
		}
	}
	t.reset()
	for i, c := range chosen {
		if err := w.status(t, c.context, int64(length), statusesAtOnce/len(chosen)); err != nil {
			return err
		}
		t.status(w.limits.style, c.id, i == len(chosen)-1)
	}
	return nil
}

// choose decodes the payload of BLOCK_STATUS. Unknown contexts, and one named
// twice, are refused.
func (w *worker) choose(t *task, payload []byte) (length uint64, chosen []metaSelection, v verdict) {
	length, ids, err := parseBlockStatusPayload(payload, t.ids[:0])
	t.ids = ids
	if err != nil || len(ids) == 0 {
		return 0, nil, verdict{errno: EINVAL, message: "a payload that is no list of contexts"}
	}
	for i, id := range ids {
		at := slices.IndexFunc(w.selected, func(s metaSelection) bool { return s.id == id })
		if at < 0 || slices.Contains(ids[:i], id) {
			return 0, nil, verdict{errno: EINVAL, message: "a context that was not selected, or is named twice"}
		}
		chosen = append(chosen, w.selected[at])
	}
	l := w.limits
	l.size = w.export.size.Load()
	return length, chosen, l.checkEffect(t.req, length)
}

// status puts what context c knows of the range into t.statuses: at most most
// descriptors, neighbours of the same flags joined.
func (w *worker) status(t *task, c MetaContext, length int64, most int) error {
	if t.req.flags&cmdFlagReqOne != 0 {
		most = 1
	}
	t.statuses, t.most, t.left, t.widest = t.statuses[:0], most, uint64(length), 1<<63-1
	if w.limits.style != headersExtended {
		t.widest = 1<<32 - 1
	}
	var err error
	if c.Name == contextAllocation {
		err = w.export.disk.ExtentsContext(w.reads, int64(t.req.offset), length, t.addExtent)
	} else {
		err = c.Extents(int64(t.req.offset), length, t.addStatus)
	}
	if err == nil && len(t.statuses) == 0 {
		err = EIO
	}
	return err
}
