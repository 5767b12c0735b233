package nbd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// A dayUser does one operation after another on sectors of its own.
type dayUser struct {
	*dayClient
	r     *rand.Rand
	first int // of its sectors
	done  int
}

// dayThink is the mean time between two operations of a user.
const dayThink = time.Second

func (u *dayUser) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := u.step(); err != nil {
			return err
		}
		u.done++
		if u.r.IntN(3) > 0 { // otherwise at once
			time.Sleep(time.Duration(u.r.ExpFloat64() * float64(dayThink)))
		}
	}
	return nil
}

// step does an operation on random sectors. One in ten has little time.
func (u *dayUser) step() error {
	first, count := u.sectors()
	ctx := context.Background()
	if u.r.IntN(10) == 0 {
		limited, cancel := context.WithTimeout(ctx, time.Duration(1+u.r.IntN(30))*time.Millisecond)
		defer cancel()
		ctx = limited
	}
	off, length := u.base+int64(first)*daySector, int64(count)*daySector
	fua := u.r.IntN(4) == 0
	switch u.r.IntN(16) {
	case 0:
		return u.sync(ctx)
	case 1:
		return u.trim(ctx, first, count, off, length)
	case 2, 3:
		flags := []block.ZeroFlags{0, block.ZeroNoHole, block.ZeroFast}[u.r.IntN(3)]
		if fua {
			flags |= block.ZeroFUA
		}
		return u.change(fmt.Sprintf("zero %d", flags), u.model.begin(first, count, nil, false), fua, func() error {
			return u.client.WriteZeroesContext(ctx, off, length, flags)
		})
	case 4:
		return u.extents(ctx, first, off, length)
	case 5:
		return u.told("cache", u.client.Prefetch(off, length), false)
	case 6, 7, 8, 9, 10:
		return u.read(ctx, first, off, length)
	}
	p := make([]byte, length)
	what := "write"
	if fua {
		what = "write FUA"
	}
	return u.change(what, u.model.begin(first, count, p, false), fua, func() error {
		_, err := u.client.WriteAtContext(ctx, p, off, fua)
		return err
	})
}

// sectors are some of the user's, mostly few.
func (u *dayUser) sectors() (first, count int) {
	most := []int{1, 8, 8, 32, 32, 300}[u.r.IntN(6)]
	first = u.r.IntN(daySectors)
	return u.first + first, 1 + u.r.IntN(min(most, daySectors-first))
}

// told counts what an operation has come to, and returns the errors that must not be.
func (u *dayUser) told(what string, err error, changes bool) error {
	switch {
	case err == nil:
		u.count(what)
	case errors.Is(err, context.DeadlineExceeded):
		u.count("given up")
	case errors.Is(err, ESHUTDOWN):
		u.count("shut down twice")
	case errors.Is(err, ErrUnflushedLost) && what == "sync" && u.replay != ReplayUnflushed:
		u.count("sync: lost")
	case errors.Is(err, ErrConnectionLost) && changes && u.replay == ReplayReads:
		u.count("change: lost")
	default:
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// change does what the model has been told to begin.
func (u *dayUser) change(what string, c *dayChange, durable bool, f func() error) error {
	err := f()
	if err == nil {
		u.model.end(c, durable)
	}
	return u.told(what, err, true)
}

// trim lets only whole pages go, or leaves all as it is.
func (u *dayUser) trim(ctx context.Context, first, count int, off, length int64) error {
	return u.change("trim", u.model.begin(first, count, nil, true), false, func() error {
		return u.client.TrimContext(ctx, off, length)
	})
}

func (u *dayUser) sync(ctx context.Context) error {
	y := u.model.beginSync()
	err := u.client.SyncContext(ctx)
	u.model.endSync(y, errors.Is(err, ErrUnflushedLost), err == nil)
	return u.told("sync", err, false)
}

func (u *dayUser) read(ctx context.Context, first int, off, length int64) error {
	p := make([]byte, length)
	r := u.model.beginRead()
	_, err := u.client.ReadAtContext(ctx, p, off)
	if err == nil {
		err = u.model.check(r, p, first)
	}
	return u.told("read", err, false)
}

// extents holds what is said to be zero against the model.
func (u *dayUser) extents(ctx context.Context, first int, off, length int64) error {
	r := u.model.beginRead()
	at := off
	var wrong error
	err := u.client.ExtentsContext(ctx, off, length, func(e block.Extent) bool {
		if e.Off != at || e.Length <= 0 {
			wrong = fmt.Errorf("an extent %+v, where one at %d is due", e, at)
			return false
		}
		at += e.Length
		for i := (e.Off - off) / daySector; e.Zero && i < (at-off)/daySector && wrong == nil; i++ {
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
