package nbd

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/storage/block"
)

var (
	daySeed = flag.Uint64("day.seed", 0, "of TestDay: run this `seed` only")
	dayFor  = flag.Duration("day.for", 0, "how long a time TestDay runs, virtual; 15 minutes if 0, 2 with -short, and a day with GONET_LONG=1")
)

// dayClients are what uses the disk in TestDay, each for a part of it.
var dayClients = []Dialer{
	{Simple: true, Replay: ReplayReads, RequestTimeout: 5 * time.Second},
	{NoExtendedHeaders: true, Replay: ReplayWrites, Connections: 2},
	{Replay: ReplayUnflushed, Connections: 3, RequestTimeout: 8 * time.Second, MaxUnflushed: 512 << 10, MaxRequests: 8},
}

const (
	dayUsers   = 2   // of each client
	daySectors = 640 // of each user: 320 KB, five pages of a Memory
)

// TestDay lets clients of each policy use a disk at random over two stacks of ours, in
// virtual time, while the link between them loses, doubles and reorders frames,
// connections are reset, the server is shut down and killed, and its machine loses
// power, with what its disk had not made durable. All that is read is held against
// models: see dayModel.
//
// The seed gives the operations of each user, the faults with their instants, and the
// fate of frames. What happens at one instant the scheduler puts in order.
//
//	GONET_LONG=1 go test -run TestDay ./nbd
//	go test -run TestDay ./nbd -day.seed 7 -day.for 2h
func TestDay(t *testing.T) {
	length, seeds := *dayFor, []uint64{1, 2}
	if length == 0 {
		length = 15 * time.Minute
		switch {
		case os.Getenv("GONET_LONG") != "":
			length, seeds = 24*time.Hour, []uint64{uint64(time.Now().UnixNano())}
		case testing.Short():
			length, seeds = 2*time.Minute, seeds[:1]
		}
	}
	if *daySeed != 0 {
		seeds = []uint64{*daySeed}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprintf("seed %d for %v", seed, length), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runDay(t, seed, length) })
		})
	}
}

func runDay(t *testing.T, seed uint64, length time.Duration) {
	near, far := link.Pipe(link.PipeConfig{})
	near = link.Impair(near, link.Impairment{
		Rate: 100e6, Delay: 2 * time.Millisecond, Jitter: 200 * time.Microsecond,
		Loss: 0.01, Duplicate: 0.005, Reorder: 0.01, ReorderDelay: time.Millisecond, Corrupt: 0.001, Seed: seed,
	})
	w := &dayWorld{
		t: t, r: rand.New(rand.NewPCG(seed, 1)), socket: &daySocket{wall: far},
		stable: block.NewMemory(int64(len(dayClients) * dayUsers * daySectors * daySector)), faults: map[string]int{},
	}
	w.near = newStack(t, near, "10.0.0.1/24", byte(seed))
	go w.socket.pump()
	w.boot()
	defer func() {
		w.machine.bury()
		w.near.Close()
		time.Sleep(time.Hour)
		close(far.Tx)
	}()
	var clients []*dayClient
	for i, d := range dayClients {
		m := newDayModel(dayUsers*daySectors, d.Replay == ReplayUnflushed)
		w.models = append(w.models, m)
		d.DialContext, d.ReconnectTimeout = w.dial, time.Hour
		c, err := d.Dial(t.Context(), "nbd://10.0.0.2/a")
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, &dayClient{client: c, model: m, replay: d.Replay, base: int64(i*dayUsers*daySectors) * daySector, seen: map[string]int{}})
	}
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var users, faults sync.WaitGroup
	for i, c := range clients {
		for u := range dayUsers {
			user := &dayUser{dayClient: c, r: rand.New(rand.NewPCG(seed, uint64(100+10*i+u))), first: u * daySectors}
			users.Go(func() {
				if err := user.run(ctx); err != nil {
					t.Errorf("client %d, user %d, after %d operations: %v", i, u, user.done, err)
					cancel()
				}
			})
		}
	}
	faults.Go(func() { w.trouble(min(40*time.Second, length/10), ctx.Done()) })
	users.Wait()
	cancel()
	faults.Wait()
	for i, c := range clients {
		if err := c.last(w.stable); err != nil && !t.Failed() {
			t.Errorf("client %d at the end: %v", i, err)
		}
		t.Logf("client %d: %d reconnects, %v", i, c.client.Reconnects(), c.seen)
		if c.client.Reconnects() == 0 {
			t.Errorf("client %d lost no connection", i)
		}
		c.client.Close()
	}
	t.Logf("faults: %v", w.faults)
}

// A dayClient is a client of the world with its model.
type dayClient struct {
	client *Client
	model  *dayModel
	replay Replay
	base   int64 // of its part of the disk

	mu   sync.Mutex
	seen map[string]int
}

func (c *dayClient) count(what string) {
	c.mu.Lock()
	c.seen[what]++
	c.mu.Unlock()
}

// last makes all durable, and holds all that is read, and what is on the disk itself,
// against the model.
func (c *dayClient) last(stable *block.Memory) error {
	for try := 0; ; try++ {
		y := c.model.beginSync()
		err := c.client.Sync()
		c.model.endSync(y, errors.Is(err, ErrUnflushedLost), err == nil)
		if err == nil {
			break
		}
		if try == 3 || !errors.Is(err, ErrUnflushedLost) || c.replay == ReplayUnflushed {
			return err
		}
	}
	p := make([]byte, len(c.model.sectors)*daySector)
	for _, d := range []interface {
		ReadAt(p []byte, off int64) (int, error)
	}{c.client, stable} {
		r := c.model.beginRead()
		if _, err := d.ReadAt(p, c.base); err != nil {
			return err
		}
		if err := c.model.check(r, p, 0); err != nil {
			return err
		}
	}
	return nil
}
