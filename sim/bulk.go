package sim

import (
	"errors"
	"os"
	"time"

	"github.com/seed-012105e5/gonet/tcp"
)

// BulkConfig says what a bulk flow does.
type BulkConfig struct {
	Start, End time.Duration // when it opens and when it is cut off; an End of 0 is never

	// On and Off make the sender write for the time On and pause for the time
	// Off, by turns. An On of 0 means always.
	On, Off time.Duration

	// Every is how often a sample of the sender is taken; 0 means never.
	Every time.Duration
}

// A Flow is one connection over which data goes one way, and what was seen of
// it. Look at it when no time passes, as after [Net.Wait].
type Flow struct {
	From, To *Host
	Cfg      BulkConfig

	// Received counts the bytes read at the receiver by the end of each Bin
	// since the network was made.
	Received []int64

	// Series are the samples of the sender.
	Series []Sample

	// Last is the state of the sender when it was cut off.
	Last tcp.Info

	receiver *tcp.Conn // nil until there is a connection
}

// Bin is the resolution of [Flow.Received].
const Bin = 10 * time.Millisecond

// A Sample is the state of a sender at one moment.
type Sample struct {
	At time.Duration
	tcp.Info
}

// chunk is how much a sender writes at a time, in bytes.
const chunk = 256 << 10

// Bulk starts a flow that sends as much as it can.
func (n *Net) Bulk(from, to *Host, cfg BulkConfig) *Flow {
	f := &Flow{From: from, To: to, Cfg: cfg}
	l, at, err := to.Listen()
	if err != nil {
		n.Fail(err)
		return f
	}
	n.Go(func(*App) error { return f.receive(n, l) })
	n.Go(func(a *App) error {
		a.Until(cfg.Start)
		c, err := from.Dial(at)
		if err != nil {
			return err
		}
		if cfg.Every > 0 {
			n.Go(func(a *App) error { return f.sample(a, c) })
		}
		return f.send(a, c)
	})
	return f
}

// receive counts what arrives.
func (f *Flow) receive(n *Net, l *tcp.Listener) error {
	c, err := l.AcceptTCP()
	l.Close()
	if err != nil {
		return err
	}
	defer c.Close()
	f.receiver = c
	_, err = c.WriteTo(meter{n, f})
	if Ended(err) {
		return nil
	}
	return err
}

type meter struct {
	net  *Net
	flow *Flow
}

func (m meter) Write(p []byte) (int, error) {
	m.flow.fill(m.net.Now())
	m.flow.Received[len(m.flow.Received)-1] += int64(len(p))
	return len(p), nil
}

// fill brings the bins up to the one of now.
func (f *Flow) fill(now time.Duration) {
	for len(f.Received) <= int(now/Bin) {
		f.Received = append(f.Received, f.total())
	}
}

func (f *Flow) total() int64 {
	if len(f.Received) == 0 {
		return 0
	}
	return f.Received[len(f.Received)-1]
}

// send writes until the end, and then cuts the connection off.
func (f *Flow) send(a *App, c *tcp.Conn) error {
	defer c.Close()
	data := make([]byte, chunk)
	var err error
	for start := a.Net.Now(); err == nil; start += f.Cfg.On + f.Cfg.Off {
		if f.Cfg.On > 0 {
			a.Until(start)
		}
		stop := f.Cfg.End
		if on := start + f.Cfg.On; f.Cfg.On > 0 && (stop == 0 || on < stop) {
			stop = on
		}
		if stop > 0 {
			c.SetWriteDeadline(next(a.Net.began.Add(stop), a.phase))
		}
		for err == nil {
			_, err = c.Write(data)
		}
		if f.Cfg.On > 0 && errors.Is(err, os.ErrDeadlineExceeded) && (f.Cfg.End == 0 || a.Net.Now() < f.Cfg.End) {
			err = nil
		}
	}
	f.Last = c.Info()
	c.SetLinger(0)
	if Ended(err) {
		return nil
	}
	return err
}

// sample looks at the sender again and again, until it has ended.
func (f *Flow) sample(a *App, c *tcp.Conn) error {
	for {
		i := c.Info()
		if i.State != tcp.Established {
			return nil
		}
		f.Series = append(f.Series, Sample{a.Net.Now(), i})
		a.Sleep(f.Cfg.Every)
	}
}

// Goodput is how much was received from one instant to another, in bit/s. Both are
// rounded down to a Bin.
func (f *Flow) Goodput(from, to time.Duration) float64 {
	from, to = from.Truncate(Bin), to.Truncate(Bin)
	if to <= from {
		return 0
	}
	return 8 * float64(f.at(to)-f.at(from)) / (to - from).Seconds()
}

// at is how much was received before t.
func (f *Flow) at(t time.Duration) int64 {
	i := int(t/Bin) - 1
	if i < 0 {
		return 0
	}
	if i >= len(f.Received) {
		return f.total()
	}
	return f.Received[i]
}

// Held is how many bytes have arrived, and not been received, as what was sent before
// them has not arrived yet.
func (f *Flow) Held() int {
	if f.receiver == nil {
		return 0
	}
	return f.receiver.Info().OutOfOrderQueue
}

// RecoveredAfter is how long it took from the instant at on, when something
// bad happened, until in a window of time as much was received as share of
// what the rate says. It is less than 0 if that never came.
func (f *Flow) RecoveredAfter(at, window time.Duration, rate, share float64) time.Duration {
	for t := at; t+window <= time.Duration(len(f.Received))*Bin; t += Bin {
		if f.Goodput(t, t+window) >= share*rate {
			return t + window - at
		}
	}
	return -1
}
