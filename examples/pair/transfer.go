package main

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/examples/internal/pattern"
	"github.com/seed-012105e5/gonet/examples/internal/setup"
	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/tcp"
)

// A transfer sends data from one host to another.
type transfer struct {
	from, to *setup.Host
	size     int64
	pattern  pattern.Pattern
	progress io.Writer // nil: none
}

var errDiffers = errors.New("what arrived is not what was sent")

// run sends, and returns when all has arrived, or ctx is done.
func (t *transfer) run(ctx context.Context) (*result, error) {
	c, peer, hangUp, err := setup.Connect(ctx, t.from, t.to)
	if err != nil {
		return nil, err
	}
	defer hangUp()

	began := time.Now()
	received := newMeter()
	sent := newMeter()
	stop := t.report(received, c)
	failed := make(chan error, 1)
	go func() { failed <- t.send(c, sent) }()
	_, err = io.Copy(received, peer)
	took := time.Since(began)
	stop()
	err = errors.Join(<-failed, err)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, err
	}
	if sent.count.Load() != received.count.Load() || sent.sum != received.sum {
		return nil, errDiffers
	}
	return &result{received, took, c.Info(), t.from, t.to}, nil
}

// send sends all, and the end.
func (t *transfer) send(c *tcp.Conn, sent *meter) error {
	if err := t.pattern.Write(io.MultiWriter(sent, c), t.size); err != nil {
		return err
	}
	return c.CloseWrite()
}

// report prints how far the transfer is, again and again on the same line,
// until stop is called.
func (t *transfer) report(received *meter, c *tcp.Conn) (stop func()) {
	if t.progress == nil {
		return func() {}
	}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(progressTime)
		defer ticker.Stop()
		for before := int64(0); ; {
			select {
			case <-ticker.C:
				n, info := received.count.Load(), c.Info()
				fmt.Fprintf(t.progress, "\r%5.1f%%  %-12s rtt %-10v cwnd %-9d retransmits %-6d", 100*float64(n)/float64(t.size),
					program.BitRate(8*float64(n-before)/progressTime.Seconds()), info.RTT.Round(time.Microsecond),
					info.CongestionWindow, t.from.Stats()["tcp.Retransmits"])
				before = n
			case <-quit:
				fmt.Fprint(t.progress, "\r\x1b[K") // clears the line
				return
			}
		}
	}()
	return func() { close(quit); <-ended }
}

// A meter counts what is written to it, and computes its CRC-32C.
type meter struct {
	count atomic.Int64
	sum   uint32
	table *crc32.Table
}

func newMeter() *meter { return &meter{table: crc32.MakeTable(crc32.Castagnoli)} }

func (m *meter) Write(p []byte) (int, error) {
	m.sum = crc32.Update(m.sum, m.table, p)
	m.count.Add(int64(len(p)))
	return len(p), nil
}

// A result is how a transfer went.
type result struct {
	received *meter
	took     time.Duration
	info     tcp.Info // of the sender
	from, to *setup.Host
}

func (r *result) String() string {
	from := r.from.Stats()
	var s strings.Builder
	n := r.received.count.Load()
	fmt.Fprintf(&s, "received     %d bytes in %v, CRC-32C %08x as sent\n", n, r.took.Round(time.Microsecond), r.received.sum)
	fmt.Fprintf(&s, "goodput      %s\n", program.BitRate(8*float64(n)/r.took.Seconds()))
	fmt.Fprintf(&s, "retransmits  %d segments or trains, %d timeouts, %d fast recoveries\n",
		from["tcp.Retransmits"], from["tcp.Timeouts"], from["tcp.FastRecoveries"])
	s.WriteString(setup.Describe(r.info))
	fmt.Fprintf(&s, "drops        %v: %s\n", setup.AddrA.Addr(), drops(from))
	fmt.Fprintf(&s, "             %v: %s\n", setup.AddrB.Addr(), drops(r.to.Stats()))
	return s.String()
}

// drops lists the reasons for which packets were dropped.
func drops(stats gonet.Stats) string {
	all := stats.Drops()
	var words []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		words = append(words, fmt.Sprintf("%s %d", name, all[name]))
	}
	if words == nil {
		return "none"
	}
	return strings.Join(words, ", ")
}
