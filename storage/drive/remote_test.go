package drive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/httpdisk"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
	"github.com/seed-012105e5/gonet/storage/nbd"
)

// A source is where a remote image is. It can be stopped, and started again at the same
// address.
type source struct {
	t       *testing.T
	golden  []byte
	address string
	stop    func()
	start   func()
	url     string
	open    func(ctx context.Context, url string) (*block.Disk, error)
	slow    atomic.Int64 // each answer takes so long
	broken  atomic.Bool  // each answer is an error
	bytes   atomic.Int64 // that were asked for
}

// listen listens at the address of before.
func (s *source) listen() net.Listener {
	s.t.Helper()
	if s.address == "" {
		s.address = "127.0.0.1:0"
	}
	for {
		l, err := net.Listen("tcp", s.address)
		if err == nil {
			s.address = l.Addr().String()
			return l
		}
		if s.t.Context().Err() != nil {
			s.t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond) // connections of before linger
	}
}

// ReadAt is the image for both kinds of servers.
func (s *source) ReadAt(p []byte, off int64) (int, error) {
	time.Sleep(time.Duration(s.slow.Load()))
	if s.broken.Load() {
		return 0, errors.New("the source is broken")
	}
	s.bytes.Add(int64(len(p)))
	return bytes.NewReader(s.golden).ReadAt(p, off)
}

// A goldenDevice is the image as a block device that notes whether somebody writes.
type goldenDevice struct {
	*block.Memory
	source *source
}

func (d *goldenDevice) ReadAt(p []byte, off int64) (int, error) { return d.source.ReadAt(p, off) }

func (d *goldenDevice) WriteAt([]byte, int64) (int, error) {
	d.source.t.Error("the golden image is written")
	return 0, block.ErrReadOnly
}

func overNBD(s *source) {
	s.start = func() {
		server := new(nbd.Server)
		if err := server.Add(nbd.Export{Name: "golden", Device: &goldenDevice{block.NewMemory(int64(len(s.golden))), s}, ReadOnly: true}); err != nil {
			s.t.Fatal(err)
		}
		l := s.listen()
		served := make(chan error, 1)
		go func() { served <- server.Serve(l) }()
		s.stop = func() {
			server.Close()
			<-served
		}
		s.url = "nbd://" + s.address + "/golden"
	}
	s.open = func(ctx context.Context, url string) (*block.Disk, error) {
		d := nbd.Dialer{ReconnectTimeout: time.Minute, RequestTimeout: 10 * time.Second}
		c, err := d.Dial(ctx, url)
		if err != nil {
			return nil, err
		}
		return block.NewDisk(c)
	}
}

func overHTTP(s *source) {
	s.start = func() {
		l := s.listen()
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if s.broken.Load() {
				http.Error(w, "broken", http.StatusInternalServerError)
				return
			}
			time.Sleep(time.Duration(s.slow.Load()))
			w.Header().Set("ETag", `"golden"`)
			http.ServeContent(&counted{w, &s.bytes}, r, "golden.img", time.Time{}, bytes.NewReader(s.golden))
		})}
		served := make(chan error, 1)
		go func() { served <- server.Serve(l) }()
		s.stop = func() {
			server.Close()
			<-served
		}
		s.url = "http://" + s.address + "/golden.img"
	}
	s.open = func(ctx context.Context, url string) (*block.Disk, error) {
		d, err := httpdisk.Open(ctx, url, httpdisk.Config{Client: &http.Client{Transport: &http.Transport{}}, Block: 16 << 10, ReadAhead: -1, Attempts: 100, Timeout: 10 * time.Second})
		if err != nil {
			return nil, err
		}
		return block.NewDisk(d)
	}
}

// counted counts what is sent.
type counted struct {
	http.ResponseWriter
	bytes *atomic.Int64
}

func (w *counted) Write(p []byte) (int, error) {
	w.bytes.Add(int64(len(p)))
	return w.ResponseWriter.Write(p)
}

// held is a Backend that keeps its medium for the test.
type held struct{ medium Medium }

func (b *held) Insert(_ context.Context, m Medium) error { b.medium = m; return nil }
func (b *held) Eject(context.Context, bool) error        { return nil }
func (b *held) Close() error                             { return nil }

// TestRemoteSources has a drive hold images of other servers, without a download, with an
// overlay for what a machine writes: the source stays as it is, whatever the machine does;
// what was written is there the next time; the source may end and come back, be slow, and
// fail.
func TestRemoteSources(t *testing.T) {
	for name, kind := range map[string]func(*source){"nbd": overNBD, "http": overHTTP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden := make([]byte, 4<<20)
			for i := range golden {
				golden[i] = byte(i / 4096)
			}
			s := &source{t: t, golden: bytes.Clone(golden)}
			kind(s)
			s.start()
			defer func() { s.stop() }()
			testSource(t, s)
			if !bytes.Equal(s.golden, golden) {
				t.Error("the golden image has changed")
			}
			if n := s.bytes.Load(); n > int64(len(golden))/2 {
				t.Errorf("%d bytes were read from the source for some blocks", n)
			}
		})
	}
}

func testSource(t *testing.T, s *source) {
	store, err := imagestore.Open(imagestore.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	b := new(held)
	var patience atomic.Int64 // of opening
	patience.Store(int64(30 * time.Second))
	d, err := New(Config{Store: store, Backend: b, OpenRemote: func(ctx context.Context, url string, _ map[string]string) (*block.Disk, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Duration(patience.Load()))
		defer cancel()
		return s.open(ctx, url)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	ctx, yes := t.Context(), true
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	read := func(off int64, want string) {
		t.Helper()
		p := make([]byte, len(want))
		if _, err := b.medium.Disk.ReadAt(p, off); err != nil || string(p) != want {
			t.Errorf("at %d there is %q, %v, want %q", off, p, err, want)
		}
	}
	plain := func(block int) string { return fmt.Sprintf("%c%c", byte(block), byte(block)) }
	must(d.SetParams(ctx, Params{Image: &s.url, RW: &yes, Overlay: &yes}))
	must(d.Connect(ctx))
	read(65*4096, plain(65))
	_, err = b.medium.Disk.WriteAt([]byte("changed"), 65*4096)
	must(errors.Join(err, b.medium.Disk.Sync()))
	read(65*4096, "changed")

	s.stop() // the source ends, and comes back while a machine reads
	got := make(chan error, 1)
	go func() {
		_, err := b.medium.Disk.ReadAt(make([]byte, 2), 200*4096)
		got <- err
	}()
	s.start()
	if err := <-got; err != nil {
		t.Errorf("a read while the source was away: %v", err)
	}
	read(201*4096, string([]byte{201, 201}))
	read(65*4096, "changed")

	s.slow.Store(int64(300 * time.Millisecond))
	read(120*4096, plain(120))
	s.slow.Store(0)

	must(d.Disconnect(ctx, false))
	must(d.Connect(ctx))
	read(65*4096, "changed")
	read(66*4096, plain(66))

	// A source that fails: the machine has an error, what is written is there, the drive
	// can be disconnected.
	s.broken.Store(true)
	late, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := b.medium.Disk.ReadAtContext(late, make([]byte, 2), 90*4096); err == nil {
		t.Error("a source that fails gives data")
	}
	read(65*4096, "changed")
	must(d.Disconnect(ctx, false))
	s.broken.Store(false)
	s.stop()
	patience.Store(int64(100 * time.Millisecond))
	if err := d.Connect(ctx); !errors.Is(err, ErrRemote) {
		t.Errorf("connecting without the source: %v", err)
	}
	patience.Store(int64(30 * time.Second))
	s.start()
	must(d.Connect(ctx))
	read(65*4096, "changed")
	read(91*4096, plain(91))
	must(d.Disconnect(ctx, false))
}
