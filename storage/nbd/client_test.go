package nbd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/blocktest"
)

// clientDialers ask for each style of headers.
var clientDialers = []Dialer{
	headersSimple:     {Simple: true},
	headersStructured: {NoExtendedHeaders: true},
	headersExtended:   {},
}

// pipes is how clients reach a server by pipes, of which the test sees its own end.
type pipes struct {
	mu     sync.Mutex
	server *Server // nil: nobody answers
	conns  []net.Conn
	dials  int
}

func (p *pipes) dial(ctx context.Context, network, address string) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dials++
	if p.server == nil {
		return nil, syscall.ECONNREFUSED
	}
	near, far := net.Pipe()
	p.conns = append(p.conns, far)
	go p.server.ServeConn(far)
	return near, nil
}

// cut breaks all connections and has new ones go to another server.
func (p *pipes) cut(next *Server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns, p.server = nil, next
}

// dialPipes makes a client of the export "a".
func dialPipes(t testing.TB, d Dialer, s *Server) (*Client, *pipes) {
	t.Helper()
	p := &pipes{server: s}
	d.DialContext = p.dial
	c, err := d.Dial(context.Background(), "nbd://server/a")
	if err != nil {
		t.Fatal(err)
	}
	return c, p
}

// TestClientDevice holds clients of our server against the contract of devices.
func TestClientDevice(t *testing.T) {
	for style, d := range clientDialers {
		for _, connections := range []int{1, 3} {
			t.Run(fmt.Sprintf("headers %d, %d connections", style, connections), func(t *testing.T) {
				d.Connections = connections
				blocktest.TestDevice(t, func(t *testing.T) block.Device {
					c, _ := dialPipes(t, d, newServer(t, block.NewMemory(1<<20+12345)))
					if c.Connections() != connections || c.style != headerStyle(style) {
						t.Errorf("%d connections with headers %d", c.Connections(), c.style)
					}
					return c
				})
			})
		}
	}
	t.Run("blocks, resizing, unflushed kept", func(t *testing.T) {
		blocktest.TestDevice(t, func(t *testing.T) block.Device {
			s := &Server{}
			if err := s.Add(Export{Name: "a", Device: block.NewMemory(1 << 20), MinimumBlockSize: 512, MaximumRequestSize: 8192, AllowResize: true}); err != nil {
				t.Fatal(err)
			}
			c, _ := dialPipes(t, Dialer{Replay: ReplayUnflushed, ReconnectTimeout: time.Second, MaxUnflushed: 100 << 10}, s)
			return c
		})
	})
	t.Run("read-only", func(t *testing.T) {
		blocktest.TestDevice(t, func(t *testing.T) block.Device {
			s := &Server{}
			if err := s.Add(Export{Name: "a", Device: block.NewMemory(1 << 20), ReadOnly: true}); err != nil {
				t.Fatal(err)
			}
			c, _ := dialPipes(t, Dialer{}, s)
			return c
		})
	})
}

// inBubble runs a test in virtual time with a client of a device whose calls it sees.
func inBubble(t *testing.T, d Dialer, test func(t *testing.T, c *Client, dev *scriptDevice, p *pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		dev := newScript()
		c, p := dialPipes(t, d, newServer(t, dev))
		defer c.Close()
		test(t, c, dev, p)
		c.Close()
		time.Sleep(time.Hour) // calls of the device end
	})
}

// TestClientPowers makes each call once and looks what the server's device sees.
func TestClientPowers(t *testing.T) {
	for style, d := range clientDialers {
		inBubble(t, d, func(t *testing.T, c *Client, dev *scriptDevice, p *pipes) {
			for name, err := range map[string]error{
				"write":     func() error { _, err := c.WriteAt([]byte("abc"), 0); return err }(),
				"write FUA": func() error { _, err := c.WriteAtFUA([]byte("abc"), 0); return err }(),
				"sync":      c.Sync(),
				"trim":      c.Trim(0, 65536),
				"prefetch":  c.Prefetch(0, 4096),
				"zero no hole fast FUA": c.WriteZeroes(0, 4096, block.ZeroNoHole|block.ZeroFast|
					block.ZeroFUA),
				"zero": c.WriteZeroes(0, 4096, 0),
				"read": func() error { _, err := c.ReadAt(make([]byte, 5), 0); return err }(),
			} {
				if err != nil {
					t.Errorf("headers %d: %s: %v", style, name, err)
				}
				if n := slices.Index(dev.calls, name); n < 0 {
					t.Errorf("headers %d: the device saw no %q but %q", style, name, dev.calls)
				}
			}
			if i := c.Info(); !i.FUA || !i.Trim || !i.Zero || !i.Prefetch || i.Extents != (style != int(headersSimple)) || i.ReadOnly {
				t.Errorf("headers %d: %+v", style, i)
			}
			holes := int64(0)
			if err := c.Extents(0, 1<<20, func(e block.Extent) bool {
				if e.Hole && e.Zero {
					holes += e.Length
				}
				return true
			}); err != nil || (holes > 0) != (style != int(headersSimple)) {
				t.Errorf("headers %d: Extents: %d bytes of holes, %v", style, holes, err)
			}
			if err := c.Resize(1 << 20); !errors.Is(err, block.ErrNotSupported) {
				t.Errorf("Resize: %v", err)
			}
		})
	}
}

// TestClientErrors has the server's device fail: the errno comes back, with its words
// and its offset where chunks can carry them.
func TestClientErrors(t *testing.T) {
	for style, d := range clientDialers {
		inBubble(t, d, func(t *testing.T, c *Client, dev *scriptDevice, p *pipes) {
			for _, want := range []error{syscall.EPERM, syscall.EIO, syscall.ENOMEM, syscall.EINVAL, syscall.ENOSPC, syscall.EOVERFLOW, syscall.ESHUTDOWN} {
				dev.before = func(op string, off int64) error { return &block.MediumError{Op: op, Off: off + 7, Err: want} }
				_, err := c.WriteAt(make([]byte, 4096), 4096)
				if !errors.Is(err, want) {
					t.Errorf("headers %d: %v, want %v", style, err, want)
				}
				m, ok := errors.AsType[*block.MediumError](err)
				if ok != (style != int(headersSimple)) || ok && m.Off != 4096+7 {
					t.Errorf("headers %d: %v tells no offset", style, err)
				}
				if n, err := c.ReadAt(make([]byte, 10), 0); n != 0 || !errors.Is(err, want) {
					t.Errorf("headers %d: a read: %d, %v", style, n, err)
				}
				if err := c.Sync(); !errors.Is(err, want) {
					t.Errorf("headers %d: Sync: %v", style, err)
				}
			}
			dev.before = nil
			if _, err := c.ReadAt(make([]byte, 10), 0); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestClientPipelining has requests under way at once, answered in another order, no
// more than the bound.
func TestClientPipelining(t *testing.T) {
	for style, d := range clientDialers {
		d.MaxRequests = 8
		inBubble(t, d, func(t *testing.T, c *Client, dev *scriptDevice, p *pipes) {
			var mu sync.Mutex
			now, most := 0, 0
			dev.before = func(op string, off int64) error {
				mu.Lock()
				now++
				most = max(most, now)
				mu.Unlock()
				time.Sleep(time.Second - time.Duration(off)*time.Microsecond)
				mu.Lock()
				now--
				mu.Unlock()
				return nil
			}
			var wg sync.WaitGroup
			start := time.Now()
			for i := range 16 {
				wg.Go(func() {
					if _, err := c.WriteAt(bytes.Repeat([]byte{byte(i + 1)}, 4096), int64(i)*4096); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if took := time.Since(start); most != 8 || took > 2*time.Second {
				t.Errorf("headers %d: %d at once, in %v", style, most, took)
			}
			dev.before = nil
			got := make([]byte, 16*4096)
			if _, err := c.ReadAt(got, 0); err != nil {
				t.Fatal(err)
			}
			for i := range 16 {
				if bytes.Count(got[i*4096:][:4096], []byte{byte(i + 1)}) != 4096 {
					t.Errorf("headers %d: block %d is not what was written", style, i)
				}
			}
		})
	}
}

// TestClientCancel gives calls up: they return at once, their place stays taken until
// the reply has come, and what a write may still change nobody touches before.
func TestClientCancel(t *testing.T) {
	inBubble(t, Dialer{MaxRequests: 2}, func(t *testing.T, c *Client, dev *scriptDevice, p *pipes) {
		dev.before = func(op string, off int64) error {
			if off < 8192 {
				time.Sleep(10 * time.Second)
			}
			return nil
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			b := make([]byte, 4096)
			if _, err := c.ReadAtContext(ctx, b, 0); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a read: %v", err)
			}
		})
		wg.Go(func() {
			if _, err := c.WriteAtContext(ctx, []byte("lost?"), 4096, false); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a write: %v", err)
			}
		})
		wg.Wait()
		if took := time.Since(start); took != time.Second {
			t.Errorf("calls that were given up after 1 s took %v", took)
		}
		// Both places are taken; a call whose context ends does not wait for them.
		short, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := c.ReadAtContext(short, make([]byte, 1), 16384); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a read with no place: %v", err)
		}
		// What the stray write may change waits for it and is not undone by it.
		if _, err := c.WriteAt([]byte("later"), 4096); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took < 10*time.Second {
			t.Errorf("a write overtook one that was given up, after %v", took)
		}
		dev.before = nil
		got := make([]byte, 5)
		if _, err := c.ReadAt(got, 4096); err != nil || string(got) != "later" {
			t.Errorf("%q, %v", got, err)
		}
		if n := c.strays.count.Load(); n != 0 {
			t.Errorf("%d strays are left", n)
		}
	})
}

// TestClientClose ends calls under way, and all calls after it.
func TestClientClose(t *testing.T) {
	inBubble(t, Dialer{Connections: 2}, func(t *testing.T, c *Client, dev *scriptDevice, p *pipes) {
		dev.before = func(op string, off int64) error { time.Sleep(time.Minute); return nil }
		ended := make(chan error)
		go func() { _, err := c.ReadAt(make([]byte, 1), 0); ended <- err }()
		synctest.Wait()
		start := time.Now()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, block.ErrClosed) {
			t.Errorf("a call under way: %v", err)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("Close took %v", took)
		}
		if _, err := c.ReadAt(make([]byte, 1), 0); !errors.Is(err, block.ErrClosed) {
			t.Errorf("a call behind Close: %v", err)
		}
		if err := c.Sync(); !errors.Is(err, block.ErrClosed) {
			t.Errorf("Sync behind Close: %v", err)
		}
	})
}

// TestClientMetaContexts serves a client of a server that has a context of its own.
func TestClientMetaContexts(t *testing.T) {
	for style, d := range clientDialers[headersStructured:] {
		synctest.Test(t, func(t *testing.T) {
			s := &Server{}
			if err := s.Add(Export{Name: "a", Device: block.NewMemory(1 << 20), Contexts: []MetaContext{{Name: "x-test:age", Extents: func(off, length int64, yield func(int64, uint64) bool) error {
				for ; length > 0; length -= 1000 {
					if !yield(min(length, 1000), uint64(off/1000)) {
						break
					}
					off += 1000
				}
				return nil
			}}}}); err != nil {
				t.Fatal(err)
			}
			d.Contexts = []string{"x-test:age", "x-test:none"}
			c, _ := dialPipes(t, d, s)
			defer c.Close()
			all := c.MetaContexts()
			if len(all) != 1 || all[0].Name != "x-test:age" {
				t.Fatalf("%d: %+v", style, all)
			}
			n, sum := int64(0), uint64(0)
			if err := all[0].Extents(5000, 1<<20-5000, func(length int64, flags uint64) bool {
				n, sum = n+length, max(sum, flags)
				return true
			}); err != nil || n != 1<<20-5000 || sum != 1048 {
				t.Errorf("%d bytes up to %d, %v", n, sum, err)
			}
		})
	}
}

// TestClientAllocates nothing for a request in the steady state.
func TestClientAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for style, d := range clientDialers {
		c, _ := dialPipes(t, d, newServer(t, block.NewMemory(1<<20)))
		defer c.Close()
		p := make([]byte, 4096)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		for name, call := range map[string]func() error{
			"read":               func() error { _, err := c.ReadAt(p, 8192); return err },
			"write":              func() error { _, err := c.WriteAt(p, 8192); return err },
			"read with context":  func() error { _, err := c.ReadAtContext(ctx, p, 8192); return err },
			"write with context": func() error { _, err := c.WriteAtContext(ctx, p, 8192, false); return err },
		} {
			if n := testing.AllocsPerRun(500, func() {
				if err := call(); err != nil {
					t.Fatal(err)
				}
			}); n > 0 {
				t.Errorf("headers %d: a %s allocates %v times", style, name, n)
			}
		}
	}
}
