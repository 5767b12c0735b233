package filter

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// Delay makes each call of these kinds take at least so much longer. Calls wait side
// by side.
func Delay(dev block.Device, kinds Kind, by time.Duration) (*block.Disk, error) {
	return Observe(dev, delay{kinds, by})
}

type delay struct {
	kinds Kind
	by    time.Duration
}

func (d delay) Before(ctx context.Context, op Op) error {
	if d.kinds&op.Kind == 0 {
		return nil
	}
	return sleep(ctx, d.by)
}

func (delay) After(context.Context, Op, time.Duration, error) {}

// sleep waits, unless the context ends before.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Faults says which calls fail. Those that fail do not reach the device.
type Faults struct {
	Kinds Kind    // that may fail; zero means all
	Rate  float64 // how many of them do, from 0 to 1
	// When decides instead of Rate, if set. It is called from many goroutines.
	When func(op Op) bool
	Err  error       // block.MediumError of syscall.EIO, if nil
	Rand rand.Source // that Rate uses
}

// Fail makes calls of the device fail.
func Fail(dev block.Device, f Faults) (*block.Disk, error) {
	if f.Kinds == 0 {
		f.Kinds = All
	}
	if f.Rand == nil {
		f.Rand = rand.NewPCG(1, 1)
	}
	if f.When == nil {
		r := make(chan *rand.Rand, 1) // whoever has received it owns it
		r <- rand.New(f.Rand)
		f.When = func(Op) bool {
			r0 := <-r
			defer func() { r <- r0 }()
			return r0.Float64() < f.Rate
		}
	}
	return Observe(dev, faults{f})
}

type faults struct{ Faults }

func (f faults) Before(_ context.Context, op Op) error {
	switch {
	case f.Kinds&op.Kind == 0 || !f.When(op):
		return nil
	case f.Err != nil:
		return f.Err
	}
	return &block.MediumError{Op: op.Kind.String(), Off: op.Off, Err: syscall.EIO}
}

func (faults) After(context.Context, Op, time.Duration, error) {}

// Log writes a line of each call when it has returned: its kind and range, how long
// the device took, and its error.
func Log(dev block.Device, to *slog.Logger) (*block.Disk, error) {
	return Observe(dev, logged{to})
}

type logged struct{ to *slog.Logger }

func (logged) Before(context.Context, Op) error { return nil }

func (l logged) After(ctx context.Context, op Op, took time.Duration, err error) {
	attrs := []slog.Attr{slog.Int64("off", op.Off), slog.Int64("length", op.Length), slog.Duration("took", took)}
	if op.FUA {
		attrs = append(attrs, slog.Bool("fua", true))
	}
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelError
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	l.to.LogAttrs(ctx, level, op.Kind.String(), attrs...)
}

// Limit lets the calls of these kinds move so many bytes a second together, or up to
// burst at once after a pause. A call begins when there has been time for its own
// bytes and those of the calls before it.
func Limit(dev block.Device, kinds Kind, bytesPerSecond, burst int64) (*block.Disk, error) {
	l := &limit{kinds: kinds, state: make(chan bucket, 1)}
	l.state <- bucket{rate: float64(max(bytesPerSecond, 1)), burst: float64(max(burst, 0))}
	return Observe(dev, l)
}

type limit struct {
	kinds Kind
	state chan bucket // whoever has received it owns it
}

func (l *limit) Before(ctx context.Context, op Op) error {
	if l.kinds&op.Kind == 0 || op.Length == 0 {
		return nil
	}
	b := <-l.state
	wait := b.take(time.Now(), float64(op.Length))
	l.state <- b
	return sleep(ctx, wait)
}

func (*limit) After(context.Context, Op, time.Duration, error) {}

// A bucket holds bytes that may be moved, up to burst, and gets rate of them a
// second. Below zero it owes some.
type bucket struct {
	rate, burst float64
	level       float64
	at          time.Time // when level was right
}

// take takes n bytes and returns how long the taker must wait until nothing is owed.
func (b *bucket) take(now time.Time, n float64) time.Duration {
	if b.at.IsZero() {
		b.level = b.burst
	} else {
		b.level = min(b.burst, b.level+now.Sub(b.at).Seconds()*b.rate)
	}
	b.at = now
	b.level -= n
	return time.Duration(max(0, -b.level/b.rate) * float64(time.Second))
}
