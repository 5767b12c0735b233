package day

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// A user does one operation after another on sectors of its own.
type user struct {
	*client
	r     *rand.Rand
	first int // of its sectors
	done  int
}

// think is the mean time between two operations of a user.
const think = time.Second

func (u *user) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := u.step(); err != nil {
			return err
		}
		u.done++
		if u.r.IntN(3) > 0 { // otherwise at once
			time.Sleep(time.Duration(u.r.ExpFloat64() * float64(think)))
		}
	}
	return nil
}

// step does an operation on random sectors. One in ten has little time.
func (u *user) step() error {
	first, count := u.sectors()
	ctx := context.Background()
	if u.r.IntN(10) == 0 {
		limited, cancel := context.WithTimeout(ctx, time.Duration(1+u.r.IntN(30))*time.Millisecond)
		defer cancel()
		ctx = limited
	}
	off, length := u.base+int64(first)*sectorSize, int64(count)*sectorSize
	fua := u.r.IntN(4) == 0
	switch u.r.IntN(16) {
	case 0:
		return u.told("sync", u.sync(ctx), false)
	case 1:
		return u.trim(ctx, first, count, off, length)
	case 2, 3:
		flags := []block.ZeroFlags{0, block.ZeroNoHole, block.ZeroFast}[u.r.IntN(3)]
		if fua {
			flags |= block.ZeroFUA
		}
		return u.change(fmt.Sprintf("zero %d", flags), u.model.begin(first, count, nil, false), fua, func() error {
			return u.disk.WriteZeroesContext(ctx, off, length, flags)
		})
	case 4:
		return u.extents(ctx, first, off, length)
	case 5:
		return u.told("cache", u.prefetch(off, length), false)
	case 6, 7, 8, 9, 10:
		return u.read(ctx, first, off, length)
	}
	p := make([]byte, length)
	what := "write"
	if fua {
		what = "write FUA"
	}
	return u.change(what, u.model.begin(first, count, p, false), fua, func() error {
		_, err := u.disk.WriteAtContext(ctx, p, off, fua)
		return err
	})
}

// sectors are some of the user's, mostly few.
func (u *user) sectors() (first, count int) {
	most := []int{1, 8, 8, 32, 32, 300}[u.r.IntN(6)]
	first = u.r.IntN(userSectors)
	return u.first + first, 1 + u.r.IntN(min(most, userSectors-first))
}

// told counts what an operation has come to, and returns the errors that must not be.
func (u *user) told(what string, err error, changes bool) error {
	as := what
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		as = "given up"
	case err != nil:
		as = u.Judge(what, err, changes)
	}
	if as == "" {
		return fmt.Errorf("%s: %w", what, err)
	}
	u.count(as)
	return nil
}

// prefetch is a hint, to those that take it.
func (u *user) prefetch(off, length int64) error {
	if p, ok := u.disk.(block.Prefetcher); ok {
		return p.Prefetch(off, length)
	}
	return nil
}

// change does what the model has been told to begin.
func (u *user) change(what string, c *change, durable bool, f func() error) error {
	err := f()
	if err == nil {
		u.model.end(c, durable)
	}
	return u.told(what, err, true)
}

// trim lets only whole pages go, or leaves all as it is.
func (u *user) trim(ctx context.Context, first, count int, off, length int64) error {
	return u.change("trim", u.model.begin(first, count, nil, true), false, func() error {
		return u.disk.TrimContext(ctx, off, length)
	})
}

func (u *user) read(ctx context.Context, first int, off, length int64) error {
	p := make([]byte, length)
	r := u.model.beginRead()
	_, err := u.disk.ReadAtContext(ctx, p, off)
	if err == nil {
		err = u.model.check(r, p, first)
	}
	return u.told("read", err, false)
}

// extents holds what is said to be zero against the model.
func (u *user) extents(ctx context.Context, first int, off, length int64) error {
	r := u.model.beginRead()
	at := off
	var wrong error
	err := u.disk.ExtentsContext(ctx, off, length, func(e block.Extent) bool {
		if e.Off != at || e.Length <= 0 {
			wrong = fmt.Errorf("an extent %+v, where one at %d is due", e, at)
			return false
		}
		at += e.Length
		for i := (e.Off - off) / sectorSize; e.Zero && i < (at-off)/sectorSize && wrong == nil; i++ {
			wrong = u.model.see(r, first+int(i), 0)
		}
		return wrong == nil
	})
	if err == nil && wrong == nil && at != off+length {
		wrong = fmt.Errorf("extents of %d bytes at %d end at %d", length, off, at)
	}
	if wrong != nil {
		return wrong
	}
	return u.told("extents", err, false)
}
