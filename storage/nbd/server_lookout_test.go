package nbd

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// TestLookout has a device that is quick, then slow once, then quick again, and
// follows who does the requests.
func TestLookout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScript()
		s := newServer(t, d)
		c := dialRaw(t, s)
		c.negotiate(headersStructured, "a")
		read := func(cookie uint64) { c.do(request{0, cmdRead, cookie, 0, 16}, nil, 0) }
		for i := range uint64(10) {
			read(i)
		}
		stats := s.Stats()
		if stats["Takeovers"] != 0 || stats["Requests.READ"] != 10 {
			t.Fatalf("quick requests:\n%v", stats)
		}

		// A quiet server does not tick.
		time.Sleep(time.Second)
		synctest.Wait()
		if !s.lookout.asleep.Load() {
			t.Error("the lookout looks at sessions that do nothing")
		}

		// One slow call: others pass it within some milliseconds, also when the
		// lookout has slept, and those before it are not kept back with it.
		for range 3 {
			hold := make(chan struct{})
			d.before = func(string, int64) error {
				d.mu.Lock()
				f := hold
				hold = nil
				d.mu.Unlock()
				if f != nil {
					<-f
				}
				return nil
			}
			release := hold
			c.write(appendRequest(appendRequest(nil, request{0, cmdRead, 1, 0, 16}, c.style), request{0, cmdRead, 2, 0, 16}, c.style))
			start := time.Now()
			if a := c.receive(16); a.cookie != 2 {
				t.Errorf("%+v", a)
			}
			if took := time.Since(start); took > 3*lookoutTick {
				t.Errorf("the request behind a slow one took %v", took)
			}
			close(release)
			if a := c.receive(16); a.cookie != 1 {
				t.Errorf("%+v", a)
			}
			for i := range uint64(leastPenalty * 8) {
				read(i)
			}
			time.Sleep(time.Second)
		}
		if n := s.Stats()["Takeovers"]; n != 3 {
			t.Errorf("%d takeovers, want 3", n)
		}
		s.Shutdown(t.Context())
	})
}

// TestLookoutPenalty checks that a device that is always slow is left to workers for
// longer each time, and that a device that was slow once is trusted again.
func TestLookoutPenalty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScript()
		d.before = func(string, int64) error { time.Sleep(10 * time.Millisecond); return nil }
		s := newServer(t, d)
		c := dialRaw(t, s)
		c.negotiate(headersSimple, "a")
		for i := range uint64(1000) {
			c.do(request{0, cmdRead, i, 0, 16}, nil, 0)
		}
		if n := s.Stats()["Takeovers"]; n < 2 || n > 5 {
			t.Errorf("%d takeovers in 1000 slow requests", n)
		}
		d.before = nil
		for i := range uint64(20*trustAfter + 2000) {
			c.do(request{0, cmdRead, i, 0, 16}, nil, 0)
		}
		before := s.Stats()["Takeovers"]
		d.before = func(string, int64) error { time.Sleep(10 * time.Millisecond); return nil }
		for i := range uint64(2 * leastPenalty) {
			c.do(request{0, cmdRead, i, 0, 16}, nil, 0)
		}
		if n := s.Stats()["Takeovers"] - before; n != 2 {
			t.Errorf("%d takeovers after a long good time, want 2", n)
		}
		s.Shutdown(t.Context())
	})
}

// TestSlowCalls has a device that is slow, but not so slow that the lookout steps in:
// its requests must run side by side all the same.
func TestSlowCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScript()
		d.before = func(string, int64) error { time.Sleep(lookoutTick / 2); return nil }
		s := newServer(t, d)
		c := dialRaw(t, s)
		c.negotiate(headersSimple, "a")
		var stream []byte
		const n = 32
		for i := range uint64(n) {
			stream = appendRequest(stream, request{0, cmdRead, i, 0, 16}, c.style)
		}
		for range 10 {
			go c.conn.Write(stream)
			start := time.Now()
			for range n {
				c.receive(16)
			}
			if took := time.Since(start); took > 4*lookoutTick {
				t.Errorf("%d requests of half a tick each took %v together", n, took)
			}
		}
		s.Shutdown(t.Context())
	})
}

// TestLookoutImmediate checks that devices that never wait have no lookout.
func TestLookoutImmediate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, block.NewMemory(1<<20))
		c := dialRaw(t, s)
		c.negotiate(headersSimple, "a")
		c.alive()
		if s.looking {
			t.Error("a lookout runs")
		}
		s.Shutdown(t.Context())
	})
}
