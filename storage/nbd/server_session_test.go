package nbd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

var styles = []headerStyle{headersSimple, headersStructured, headersExtended}

// inEachStyle runs test in a bubble for each style of headers, over a device that
// may be given a script.
func inEachStyle(t *testing.T, test func(t *testing.T, c *rawClient, d *scriptDevice)) {
	t.Helper()
	for _, style := range styles {
		t.Run(fmt.Sprintf("headers %d", style), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newScript()
				s := newServer(t, d)
				defer s.Close()
				c := dialRaw(t, s)
				if style == headersSimple {
					c.negotiate(style, "a")
				} else {
					c.negotiate(style, "a", contextAllocation)
				}
				test(t, c, d)
			})
		})
	}
}

// writeFlag is what a WRITE needs beside other flags.
func (c *rawClient) writeFlag() commandFlags {
	if c.style == headersExtended {
		return cmdFlagPayloadLen
	}
	return 0
}

// TestSessionCommands runs each command with each style of headers.
func TestSessionCommands(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c *rawClient, d *scriptDevice) {
		data := bytes.Repeat([]byte("0123456789abcdef"), 256)
		c.do(request{c.writeFlag(), cmdWrite, 1, 4096, 4096}, data, 0)
		for _, flags := range []commandFlags{0, cmdFlagDF} {
			if c.style == headersSimple && flags != 0 {
				continue
			}
			a := c.do(request{flags, cmdRead, 1 << 63, 4000, 200}, nil, 0)
			want := append(make([]byte, 96), data[:104]...)
			at := uint64(4000)
			if c.style == headersSimple {
				at = 0
			}
			if !bytes.Equal(a.data[at], want) || len(a.data) != 1 {
				t.Errorf("flags %v: read %v", flags, a.data)
			}
		}
		c.do(request{cmdFlagFUA | c.writeFlag(), cmdWrite, 2, 0, 4}, data[:4], 0)
		c.do(request{0, cmdFlush, 3, 0, 0}, nil, 0)
		c.do(request{0, cmdTrim, 4, 0, 65536}, nil, 0)
		c.do(request{cmdFlagFUA, cmdTrim, 5, 65536, 65536}, nil, 0)
		c.do(request{0, cmdCache, 6, 0, 65536}, nil, 0)
		c.do(request{cmdFlagNoHole, cmdWriteZeroes, 7, 0, 65536}, nil, 0)
		c.do(request{cmdFlagFUA | cmdFlagFastZero, cmdWriteZeroes, 8, 0, 65536}, nil, 0)
		for _, cmd := range []command{cmdRead, cmdTrim, cmdCache, cmdWriteZeroes} {
			c.do(request{0, cmd, 9, 100, 0}, nil, 0)
		}
		c.alive()
		calls := "write,read,write FUA,sync,trim,trim,sync,prefetch,zero no hole,zero fast FUA"
		got := slices.Compact(d.calls)
		if c.style != headersSimple { // one more for DF
			got = slices.Compact(got)
		}
		if all := strings.Join(got, ","); !strings.HasPrefix(all, strings.Replace(calls, "trim,trim", "trim", 1)) {
			t.Errorf("calls of the device: %s, want %s", all, calls)
		}
	})
}

// TestSessionStatus checks BLOCK_STATUS, with one extent and many, and by payload.
func TestSessionStatus(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c *rawClient, d *scriptDevice) {
		if c.style == headersSimple {
			c.do(request{0, cmdBlockStatus, 1, 0, 1 << 20}, nil, EINVAL)
			c.alive()
			return
		}
		d.Memory.WriteAt([]byte{1}, 128<<10)
		holes := uint64(stateHole | stateZero)
		for _, q := range []struct {
			r    request
			want string
		}{
			{request{0, cmdBlockStatus, 1, 0, 1 << 20}, fmt.Sprint([]descriptor{{128 << 10, holes}, {64 << 10, 0}, {832 << 10, holes}})},
			{request{cmdFlagReqOne, cmdBlockStatus, 1, 0, 1 << 20}, fmt.Sprint([]descriptor{{128 << 10, holes}})},
			{request{cmdFlagReqOne, cmdBlockStatus, 1, 1000, 50}, fmt.Sprint([]descriptor{{50, holes}})},
			{request{0, cmdBlockStatus, 1, 128 << 10, 1}, fmt.Sprint([]descriptor{{1, 0}})},
		} {
			a := c.do(q.r, nil, 0)
			if got := fmt.Sprint(a.status[1]); got != q.want || len(a.status) != 1 || len(a.chunks) != 1 {
				t.Errorf("%+v: %v, want %s", q.r, a.status, q.want)
			}
		}
		c.do(request{0, cmdBlockStatus, 1, 0, 0}, nil, EINVAL)
		if c.style == headersExtended {
			for _, p := range []struct {
				payload []byte
				want    Errno
			}{
				{appendBlockStatusPayload(nil, 4096, []uint32{1}), 0},
				{appendBlockStatusPayload(nil, 4096, []uint32{2}), EINVAL},
				{appendBlockStatusPayload(nil, 4096, []uint32{1, 1}), EINVAL},
				{appendBlockStatusPayload(nil, 4096, nil), EINVAL},
				{appendBlockStatusPayload(nil, 2<<20, []uint32{1}), EINVAL},
				{[]byte{1, 2, 3}, EINVAL},
				{make([]byte, 4096), EINVAL},
			} {
				c.do(request{cmdFlagPayloadLen, cmdBlockStatus, 2, 0, uint64(len(p.payload))}, p.payload, p.want)
			}
		}
		c.alive()
	})
}

// TestSessionHoles checks that READ sends holes as such to a client that takes them
// and has not asked for base:allocation, but with DF.
func TestSessionHoles(t *testing.T) {
	for _, style := range styles {
		synctest.Test(t, func(t *testing.T) {
			d := newScript()
			s := newServer(t, d)
			defer s.Close()
			d.Memory.WriteAt([]byte{1}, 128<<10)
			c := dialRaw(t, s)
			c.negotiate(style, "a")
			a := c.do(request{0, cmdRead, 1, 0, 512 << 10}, nil, 0)
			if style == headersSimple {
				if len(a.data[0]) != 512<<10 {
					t.Errorf("%d bytes", len(a.data[0]))
				}
				return
			}
			if len(a.chunks) != 3 || a.holes[0] != 128<<10 || len(a.data[128<<10]) != 64<<10 || a.data[128<<10][0] != 1 || a.holes[192<<10] != 320<<10 {
				t.Errorf("headers %d: chunks %+v, holes %v", style, a.chunks, a.holes)
			}
			a = c.do(request{cmdFlagDF, cmdRead, 1, 0, 512 << 10}, nil, 0)
			if len(a.chunks) != 1 || len(a.data[0]) != 512<<10 || a.data[0][128<<10] != 1 {
				t.Errorf("headers %d with DF: chunks %+v", style, a.chunks)
			}
		})
	}
}

// TestSessionErrors checks that each command tells each error of the device, and
// that the connection lives on: for FLUSH above all, whose error is the only sign
// of lost writes.
func TestSessionErrors(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c *rawClient, d *scriptDevice) {
		for _, e := range []struct {
			err  error
			want Errno
		}{
			{syscall.EPERM, EPERM}, {errors.New("sector not found"), EIO}, {syscall.ENOMEM, ENOMEM}, {syscall.EINVAL, EINVAL}, {syscall.ENOSPC, ENOSPC},
			{syscall.EFBIG, ENOSPC}, {syscall.EOVERFLOW, EOVERFLOW}, {syscall.ESHUTDOWN, ESHUTDOWN},
		} {
			d.before = func(string, int64) error { return e.err }
			payload := []byte("never written")
			for _, r := range []request{
				{0, cmdRead, 1, 0, 100}, {c.writeFlag(), cmdWrite, 2, 0, uint64(len(payload))}, {c.writeFlag() | cmdFlagFUA, cmdWrite, 2, 0, uint64(len(payload))},
				{0, cmdFlush, 3, 0, 0}, {0, cmdTrim, 4, 0, 65536}, {0, cmdCache, 5, 0, 100}, {0, cmdWriteZeroes, 6, 0, 100},
			} {
				var p []byte
				if r.cmd == cmdWrite {
					p = payload
				}
				c.do(r, p, e.want)
			}
			d.before = nil
			c.alive()
		}
		// FAST_ZERO alone may fail with ENOTSUP.
		d.before = func(op string, _ int64) error {
			if strings.HasPrefix(op, "zero") {
				return block.ErrNotSupported
			}
			return nil
		}
		c.do(request{cmdFlagFastZero, cmdWriteZeroes, 1, 0, 100}, nil, ENOTSUP)
		c.do(request{0, cmdWriteZeroes, 1, 0, 100}, nil, 0)
		// Where the device tells the offset, so does the reply.
		d.before = func(op string, off int64) error {
			return &block.MediumError{Op: op, Off: off + 512, Err: syscall.EIO}
		}
		if a := c.do(request{0, cmdRead, 1, 4096, 1024}, nil, EIO); c.style != headersSimple && a.offset != 4608 {
			t.Errorf("the error is told at %d", a.offset)
		}
	})
}

// TestSessionRefused sends requests that are refused, each with its payload, and
// checks that what follows is not misread.
func TestSessionRefused(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c *rawClient, d *scriptDevice) {
		c.do(request{c.writeFlag(), cmdWrite, 1, 1<<20 - 1, 100}, make([]byte, 100), ENOSPC)
		c.alive()
		c.do(request{c.writeFlag() | 1<<9, cmdWrite, 1, 0, 3 << 20}, make([]byte, 3<<20), EINVAL)
		c.alive()
		if c.style == headersExtended {
			c.do(request{cmdFlagPayloadLen, cmdTrim, 1, 0, 5000}, make([]byte, 5000), EINVAL)
			c.do(request{cmdFlagPayloadLen, 99, 1, 0, 5000}, make([]byte, 5000), EINVAL)
			c.alive()
			c.do(request{0, cmdWrite, 1, 0, 5000}, nil, EINVAL)
		} else {
			c.do(request{0, cmdWrite, 1, 0, 40 << 20}, make([]byte, 40<<20), EINVAL)
			for cmd := cmdFlush; cmd < 20; cmd++ { // length is no payload, whatever the command
				c.do(request{1 << 9, cmd, 1, 0, 1 << 20}, nil, EINVAL)
			}
		}
		c.alive()
		for _, r := range []request{{0, cmdRead, 1, 1 << 20, 512}, {0, cmdRead, 1, 0, 33 << 20}, {0, cmdRead, 1, 0, 1<<32 - 1}, {0, cmdRead, 1, 1<<64 - 512, 512}} {
			c.send(r, nil)
			if a := c.receive(0); a.errno != EINVAL {
				t.Errorf("%+v: error %d", r, a.errno)
			}
		}
		c.alive()
		// What cannot be understood ends the connection.
		c.write(make([]byte, c.style.requestSize()))
		c.ends("a wrong magic number")
	})
}

// TestSessionParallel holds one request of each kind in the device and checks that
// others pass it.
func TestSessionParallel(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c *rawClient, d *scriptDevice) {
		for _, r := range []request{{0, cmdRead, 1, 0, 10}, {c.writeFlag(), cmdWrite, 1, 0, 10}, {0, cmdFlush, 1, 0, 0}, {0, cmdTrim, 1, 0, 65536}, {0, cmdWriteZeroes, 1, 0, 10}, {0, cmdCache, 1, 0, 10}} {
			release := make(chan struct{})
			first := true
			d.before = func(string, int64) error {
				d.mu.Lock()
				hold := first
				first = false
				d.mu.Unlock()
				if hold {
					<-release
				}
				return nil
			}
			var payload []byte
			if r.cmd == cmdWrite {
				payload = make([]byte, 10)
			}
			c.send(r, payload)
			synctest.Wait()
			c.alive()
			close(release)
			n := 0
			if r.cmd == cmdRead {
				n = 10
			}
			if a := c.receive(n); a.cookie != 1 || a.errno != 0 {
				t.Errorf("%v: %+v", r.cmd, a)
			}
		}
	})
}

// TestSessionBounds asks for more than a connection may hold, with a device that
// answers nothing, and checks what the server takes of it.
func TestSessionBounds(t *testing.T) {
	for _, c := range []struct {
		name        string
		requests    int // MaxRequests
		memory      int // MaxMemory
		length      uint64
		wantCalls   int
		wantWorkers int
	}{
		{"requests", 8, 0, 512, 8, 8},
		{"memory", 64, 1 << 20, 256 << 10, 4, 4},
		{"one request larger than all memory", 64, 100, 256 << 10, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newScript()
				release := make(chan struct{})
				d.before = func(string, int64) error { <-release; return nil }
				s := &Server{MaxRequests: c.requests, MaxMemory: c.memory}
				if err := s.Add(Export{Name: "a", Device: d}); err != nil {
					t.Fatal(err)
				}
				raw := dialRaw(t, s)
				raw.negotiate(headersSimple, "a")
				sent := make(chan int)
				go func() {
					n := 0
					for range 200 {
						if _, err := raw.conn.Write(appendRequest(nil, request{0, cmdRead, uint64(n), 0, c.length}, headersSimple)); err != nil {
							break
						}
						n++
					}
					sent <- n
				}()
				time.Sleep(time.Second) // until the lookout has seen the first
				synctest.Wait()
				if len(d.calls) != c.wantCalls {
					t.Errorf("%d requests are at the device at once, want %d", len(d.calls), c.wantCalls)
				}
				close(release)
				for range 200 {
					if a := raw.receive(int(c.length)); a.errno != 0 {
						t.Fatalf("%+v", a)
					}
				}
				if n := <-sent; n != 200 {
					t.Errorf("%d were sent", n)
				}
				if s.Stats()["WaitsForBudget"] == 0 {
					t.Error("no wait was counted")
				}
				s.Shutdown(t.Context())
			})
		})
	}
}

// TestSessionWorkers checks that a server whose workers are all taken serves each
// connection with one of its own.
func TestSessionWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScript()
		release := make(chan struct{})
		d.before = func(string, int64) error { <-release; return nil }
		s := &Server{MaxWorkers: 1}
		if err := s.Add(Export{Name: "a", Device: d}); err != nil {
			t.Fatal(err)
		}
		var clients []*rawClient
		for range 3 {
			c := dialRaw(t, s)
			c.negotiate(headersSimple, "a")
			clients = append(clients, c)
			var four []byte
			for i := range 4 {
				four = appendRequest(four, request{0, cmdRead, uint64(i), 0, 1}, headersSimple)
			}
			go c.conn.Write(four)
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if len(d.calls) != 4 {
			t.Errorf("%d calls of the device at once, want 3+1", len(d.calls))
		}
		close(release)
		for _, c := range clients {
			for range 4 {
				c.receive(1)
			}
		}
		s.Shutdown(t.Context())
		if n := s.workers.Load(); n != 0 {
			t.Errorf("%d workers are left over", n)
		}
	})
}

// TestSessionWorkersRest checks that workers which a session has needed once are there for
// other sessions when it has rested, and come again when it needs them.
func TestSessionWorkersRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScript()
		d.before = func(string, int64) error { time.Sleep(time.Second); return nil }
		s := newServer(t, d)
		c := dialRaw(t, s)
		c.negotiate(headersSimple, "a")
		most := int64(0)
		for range 2 {
			var eight []byte
			for i := range 8 {
				eight = appendRequest(eight, request{0, cmdRead, uint64(i), 0, 1}, headersSimple)
			}
			c.write(eight)
			start := time.Now()
			time.Sleep(time.Second / 2)
			most = max(most, s.workers.Load())
			for range 8 {
				c.receive(1)
			}
			if took := time.Since(start); took >= 2*time.Second {
				t.Errorf("8 reads at once take %v", took)
			}
			time.Sleep(2 * workerRest)
			if n := s.workers.Load(); n != 0 {
				t.Errorf("%d workers are left over", n)
			}
		}
		if most < 6 {
			t.Errorf("%d workers at most for 8 reads", most)
		}
		s.Shutdown(t.Context())
	})
}

// TestSessionDisc checks that DISC waits for what is under way, and that no byte
// comes after.
func TestSessionDisc(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c *rawClient, d *scriptDevice) {
		d.before = func(op string, _ int64) error {
			if op == "write" {
				time.Sleep(time.Second)
			}
			return nil
		}
		c.send(request{c.writeFlag(), cmdWrite, 5, 0, 3}, []byte("abc"))
		c.send(request{0, cmdDisc, 0, 0, 0}, nil)
		if a := c.receive(0); a.cookie != 5 || a.errno != 0 {
			t.Errorf("%+v", a)
		}
		c.ends("DISC")
		b := make([]byte, 3)
		if d.Memory.ReadAt(b, 0); string(b) != "abc" {
			t.Errorf("the device has %q", b)
		}
	})
}

// TestSessionLoss cuts the connection at each byte of some requests, and checks
// that all ends, and that what was received whole is done.
func TestSessionLoss(t *testing.T) {
	for _, style := range styles {
		var stream []byte
		flags := commandFlags(0)
		if style == headersExtended {
			flags = cmdFlagPayloadLen
		}
		stream = appendRequest(stream, request{flags, cmdWrite, 1, 0, 3}, style)
		stream = append(stream, "abc"...)
		whole := len(stream)
		stream = appendRequest(stream, request{0, cmdRead, 2, 0, 3}, style)
		stream = appendRequest(stream, request{flags, cmdWrite, 3, 3, 3}, style)
		stream = append(stream, "def"...)
		for cut := range len(stream) + 1 {
			synctest.Test(t, func(t *testing.T) {
				d := newScript()
				s := newServer(t, d)
				c := dialRaw(t, s)
				c.negotiate(style, "a")
				go io.Copy(io.Discard, c.conn)
				c.write(stream[:cut])
				c.conn.Close()
				synctest.Wait()
				if n := s.Stats()["ConnectionsOpen"]; n != 0 {
					t.Errorf("headers %d, cut at %d: the connection has not ended", style, cut)
				}
				b := make([]byte, 6)
				d.Memory.ReadAt(b, 0)
				want := [2]string{"\x00\x00\x00", "\x00\x00\x00"}
				if cut >= whole {
					want[0] = "abc"
				}
				if cut == len(stream) {
					want[1] = "def"
				}
				if got := string(b); got != want[0]+want[1] {
					t.Errorf("headers %d, cut at %d: the device has %q", style, cut, got)
				}
			})
		}
	}
}

// TestSessionStuck has a client that never reads. It costs its own memory alone,
// and is cut off by the end of the server's patience.
func TestSessionStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, block.NewMemory(1<<20))
		stuck := dialRaw(t, s)
		stuck.negotiate(headersSimple, "a")
		go func() {
			for {
				if _, err := stuck.conn.Write(appendRequest(nil, request{0, cmdRead, 1, 0, 4096}, headersSimple)); err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		other := dialRaw(t, s)
		other.negotiate(headersSimple, "a")
		other.alive()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

// TestSessionSize checks requests while the device changes its size, down to
// nothing: beyond it no zeroes are read, but an error is told.
func TestSessionSize(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c *rawClient, d *scriptDevice) {
		c.alive()
		d.Memory.Resize(0)
		c.send(request{0, cmdRead, 1, 0, 512}, nil)
		if a := c.receive(0); a.errno != EINVAL {
			t.Errorf("a read of a device that has no bytes any more: %+v", a)
		}
		c.do(request{c.writeFlag(), cmdWrite, 2, 0, 512}, make([]byte, 512), ENOSPC)
		c.do(request{0, cmdFlush, 3, 0, 0}, nil, 0)
		d.Memory.Resize(2 << 20)
		c.do(request{c.writeFlag(), cmdWrite, 2, 3 << 19, 512}, make([]byte, 512), 0)
		c.alive()
	})
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, block.NewMemory(0))
		c := dialRaw(t, s)
		c.negotiate(headersStructured, "a", contextAllocation)
		if c.size != 0 {
			t.Errorf("size %d", c.size)
		}
		c.send(request{0, cmdRead, 1, 0, 1}, nil)
		if a := c.receive(0); a.errno != EINVAL {
			t.Errorf("%+v", a)
		}
		c.do(request{0, cmdBlockStatus, 1, 0, 512}, nil, EINVAL)
		c.do(request{0, cmdFlush, 3, 0, 0}, nil, 0)
		s.Shutdown(t.Context())
	})
}

// TestSessionResize runs the resize extension.
func TestSessionResize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := block.NewMemory(1 << 20)
		s := &Server{}
		if err := s.Add(Export{Name: "a", Device: m, AllowResize: true}); err != nil {
			t.Fatal(err)
		}
		c := dialRaw(t, s)
		c.negotiate(headersStructured, "a")
		if !c.flags.Has(FlagSendResize) {
			t.Errorf("flags %v", c.flags)
		}
		c.do(request{0, cmdResize, 1, 2 << 20, 0}, nil, 0)
		if size, _ := m.Size(); size != 2<<20 {
			t.Errorf("size %d", size)
		}
		c.do(request{0, cmdWrite, 2, 2<<20 - 1, 1}, []byte{1}, 0)
		c.do(request{0, cmdResize, 1, 4096, 0}, nil, 0)
		c.do(request{0, cmdWrite, 2, 4096, 1}, []byte{1}, ENOSPC)
		s.Shutdown(t.Context())
	})
}

// overlappingWrites writes parts of the same blocks by many requests at once,
// over several connections and two exports of the device: each byte must be of the
// request that alone wrote it.
func overlappingWrites(t *testing.T) {
	s := &Server{}
	file := aligned{block.NewMemory(1 << 20)}
	for _, name := range []string{"a", "b"} {
		if err := s.Add(Export{Name: name, Device: file}); err != nil {
			t.Fatal(err)
		}
	}
	const n, clients = 2000, 4
	var done sync.WaitGroup
	for k := range clients {
		near, far := net.Pipe()
		go s.ServeConn(far)
		defer near.Close()
		c := &rawClient{t: t, conn: near}
		c.hello(flagFixedNewstyle)
		c.negotiate(headersSimple, string(rune('a'+k%2)))
		go func() {
			for i := k; i < n; i += clients { // 100 bytes each, so that many share a block of 4096
				c.conn.Write(append(appendRequest(nil, request{0, cmdWrite, uint64(i), uint64(i * 100), 100}, headersSimple), bytes.Repeat([]byte{byte(i)}, 100)...))
			}
		}()
		done.Go(func() {
			reply := make([]byte, simpleReplySize)
			for i := k; i < n; i += clients {
				if _, err := io.ReadFull(c.conn, reply); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done.Wait()
	b := make([]byte, n*100)
	file.ReadAt(b, 0)
	for i, v := range b {
		if v != byte(i/100) {
			t.Fatalf("byte %d is of another write than the one that wrote it", i)
		}
	}
	s.Close()
}

// aligned takes blocks of 4096 bytes only.
type aligned struct{ *block.Memory }

// ReadAt leaves others time between the read of a block and its write.
func (a aligned) ReadAt(p []byte, off int64) (int, error) {
	n, err := a.Memory.ReadAt(p, off)
	runtime.Gosched()
	return n, err
}

func (aligned) Immediate() bool              { return false }
func (aligned) BlockSizes() block.BlockSizes { return block.BlockSizes{Minimum: 4096} }
