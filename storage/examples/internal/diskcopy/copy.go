// Package diskcopy is what programs that copy disks have in common.
package diskcopy

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/seed-012105e5/gonet/storage/block"
)

// piece is how many bytes are read and written at a time.
const piece = 1 << 20

// grain is how long a run of zeroes in data is at least, in bytes, to be made a hole.
const grain = 4096

// A Copier copies one disk to another.
type Copier struct {
	From, To *block.Disk
	Size     int64 // bytes to copy
	Workers  int   // how many calls of each disk are under way at a time
}

// A Counter is told of bytes that are done.
type Counter interface{ Add64(n int64) error }

// A job is a range of the disk, no longer than a piece unless it is zero.
type job struct {
	off, length int64
	zero        bool
}

// Copy copies all, and returns how many bytes of it were sent as data.
func (c *Copier) Copy(ctx context.Context, done Counter) (sent int64, err error) {
	var data atomic.Int64
	err = c.each(ctx, func(ctx context.Context, j job, buf []byte) error {
		defer done.Add64(j.length)
		if j.zero {
			return c.To.WriteZeroesContext(ctx, j.off, j.length, 0)
		}
		buf = buf[:j.length]
		if _, err := c.From.ReadAtContext(ctx, buf, j.off); err != nil {
			return err
		}
		n, err := c.write(ctx, buf, j.off)
		data.Add(n)
		return err
	})
	return data.Load(), err
}

// write writes p, and what is zero in it as zeroes. It returns how much was data.
func (c *Copier) write(ctx context.Context, p []byte, off int64) (data int64, err error) {
	for len(p) > 0 {
		zero := isZero(p[:min(grain, len(p))])
		n := min(grain, len(p))
		for n < len(p) && isZero(p[n:min(n+grain, len(p))]) == zero {
			n = min(n+grain, len(p))
		}
		if zero {
			err = c.To.WriteZeroesContext(ctx, off, int64(n), 0)
		} else {
			_, err = c.To.WriteAtContext(ctx, p[:n], off, false)
			data += int64(n)
		}
		if err != nil {
			return data, err
		}
		p, off = p[n:], off+int64(n)
	}
	return data, nil
}

var zeroes [grain]byte

func isZero(p []byte) bool { return bytes.Equal(p, zeroes[:len(p)]) }

// Compare reads both disks, and returns an error that says where they differ first.
func (c *Copier) Compare(ctx context.Context, done Counter) error {
	return c.each(ctx, func(ctx context.Context, j job, buf []byte) error {
		for off := j.off; off < j.off+j.length; off += piece / 2 {
			n := min(piece/2, j.off+j.length-off)
			a, b := buf[:n], buf[piece/2:][:n]
			if _, err := c.From.ReadAtContext(ctx, a, off); err != nil {
				return err
			}
			if _, err := c.To.ReadAtContext(ctx, b, off); err != nil {
				return err
			}
			if !bytes.Equal(a, b) {
				i := 0
				for a[i] == b[i] {
					i++
				}
				return fmt.Errorf("the disks differ at byte %d", off+int64(i))
			}
			done.Add64(n)
		}
		return nil
	})
}

// each calls work for all jobs of the disk, several at a time, each worker with a
// buffer of a piece of its own. The first error ends it.
func (c *Copier) each(ctx context.Context, work func(ctx context.Context, j job, buf []byte) error) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	jobs := make(chan job, c.Workers)
	var workers sync.WaitGroup
	for range c.Workers {
		workers.Go(func() {
			buf := make([]byte, piece)
			for j := range jobs {
				if ctx.Err() != nil {
					continue
				}
				if err := work(ctx, j, buf); err != nil {
					fail(err)
				}
			}
		})
	}
	err := c.From.ExtentsContext(ctx, 0, c.Size, func(e block.Extent) bool {
		const mostZeroes = 1 << 30 // so that there is progress, and all workers have work
		longest := int64(piece)
		if e.Zero {
			longest = mostZeroes
		}
		for off := e.Off; off < e.Off+e.Length && ctx.Err() == nil; off += longest {
			jobs <- job{off, min(longest, e.Off+e.Length-off), e.Zero}
		}
		return ctx.Err() == nil
	})
	close(jobs)
	workers.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}
