// Package day lets clients of a disk server use a disk at random over two stacks of
// ours, in virtual time, while the link between them loses, doubles and reorders frames,
// connections are reset, the server is shut down and killed, and its machine loses
// power, with what its disk had not made durable. All that is read is held against
// models: what was flushed is there after each crash.
//
// The seed gives the operations of each user, the faults with their instants, and the
// fate of frames. What happens at one instant the scheduler puts in order.
package day

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/storage/block"
)

// A Config is a day of one protocol.
type Config struct {
	// Port is where its servers listen, such as ":10809", at 10.0.0.2.
	Port string
	// Serve makes a server of a disk, in one process of one life of its machine.
	Serve func(t testing.TB, disk *block.Disk) Server
	// Clients use the disk, each a part of it.
	Clients []ClientConfig
}

// A Server serves a disk.
type Server interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
	Close() error
}

// A ClientConfig is one client.
type ClientConfig struct {
	// Open connects it. It may take an hour to do so again.
	Open func(ctx context.Context, dial DialFunc) (Client, error)
	// Loss is what a power cut takes from it.
	Loss Loss
	// Lost says whether the error of a Sync tells of loss.
	Lost func(error) bool
	// Judge names, to be counted, an error that may be, of an operation that changes
	// the disk or not; "" is one that may not.
	Judge func(what string, err error, changes bool) string
}

// A DialFunc makes connections over the client's stack.
type DialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// A Client is the disk as a client sees it.
type Client interface {
	ReadAtContext(ctx context.Context, p []byte, off int64) (int, error)
	WriteAtContext(ctx context.Context, p []byte, off int64, fua bool) (int, error)
	SyncContext(ctx context.Context) error
	block.ContextTrimmer
	block.ContextZeroWriter
	block.ContextExtentLister
	Reconnects() int64
	Close() error
}

const (
	usersOfClient = 2   // of each client
	userSectors   = 640 // of each user: 320 KB, five pages of a Memory
)

// Run runs days: of the seed, or some if it is 0, for a time, or 15 minutes if it is 0,
// 2 with -short, and a day with GONET_LONG=1.
func Run(t *testing.T, seed uint64, length time.Duration, c Config) {
	seeds := []uint64{1, 2}
	if length == 0 {
		length = 15 * time.Minute
		switch {
		case os.Getenv("GONET_LONG") != "":
			length, seeds = 24*time.Hour, []uint64{uint64(time.Now().UnixNano())}
		case testing.Short():
			length, seeds = 2*time.Minute, seeds[:1]
		}
	}
	if seed != 0 {
		seeds = []uint64{seed}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprintf("seed %d for %v", seed, length), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { run(t, seed, length, c) })
		})
	}
}

func run(t *testing.T, seed uint64, length time.Duration, c Config) {
	near, far := link.Pipe(link.PipeConfig{})
	near = link.Impair(near, link.Impairment{
		Rate: 100e6, Delay: 2 * time.Millisecond, Jitter: 200 * time.Microsecond,
		Loss: 0.01, Duplicate: 0.005, Reorder: 0.01, ReorderDelay: time.Millisecond, Corrupt: 0.001, Seed: seed,
	})
	const part = usersOfClient * userSectors * sectorSize
	w := &world{
		t: t, config: c, r: rand.New(rand.NewPCG(seed, 1)), socket: &socket{wall: far},
		stable: block.NewMemory(int64(len(c.Clients)) * part), faults: map[string]int{},
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
	var clients []*client
	for i, cc := range c.Clients {
		m := newModel(usersOfClient*userSectors, cc.Loss)
		w.models = append(w.models, m)
		d, err := cc.Open(t.Context(), w.dial)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, &client{ClientConfig: cc, disk: d, model: m, base: int64(i) * part, seen: map[string]int{}})
	}
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var users, troubles sync.WaitGroup
	for i, c := range clients {
		for u := range usersOfClient {
			user := &user{client: c, r: rand.New(rand.NewPCG(seed, uint64(100+10*i+u))), first: u * userSectors}
			users.Go(func() {
				if err := user.run(ctx); err != nil {
					t.Errorf("client %d, user %d, after %d operations: %v", i, u, user.done, err)
					cancel()
				}
			})
		}
	}
	troubles.Go(func() { w.trouble(min(40*time.Second, length/10), ctx.Done()) })
	users.Wait()
	cancel()
	troubles.Wait()
	for i, c := range clients {
		if err := c.last(w.stable); err != nil && !t.Failed() {
			t.Errorf("client %d at the end: %v", i, err)
		}
		t.Logf("client %d: %d reconnects, %v", i, c.disk.Reconnects(), c.seen)
		if c.disk.Reconnects() == 0 {
			t.Errorf("client %d lost no connection", i)
		}
		c.disk.Close()
	}
	t.Logf("faults: %v", w.faults)
}

// A client is a client of the world with its model.
type client struct {
	ClientConfig
	disk  Client
	model *model
	base  int64 // of its part of the disk

	mu   sync.Mutex
	seen map[string]int
}

func (c *client) count(what string) {
	c.mu.Lock()
	c.seen[what]++
	c.mu.Unlock()
}

// sync makes durable what was written.
func (c *client) sync(ctx context.Context) error {
	y := c.model.beginSync()
	err := c.disk.SyncContext(ctx)
	c.model.endSync(y, c.tellsLoss(err), err == nil)
	return err
}

func (c *client) tellsLoss(err error) bool { return err != nil && c.Lost != nil && c.Lost(err) }

// last makes all durable, and holds all that is read, and what is on the disk itself,
// against the model.
func (c *client) last(stable *block.Memory) error {
	for try := 0; ; try++ {
		err := c.sync(context.Background())
		if err == nil {
			break
		}
		if try == 3 || !c.tellsLoss(err) || c.Loss != LossTold {
			return err
		}
	}
	p := make([]byte, len(c.model.sectors)*sectorSize)
	for _, read := range []func() (int, error){
		func() (int, error) { return c.disk.ReadAtContext(context.Background(), p, c.base) },
		func() (int, error) { return stable.ReadAt(p, c.base) },
	} {
		r := c.model.beginRead()
		if _, err := read(); err != nil {
			return err
		}
		if err := c.model.check(r, p, 0); err != nil {
			return err
		}
	}
	return nil
}
