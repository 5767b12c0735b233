package nbd

import (
	"context"

	"github.com/seed-012105e5/gonet/storage/block"
)

// MetaContexts are those that the server and the client have agreed on beside
// base:allocation, so that a server of the client serves them too.
func (c *Client) MetaContexts() (all []MetaContext) {
	for _, name := range c.info.Contexts {
		if name != contextAllocation {
			all = append(all, MetaContext{Name: name, Wide: c.style == headersExtended,
				Extents: func(off, length int64, yield func(length int64, flags uint64) bool) error {
					return c.status(context.Background(), name, off, length, yield)
				}})
		}
	}
	return all
}

// Extents is ExtentsContext without a context.
func (c *Client) Extents(off, length int64, yield func(block.Extent) bool) error {
	return c.ExtentsContext(context.Background(), off, length, yield)
}

// ExtentsContext tells of the range by the context base:allocation. Where the server
// lacks it, all is data.
func (c *Client) ExtentsContext(ctx context.Context, off, length int64, yield func(block.Extent) bool) error {
	if !c.has(contextAllocation) {
		err := c.check(off, length, false)
		if err == nil {
			err = ctx.Err()
		}
		if err == nil && length > 0 {
			yield(block.Extent{Off: off, Length: length})
		}
		return err
	}
	at := off
	return c.status(ctx, contextAllocation, off, length, func(n int64, flags uint64) bool {
		e := block.Extent{Off: at, Length: n, Hole: flags&stateHole != 0, Zero: flags&stateZero != 0}
		at += n
		return yield(e)
	})
}

// status asks for one context, which there is, until it has told of the whole range.
func (c *Client) status(ctx context.Context, name string, off, length int64, yield func(length int64, flags uint64) bool) error {
	if err := c.check(off, length, false); err != nil {
		return err
	}
	mask := max(int64(c.info.MinimumBlockSize), 1) - 1
	end := off + length
	for off < end {
		start, from := off, off&^mask
		n := (end - from + mask) &^ mask
		if c.style != headersExtended {
			n = min(n, 1<<30)
		}
		k := c.newCall(request{cmd: cmdBlockStatus, offset: uint64(from), length: uint64(n)})
		k.want = name
		if err := c.do(ctx, k); err != nil {
			return err
		}
		if err := k.err; err != nil {
			c.free(k)
			return err
		}
		stopped := false
		skip := off - from
		for _, d := range k.statuses {
			told := int64(min(d.length, uint64(end-from+mask)))
			if told <= skip {
				skip -= told
				continue
			}
			told = min(told-skip, end-off)
			skip = 0
			if told == 0 {
				break
			}
			off += told
			if stopped = !yield(told, d.flags); stopped {
				break
			}
		}
		c.free(k)
		if stopped {
			return nil
		}
		if off == start {
			return errHoley
		}
	}
	return nil
}
