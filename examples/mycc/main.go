// Mycc shows how to write a congestion control of one's own, vegas.go, and
// compares it with CUBIC on the same line.
//
//	go run ./examples/mycc
//	go run ./examples/mycc -rate 50M -delay 5ms -loss 0.0001 reno,cubic,bbr,vegas
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/examples/internal/pattern"
	"github.com/seed-012105e5/gonet/examples/internal/setup"
	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/tcp/congestion"
)

const about = `
Mycc sends the same data over the same line in memory with one congestion
control after the other, and tells how fast that was and how long packets
waited. One of them is its own: vegas.`

func main() { program.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := setup.New("mycc", "[controls]", about, out)
	flags.TCP.Controllers = map[string]congestion.Factory{"vegas": NewVegas}
	size := program.Number(10_000_000)
	flags.Var(&size, "size", "`bytes` to send with each")
	// A line that shows the difference, unless the user says otherwise.
	for name, value := range map[string]string{"rate": "20M", "delay": "10ms", "queue": "200"} {
		if err := flags.Set(name, value); err != nil {
			return err
		}
	}
	names := "cubic,vegas"
	if err := flags.Parse(args, &names); err != nil {
		return err
	}
	fmt.Fprintf(flags.Out, "%-8s %12s %10s %10s %12s\n", "control", "goodput", "least RTT", "mean RTT", "retransmits")
	for name := range strings.SplitSeq(names, ",") {
		if err := compare(ctx, flags, name, int64(size)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// compare sends n bytes with the congestion control of that name, and prints
// how it went.
func compare(ctx context.Context, flags *setup.Flags, name string, n int64) error {
	flags.TCP.Congestion = name
	quiet := flags.Quiet
	flags.Quiet = true // the table is the result
	pair, err := flags.Pair()
	flags.Quiet = quiet
	if err != nil {
		return err
	}
	sent, err := send(ctx, pair, n)
	if err == nil {
		fmt.Fprintf(flags.Out, "%-8s %12s %10v %10v %12d\n", name, program.BitRate(8*float64(n)/sent.took.Seconds()),
			sent.least.Round(100*time.Microsecond), sent.mean.Round(100*time.Microsecond), pair.A.Stats()["tcp.Retransmits"])
	}
	return errors.Join(err, pair.Close())
}

// A transfer is how one went.
type transfer struct{ took, least, mean time.Duration }

// send sends n bytes from A to B, and looks at the round-trip time meanwhile.
func send(ctx context.Context, pair *setup.Pair, n int64) (*transfer, error) {
	c, peer, hangUp, err := setup.Connect(ctx, pair.A, pair.B)
	if err != nil {
		return nil, err
	}
	defer hangUp()

	began := time.Now()
	failed := make(chan error, 1)
	go func() { failed <- errors.Join(pattern.New().Write(c, n), c.CloseWrite()) }()
	received := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, peer)
		received <- err
	}()
	var sum time.Duration
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for ticks := time.Duration(0); ; {
		select {
		case <-ticker.C:
			sum += c.Info().RTT
			ticks++
		case err := <-received:
			took := time.Since(began)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return &transfer{took, c.Info().MinRTT, sum / max(1, ticks)}, errors.Join(err, <-failed)
		}
	}
}
