package s3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/blocktest"
)

// A fault is what a server does to a request in place of what it should.
type fault int

const (
	faultNone    fault = iota
	fault500           // InternalError
	fault503           // SlowDown
	faultSlow          // does it, some seconds later
	faultRefused       // ends the connection at once
	faultRequest       // ends the connection within the request
	faultAnswer        // does it, and ends the connection within the answer
	faultLost          // does it, and ends the connection before the answer
)

// An unreliable server asks choose before each request.
type unreliable struct {
	handler http.Handler

	mu     sync.Mutex
	choose func(r *http.Request) fault
}

func (u *unreliable) set(choose func(r *http.Request) fault) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.choose = choose
}

func (u *unreliable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	f := faultNone
	if u.choose != nil {
		f = u.choose(r)
	}
	u.mu.Unlock()
	switch f {
	case fault500:
		http.Error(w, "<Error><Code>InternalError</Code></Error>", http.StatusInternalServerError)
	case fault503:
		http.Error(w, "<Error><Code>SlowDown</Code></Error>", http.StatusServiceUnavailable)
	case faultRefused:
		panic(http.ErrAbortHandler)
	case faultRequest:
		io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		panic(http.ErrAbortHandler)
	case faultAnswer, faultLost:
		rec := httptest.NewRecorder()
		u.handler.ServeHTTP(rec, r)
		if f == faultAnswer {
			for k, v := range rec.Header() {
				w.Header()[k] = v
			}
			w.WriteHeader(rec.Code)
			w.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
		}
		panic(http.ErrAbortHandler)
	case faultSlow:
		time.Sleep(3 * time.Second)
		fallthrough
	default:
		u.handler.ServeHTTP(w, r)
	}
}

// A world is an S3 server and a client on two stacks of ours, with a link between them
// that loses packets.
type world struct {
	server *unreliable
	config Config
	down   atomic.Bool // nobody can connect
}

// away has the server gone, or back.
func (w *world) away(yes bool) {
	w.down.Store(yes)
	w.server.set(nil)
	if yes {
		w.server.set(func(*http.Request) fault { return faultRefused })
	}
}

// inWorld runs f in virtual time.
func inWorld(t *testing.T, f func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		lossy := link.Impairment{Delay: 2 * time.Millisecond, Loss: 0.002, Seed: 1}
		la, lb := link.Cable(link.PipeConfig{}, lossy, lossy)
		host := func(l link.Link, addr string) *gonet.Stack {
			s, err := gonet.New(gonet.Config{Link: l, Addr: netip.MustParsePrefix(addr)})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		a, b := host(la, "10.0.0.1/24"), host(lb, "10.0.0.2/24")
		defer a.Close()
		defer b.Close()
		l, err := b.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		backend := s3mem.New()
		if err := backend.CreateBucket("bucket"); err != nil {
			t.Fatal(err)
		}
		w := &world{server: &unreliable{handler: gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()}}
		server := &http.Server{Handler: w.server}
		go server.Serve(l)
		defer time.Sleep(2 * time.Minute) // package http lingers on what it closes
		defer server.Close()
		w.config = small()
		w.config.Endpoint, w.config.Bucket = "http://10.0.0.2", "bucket"
		w.config.AccessKey, w.config.SecretKey = "key", "secret"
		w.config.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			if w.down.Load() {
				return nil, syscall.ECONNREFUSED
			}
			return a.DialContext(ctx, network, address)
		}
		w.config.Timeout = 10 * time.Second
		f(t, w)
	})
}

// TestOverStack keeps a disk on a server that is reached over our own stacks.
func TestOverStack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		d, err := Open(t.Context(), w.config)
		if err != nil {
			t.Fatal(err)
		}
		content := make([]byte, w.config.Size)
		r := rand.New(rand.NewPCG(2, 2))
		for i := range content[:700000] {
			content[i] = byte(r.Uint32())
		}
		if _, err := d.WriteAt(content[:700000], 0); err != nil {
			t.Fatal(err)
		}
		var told []int64
		if err := d.Upload(t.Context(), func(done, total int64) { told = append(told, done, total) }); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		w.config.ReadOnly = true
		if d, err = Open(t.Context(), w.config); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(content))
		if _, err := d.ReadAt(got, 0); err != nil || !bytes.Equal(got, content) {
			t.Errorf("what is read is not what was written (%v)", err)
		}
		var extents []block.Extent
		d.Extents(0, w.config.Size, func(e block.Extent) bool { extents = append(extents, e); return true })
		if len(extents) != 2 || extents[0].Hole || !extents[1].Hole || extents[0].Length != (700000+16383)&^16383 {
			t.Errorf("extents %+v", extents)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestFaults has the server fail in all ways, at every third request, under random
// writes.
func TestFaults(t *testing.T) {
	for _, journal := range []int64{0, 400 << 10} {
		inWorld(t, func(t *testing.T, w *world) {
			r := rand.New(rand.NewPCG(3, 3)) // the server's
			seeds := rand.New(rand.NewPCG(4, 4))
			counts := map[fault]int{}
			w.server.set(func(*http.Request) fault {
				f := faultNone
				if r.IntN(3) == 0 {
					f = fault(r.IntN(int(faultLost) + 1))
				}
				counts[f]++
				return f
			})
			if journal > 0 {
				w.config.Journal = journalOf(journal)
			}
			w.config.CloseWithin = time.Hour
			operations := 40
			if testing.Short() {
				operations = 12
			}
			model := blocktest.NewModel(int(w.config.Size / blocktest.SectorSize))
			for range 3 {
				d, err := Open(t.Context(), w.config)
				if err != nil {
					t.Fatal(err)
				}
				disk, err := block.NewDisk(d)
				if err != nil {
					t.Fatal(err)
				}
				if err := model.CheckAfterCut(disk); err != nil {
					t.Fatal(err)
				}
				var users sync.WaitGroup
				for u := range 4 {
					user := blocktest.User{Disk: disk, Model: model, Rand: rand.New(rand.NewPCG(seeds.Uint64(), 1)), Number: u, Of: 4, Durable: 5}
					users.Go(func() {
						if err := user.Run(operations); err != nil {
							t.Error(err)
						}
					})
				}
				users.Wait()
				if err := d.Sync(); err != nil {
					t.Fatal(err)
				}
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
			}
			for f := faultNone; f <= faultLost && !testing.Short(); f++ {
				if counts[f] == 0 {
					t.Errorf("fault %d did not happen", f)
				}
			}
		})
	}
}

// TestOutage has the server gone for minutes: reads of what is in memory and flushes
// go on, other reads and writes wait, memory is bounded, and what was flushed is
// there when the machine comes back.
func TestOutage(t *testing.T) {
	for _, killed := range []bool{false, true} {
		inWorld(t, func(t *testing.T, w *world) {
			w.config.Journal = journalOf(1 << 20)
			d, err := Open(t.Context(), w.config)
			if err != nil {
				t.Fatal(err)
			}
			unit := w.config.Chunk
			p := bytes.Repeat([]byte{1}, unit)
			for i := range 64 {
				if _, err := d.WriteAt(p, int64(i*unit)); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.Upload(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			w.away(true)
			began := time.Now()
			flushed := 0
			for i := range 64 { // until memory is full of what cannot be uploaded
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				_, err := d.WriteAtContext(ctx, bytes.Repeat([]byte{2}, unit), int64(i*unit), true)
				cancel()
				if errors.Is(err, context.DeadlineExceeded) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				flushed++
			}
			slots := int(w.config.Cache) / unit
			if s := d.Stats(); flushed < slots/2 || flushed >= slots || s.Cached > slots || s.Failures == 0 {
				t.Errorf("%d chunks were written while the server was away: %+v", flushed, s)
			}
			for range 5 {
				time.Sleep(time.Minute)
				at := time.Now()
				got := make([]byte, unit)
				if _, err := d.ReadAt(got, 0); err != nil || got[0] != 2 || time.Since(at) > time.Second {
					t.Errorf("a read of what is in memory: %d after %v, %v", got[0], time.Since(at), err)
				}
				if err := d.Sync(); err != nil || time.Since(at) > time.Second {
					t.Errorf("a Sync after %v: %v", time.Since(at), err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				if _, err := d.ReadAtContext(ctx, got, int64(30*unit)); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a read of what the server has: %v", err)
				}
				cancel()
			}
			waiting := make(chan error, 1)
			go func() {
				_, err := d.WriteAt(bytes.Repeat([]byte{4}, unit), int64(63*unit))
				waiting <- err
			}()
			time.Sleep(time.Minute)
			if killed {
				d.stop()
				<-waiting
				w.away(false)
				w.config.Create = false
				if d, err = Open(t.Context(), w.config); err != nil {
					t.Fatal(err)
				}
				if s := d.Stats(); s.Replayed == 0 {
					t.Errorf("nothing was replayed: %+v", s)
				}
			} else {
				select {
				case err := <-waiting:
					t.Errorf("a write did not wait: %v", err)
				default:
				}
				w.away(false)
				if err := <-waiting; err != nil {
					t.Error(err)
				}
			}
			if time.Since(began) < 5*time.Minute {
				t.Errorf("it took %v only", time.Since(began))
			}
			got := make([]byte, unit)
			for i := range flushed {
				if _, err := d.ReadAt(got, int64(i*unit)); err != nil || got[100] != 2 || got[unit-1] != 2 {
					t.Errorf("chunk %d is %d (%v)", i, got[100], err)
				}
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
