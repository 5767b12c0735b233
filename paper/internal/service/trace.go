package service

import (
	"context"
	"os"
	"runtime/trace"
	"strconv"
	"time"

	"github.com/seed-012105e5/gonet/paper/internal/agent"
	"github.com/seed-012105e5/gonet/paper/internal/layers"
)

// tracePhase returns a phase that writes a trace of some time to a file, with
// the number of requests at its beginning and at its end.
func tracePhase(file string, d time.Duration, c *agent.Counters) func() error {
	return func() error {
		f, err := os.Create(file)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := trace.Start(f); err != nil {
			return err
		}
		count := func() {
			trace.Log(context.Background(), layers.Requests, strconv.FormatUint(c.Requests.Load(), 10))
		}
		count()
		time.Sleep(d)
		count()
		trace.Stop()
		return f.Close()
	}
}
