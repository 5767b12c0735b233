package nbd

import (
	"context"
	"errors"
	"flag"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/internal/testing/day"
)

var (
	daySeed = flag.Uint64("day.seed", 0, "of TestDay: run this `seed` only")
	dayFor  = flag.Duration("day.for", 0, "how long a time TestDay runs, virtual; 15 minutes if 0, 2 with -short, and a day with GONET_LONG=1")
)

// TestDay lets clients of each policy use a disk at random over impaired links, see
// package day.
//
//	GONET_LONG=1 go test -run TestDay ./nbd
//	go test -run TestDay ./nbd -day.seed 7 -day.for 2h
func TestDay(t *testing.T) {
	day.Run(t, *daySeed, *dayFor, day.Config{
		Port:  ":10809",
		Serve: func(t testing.TB, disk *block.Disk) day.Server { return newServer(t, disk) },
		Clients: []day.ClientConfig{
			dayClient(Dialer{Simple: true, Replay: ReplayReads, RequestTimeout: 5 * time.Second}),
			dayClient(Dialer{NoExtendedHeaders: true, Replay: ReplayWrites, Connections: 2}),
			dayClient(Dialer{Replay: ReplayUnflushed, Connections: 3, RequestTimeout: 8 * time.Second, MaxUnflushed: 512 << 10, MaxRequests: 8}),
		},
	})
}

func dayClient(d Dialer) day.ClientConfig {
	c := day.ClientConfig{
		Open: func(ctx context.Context, dial day.DialFunc) (day.Client, error) {
			d.DialContext, d.ReconnectTimeout = dial, time.Hour
			return d.Dial(ctx, "nbd://10.0.0.2/a")
		},
		Lost: func(err error) bool { return errors.Is(err, ErrUnflushedLost) },
		Judge: func(what string, err error, changes bool) string {
			switch {
			case errors.Is(err, ESHUTDOWN):
				return "shut down twice"
			case errors.Is(err, ErrUnflushedLost) && what == "sync" && d.Replay != ReplayUnflushed:
				return "sync: lost"
			case errors.Is(err, ErrConnectionLost) && changes && d.Replay == ReplayReads:
				return "change: lost"
			}
			return ""
		},
	}
	if d.Replay == ReplayUnflushed {
		c.Loss = day.LossNone
	}
	return c
}
