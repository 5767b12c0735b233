package nbd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/filter"
)

// TestClientReconnect loses the connections with a read, a write and a Sync under way,
// and the server is away for 3 s. What each policy sends again succeeds.
func TestClientReconnect(t *testing.T) {
	for _, connections := range []int{1, 3} {
		for policy, want := range map[Replay]struct{ write, sync, next error }{
			ReplayReads:     {ErrConnectionLost, ErrUnflushedLost, nil},
			ReplayWrites:    {nil, ErrUnflushedLost, nil},
			ReplayUnflushed: {nil, nil, nil},
		} {
			t.Run(fmt.Sprintf("policy %d, %d connections", policy, connections), func(t *testing.T) {
				d := Dialer{Replay: policy, ReconnectTimeout: time.Minute, Connections: connections}
				inBubble(t, d, func(t *testing.T, c *Client, dev *scriptDevice, p *pipes) {
					if _, err := c.WriteAt([]byte("acknowledged"), 0); err != nil {
						t.Fatal(err)
					}
					dev.mu.Lock()
					dev.before = func(op string, off int64) error { time.Sleep(time.Minute); return errors.New("too late") }
					dev.mu.Unlock()
					var wg sync.WaitGroup
					check := func(name string, want error, call func() error) {
						wg.Go(func() {
							if err := call(); !errors.Is(err, want) {
								t.Errorf("%s: %v, want %v", name, err, want)
							}
						})
					}
					got := make([]byte, 1000)
					check("a read", nil, func() error { _, err := c.ReadAt(got, 4096); return err })
					check("a write", want.write, func() error { _, err := c.WriteAt([]byte("under way"), 8192); return err })
					check("a sync", want.sync, c.Sync)
					synctest.Wait()

					// Another process serves a disk that never saw what was not flushed.
					next := newScript()
					if _, err := next.WriteAt(bytes.Repeat([]byte{7}, 1000), 4096); err != nil {
						t.Fatal(err)
					}
					start := time.Now()
					p.cut(nil)
					synctest.Wait()
					check("a read that comes meanwhile", nil, func() error { _, err := c.ReadAt(make([]byte, 1), 0); return err })
					time.Sleep(3 * time.Second)
					p.cut(newServer(t, next))
					wg.Wait()
					if took := time.Since(start); took > 6*time.Second {
						t.Errorf("it took %v", took)
					}
					if bytes.Count(got, []byte{7}) != len(got) {
						t.Error("the read that was sent again has other bytes")
					}
					if err := c.Sync(); !errors.Is(err, want.next) {
						t.Errorf("the next Sync: %v", err)
					}
					if n := c.Reconnects(); n != 1 {
						t.Errorf("%d reconnects", n)
					}
					for off, text := range map[int64]string{0: "acknowledged", 8192: "under way"} {
						if there, err := readText(next, off, len(text)); there != (text == "under way" && want.write == nil || policy == ReplayUnflushed) || err != nil {
							t.Errorf("%q is there: %v, %v", text, there, err)
						}
					}
					time.Sleep(time.Hour)
				})
			})
		}
	}
}

func readText(d block.Device, off int64, n int) (bool, error) {
	p := make([]byte, n)
	_, err := d.ReadAt(p, off)
	return bytes.Count(p, []byte{0}) == 0, err
}

// TestClientReconnectOther finds another export than before: the client ends, and no
// read gives zeroes.
func TestClientReconnectOther(t *testing.T) {
	for name, e := range map[string]Export{
		"empty":     {Name: "a", Device: block.NewMemory(0)},
		"smaller":   {Name: "a", Device: block.NewMemory(1 << 19)},
		"larger":    {Name: "a", Device: block.NewMemory(1 << 21)},
		"read-only": {Name: "a", Device: newScript(), ReadOnly: true},
		"blocks":    {Name: "a", Device: newScript(), MinimumBlockSize: 512},
		"requests":  {Name: "a", Device: newScript(), MaximumRequestSize: 65536},
	} {
		inBubble(t, Dialer{ReconnectTimeout: time.Minute}, func(t *testing.T, c *Client, dev *scriptDevice, p *pipes) {
			s := &Server{}
			if err := s.Add(e); err != nil {
				t.Fatal(err)
			}
			p.cut(s)
			for range 2 {
				if n, err := c.ReadAt(make([]byte, 512), 0); n != 0 || !errors.Is(err, ErrExportChanged) {
					t.Errorf("%s: %d, %v", name, n, err)
				}
			}
			if _, err := c.Size(); !errors.Is(err, ErrExportChanged) {
				t.Errorf("%s: Size: %v", name, err)
			}
		})
	}
}

// TestClientReconnectEnds loses the server for good.
func TestClientReconnectEnds(t *testing.T) {
	for _, timeout := range []time.Duration{0, 10 * time.Second} {
		inBubble(t, Dialer{ReconnectTimeout: timeout}, func(t *testing.T, c *Client, dev *scriptDevice, p *pipes) {
			start := time.Now()
			p.cut(nil)
			if _, err := c.ReadAt(make([]byte, 512), 0); !errors.Is(err, ErrConnectionLost) {
				t.Error(err)
			}
			if took := time.Since(start); took != timeout {
				t.Errorf("it took %v, want %v", took, timeout)
			}
		})
	}
	// Close and contexts need not wait for it.
	inBubble(t, Dialer{ReconnectTimeout: time.Hour}, func(t *testing.T, c *Client, dev *scriptDevice, p *pipes) {
		p.cut(nil)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := c.ReadAtContext(ctx, make([]byte, 1), 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		ended := make(chan error)
		go func() { _, err := c.ReadAt(make([]byte, 1), 0); ended <- err }()
		synctest.Wait()
		start := time.Now()
		c.Close()
		if err := <-ended; !errors.Is(err, block.ErrClosed) || time.Since(start) > time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// TestClientRequestTimeout has a server that takes requests and answers nothing.
func TestClientRequestTimeout(t *testing.T) {
	inBubble(t, Dialer{RequestTimeout: 5 * time.Second, ReconnectTimeout: time.Minute}, func(t *testing.T, c *Client, dev *scriptDevice, p *pipes) {
		time.Sleep(time.Minute) // without requests that is no fault
		if c.Reconnects() != 0 {
			t.Error("an idle connection was given up")
		}
		dev.mu.Lock()
		dev.before = func(op string, off int64) error { time.Sleep(20 * time.Second); return nil }
		dev.mu.Unlock()
		next := newServer(t, newScript())
		go func() { // those who connect now get another server; the old connection stays
			p.mu.Lock()
			defer p.mu.Unlock()
			p.server = next
		}()
		start := time.Now()
		if _, err := c.ReadAt(make([]byte, 512), 0); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took < 5*time.Second || took > 11*time.Second || c.Reconnects() != 1 {
			t.Errorf("it took %v and %d reconnects", took, c.Reconnects())
		}
	})
}

// TestClientPowerCuts has a server that loses power, with what was volatile, again and
// again under random writes. With copies kept, everything acknowledged is there.
func TestClientPowerCuts(t *testing.T) {
	for seed := range uint64(5) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 5))
			stable := block.NewMemory(1 << 20)
			power := func() *filter.Volatile {
				v, err := filter.NewVolatile(stable)
				if err != nil {
					t.Fatal(err)
				}
				return v
			}
			disk := power()
			c, p := dialPipes(t, Dialer{Replay: ReplayUnflushed, ReconnectTimeout: time.Minute, MaxUnflushed: 256 << 10, Connections: 2}, newServer(t, disk))
			const users, each = 4, 1 << 18
			model := make([]byte, 1<<20)
			var wg sync.WaitGroup
			for u := range users {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(seed, uint64(u)))
					for range 60 {
						off := u*each + r.IntN(each-5000)
						b := bytes.Repeat([]byte{byte(r.Uint32())}, 1+r.IntN(5000))
						var err error
						switch r.IntN(10) {
						case 0:
							err = c.Sync()
							b = nil
						case 1:
							clear(b)
							err = c.WriteZeroes(int64(off), int64(len(b)), 0)
						case 2:
							_, err = c.WriteAtFUA(b, int64(off))
						default:
							_, err = c.WriteAt(b, int64(off))
						}
						if err != nil {
							t.Errorf("seed %d: %v", seed, err)
							return
						}
						copy(model[off:], b)
						time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
					}
				})
			}
			for range 8 {
				time.Sleep(time.Duration(r.IntN(200)) * time.Millisecond)
				p.cut(nil)
				synctest.Wait()
				if err := disk.Cut(r.Uint64()); err != nil {
					t.Error(err)
				}
				time.Sleep(100 * time.Millisecond)
				disk = power()
				p.cut(newServer(t, disk))
			}
			wg.Wait()
			got := make([]byte, 1<<20)
			if _, err := c.ReadAt(got, 0); err != nil || !bytes.Equal(got, model) {
				t.Errorf("seed %d: after %d power cuts the disk is not what was acknowledged (%v)", seed, c.Reconnects(), err)
			}
			c.Close()
			time.Sleep(time.Hour)
		})
	}
}

// TestClientReplayRefused has the server that is found again refuse what is sent again:
// that is told by the next Sync, once.
func TestClientReplayRefused(t *testing.T) {
	inBubble(t, Dialer{Replay: ReplayUnflushed, ReconnectTimeout: time.Minute, MaxUnflushed: 8192}, func(t *testing.T, c *Client, dev *scriptDevice, p *pipes) {
		if _, err := c.WriteAt([]byte("kept"), 0); err != nil {
			t.Fatal(err)
		}
		next := newScript()
		refuse := true
		next.before = func(op string, off int64) error {
			if op == "write" && refuse {
				refuse = false
				return syscall.ENOSPC
			}
			return nil
		}
		p.cut(newServer(t, next))
		if _, err := c.ReadAt(make([]byte, 1), 0); err != nil {
			t.Fatal(err)
		}
		if err := c.Sync(); !errors.Is(err, ErrUnflushedLost) || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Sync: %v", err)
		}
		if err := c.Sync(); err != nil {
			t.Errorf("a Sync after that which told of the loss: %v", err)
		}
	})
	// Without a connection lost, more is written than there is room for copies.
	inBubble(t, Dialer{Replay: ReplayUnflushed, ReconnectTimeout: time.Minute, MaxUnflushed: 8192}, func(t *testing.T, c *Client, dev *scriptDevice, p *pipes) {
		for i := range 20 {
			if _, err := c.WriteAt(make([]byte, 1000), int64(i)*1000); err != nil {
				t.Error(err)
			}
			if c.unflushed.held > 8192 {
				t.Errorf("%d bytes are held", c.unflushed.held)
			}
		}
		if !slices.Contains(dev.calls, "sync") {
			t.Error("nothing was flushed")
		}
		if err := c.Sync(); err != nil || c.unflushed.held != 0 || len(c.unflushed.writes) != 0 {
			t.Errorf("%d bytes of %d writes are held after a Sync (%v)", c.unflushed.held, len(c.unflushed.writes), err)
		}
	})
}

// TestClientShutdown has a server answer that it is shutting down, and another one take
// its place; or none that works.
func TestClientShutdown(t *testing.T) {
	down := func(op string, off int64) error { return block.ErrClosed }
	for _, replaced := range []bool{true, false} {
		inBubble(t, Dialer{ReconnectTimeout: time.Minute, Replay: ReplayWrites, Connections: 2}, func(t *testing.T, c *Client, dev *scriptDevice, p *pipes) {
			next := newScript()
			if !replaced {
				next.before = down
			}
			dev.before = down
			p.mu.Lock()
			p.server = newServer(t, next)
			p.mu.Unlock()
			start := time.Now()
			_, err := c.ReadAt(make([]byte, 512), 0)
			_, err2 := c.WriteAt(make([]byte, 512), 0)
			for _, err := range []error{err, err2} {
				if replaced && err != nil || !replaced && !errors.Is(err, ESHUTDOWN) {
					t.Errorf("replaced %v: %v", replaced, err)
				}
			}
			if took := time.Since(start); took > 10*time.Second || c.Reconnects() > 2 || c.Reconnects() == 0 {
				t.Errorf("replaced %v: it took %v and %d reconnects", replaced, took, c.Reconnects())
			}
		})
	}
}

// TestClientLossEachSync loses a connection with several Syncs under way, and acknowledged
// writes before them: each must tell of it, not only that which hears of it first.
func TestClientLossEachSync(t *testing.T) {
	for _, policy := range []Replay{ReplayReads, ReplayWrites} {
		inBubble(t, Dialer{Replay: policy, ReconnectTimeout: time.Minute}, func(t *testing.T, c *Client, dev *scriptDevice, p *pipes) {
			if _, err := c.WriteAt([]byte("acknowledged"), 0); err != nil {
				t.Fatal(err)
			}
			dev.mu.Lock()
			dev.before = func(op string, off int64) error { time.Sleep(time.Minute); return errors.New("too late") }
			dev.mu.Unlock()
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					if err := c.Sync(); !errors.Is(err, ErrUnflushedLost) {
						t.Errorf("policy %d: a Sync that began before the loss: %v", policy, err)
					}
				})
			}
			synctest.Wait()
			p.cut(newServer(t, newScript()))
			wg.Wait()
			if err := c.Sync(); err != nil {
				t.Errorf("policy %d: a Sync after those that told of the loss: %v", policy, err)
			}
		})
	}
}

// TestClientReplayShutdown finds, when it connects again, a server that is about to end:
// what is sent again then is not lost, but sent once more to the next one.
func TestClientReplayShutdown(t *testing.T) {
	inBubble(t, Dialer{Replay: ReplayUnflushed, ReconnectTimeout: time.Minute}, func(t *testing.T, c *Client, dev *scriptDevice, p *pipes) {
		if _, err := c.WriteAt([]byte("kept"), 0); err != nil {
			t.Fatal(err)
		}
		ending, next := newScript(), newScript()
		ending.before = func(op string, off int64) error { return block.ErrClosed }
		p.cut(newServer(t, ending))
		synctest.Wait()
		p.cut(newServer(t, next))
		if err := c.Sync(); err != nil {
			t.Errorf("Sync: %v", err)
		}
		if there, err := readText(next, 0, 4); !there || err != nil {
			t.Errorf("what was acknowledged is there: %v, %v", there, err)
		}
	})
}

// TestClientReplayGivenUp gives a write up that the server does all the same, after one to
// the same range that was acknowledged. What has been read of it is not undone when a
// connection is lost and the older write is sent again.
func TestClientReplayGivenUp(t *testing.T) {
	inBubble(t, Dialer{Replay: ReplayUnflushed, ReconnectTimeout: time.Minute}, func(t *testing.T, c *Client, dev *scriptDevice, p *pipes) {
		if _, err := c.WriteAt([]byte("older"), 0); err != nil {
			t.Fatal(err)
		}
		dev.mu.Lock()
		dev.before = func(op string, off int64) error { time.Sleep(time.Second); return nil }
		dev.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		if _, err := c.WriteAtContext(ctx, []byte("newer"), 0, false); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		got := make([]byte, 5)
		for _, when := range []string{"before", "after"} {
			if _, err := c.ReadAt(got, 0); err != nil || string(got) != "newer" {
				t.Errorf("%s the loss: %q, %v", when, got, err)
			}
			if when == "before" {
				p.cut(newServer(t, dev))
			}
		}
	})
}
