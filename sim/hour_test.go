package sim

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp"
)

// TestHour has a thousand connections live for an hour, which is to take
// seconds: most speak once in some minutes, a few all the time.
func TestHour(t *testing.T) {
	hour, clients, chatty := time.Hour, 1000, 20
	if testing.Short() || packet.Checked {
		hour, clients = 10*time.Minute, 100
	}
	began := time.Now()
	var idle, busy *Churn
	var open int
	err := Run(context.Background(), 1, func(n *Net) error {
		wire := link.Impairment{Rate: 100e6, Delay: 20 * time.Millisecond, Loss: 0.001}
		a, b, _ := n.Line(1, Both(wire), tcp.Config{}, tcp.Config{})
		if err := n.Start(); err != nil {
			return err
		}
		idle = n.Churn(a, b, ChurnConfig{Clients: clients - chatty, Request: 100, Response: 2000, Pause: 5 * time.Minute})
		busy = n.Churn(a, b, ChurnConfig{Clients: chatty, Request: 100, Response: 2000, Pause: 5 * time.Second})
		if err := n.Wait(hour); err != nil {
			return err
		}
		for _, c := range a.Connections() {
			if c.State == tcp.Established {
				open++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("%v of %d connections with %d requests took %v", hour, open, idle.Answers+busy.Answers, took.Round(time.Millisecond))
	if hour == time.Hour && open != clients || idle.Answers < clients*int(hour/(5*time.Minute))/2 {
		t.Errorf("%d connections, %d and %d answers", open, idle.Answers, busy.Answers)
	}
	if took > time.Minute {
		t.Errorf("it took %v", took)
	}
}

// TestDeadlock: a process that waits for ever is an error, not the end of the
// program.
func TestDeadlock(t *testing.T) {
	err := Run(context.Background(), 1, func(n *Net) error {
		n.apps.Go(func() { select {} })
		return nil
	})
	if err == nil {
		t.Error("nobody has noticed")
	}
	t.Log(err)
}

// TestInterrupted ends a run whose context is done.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	err := Run(ctx, 1, func(n *Net) error {
		a, b, _ := n.Line(0, LinkConfig{}, tcp.Config{}, tcp.Config{})
		if err := n.Start(); err != nil {
			return err
		}
		n.Bulk(a, b, BulkConfig{})
		cancel()
		return n.Wait(1000 * time.Hour)
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
