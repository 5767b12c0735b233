package vhostblk

import (
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/vhost"
	"github.com/seed-012105e5/gonet/vhost/memory"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// A rawDriver offers whatever chains a test wants. Its rings lie in one file, and data
// in another.
type rawDriver struct {
	t     *testing.T
	front *vhost.Frontend
	table *memory.Table
	data  int // file descriptor
	rings []*rawRing
}

type rawRing struct {
	*virtqueue.Driver
	kick, call *vhost.Event
	config     virtqueue.Config
}

const (
	rawRings = 0x1000_0000
	rawData  = 0x2000_0000
	rawUser  = 0x1_0000_0000 // behind the guest's addresses
	rawLen   = 1 << 20
	rawSize  = 16 // of a ring
)

// region maps a new file.
func region(t *testing.T, at uint64) (memory.Region, *memory.Mapping, int) {
	t.Helper()
	fd, err := memory.Create("gonet-vhostblk-test", rawLen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	r := memory.Region{Guest: at, Size: rawLen, User: at + rawUser}
	m, err := memory.Map(r, fd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Release)
	return r, m, fd
}

// dialRaw sets up that many rings.
func dialRaw(t *testing.T, path string, rings int) *rawDriver {
	t.Helper()
	front, err := vhost.Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { front.Close() })
	d := &rawDriver{t: t, front: front}
	if err := front.Negotiate(featureAll|virtqueue.FeatureVersion1|virtqueue.FeatureIndirect, vhost.ProtocolReplyAck|vhost.ProtocolConfig|vhost.ProtocolMQ, virtqueue.FeatureVersion1); err != nil {
		t.Fatal(err)
	}
	a, ma, fa := region(t, rawRings)
	b, mb, fb := region(t, rawData)
	d.data = fb
	if d.table, err = memory.NewTable(ma, mb); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.table.Release)
	if err := front.SetMemory([]memory.Region{a, b}, []int{fa, fb}); err != nil {
		t.Fatal(err)
	}
	for i := range rings {
		at := uint64(rawRings + rawUser + i*0x4000)
		r := &rawRing{config: virtqueue.Config{Size: rawSize, Features: front.Features, Descriptors: at, Driver: at + 0x1000, Device: at + 0x2000}}
		if r.Driver, err = virtqueue.NewDriver(d.table, r.config); err != nil {
			t.Fatal(err)
		}
		for _, e := range []**vhost.Event{&r.kick, &r.call} {
			if *e, err = vhost.NewEvent(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { (*e).Close() })
		}
		if err := front.StartRing(i, vhost.RingConfig{Config: r.config, Kick: r.kick.FD(), Call: r.call.FD()}); err != nil {
			t.Fatal(err)
		}
		d.rings = append(d.rings, r)
	}
	return d
}

// at is memory of a page of the data.
func (d *rawDriver) at(page int) []byte {
	b, err := d.table.Slice(rawData+uint64(page)*4096, 4096)
	if err != nil {
		d.t.Fatal(err)
	}
	return b
}

// offer offers a request: its bytes and the status lie in one page, data in the next.
func (d *rawDriver) offer(r *rawRing, page int, readable []byte, data, status int, deviceWrites bool) {
	d.t.Helper()
	copy(d.at(page), readable)
	at := uint64(rawData + page*4096)
	spans := []virtqueue.Span{{Addr: at, Len: uint32(len(readable))}}
	n := 1
	if data > 0 {
		spans = append(spans, virtqueue.Span{Addr: at + 4096, Len: uint32(data)})
		if !deviceWrites {
			n++
		}
	}
	if status > 0 {
		d.at(page)[4095] = 0xff
		spans = append(spans, virtqueue.Span{Addr: at + 4095, Len: 1})
	}
	d.add(r, spans, n)
}

func (d *rawDriver) add(r *rawRing, spans []virtqueue.Span, readable int) {
	d.t.Helper()
	if _, err := r.Add(spans, readable); err != nil {
		d.t.Fatal(err)
	}
	if r.Publish() {
		r.kick.Signal()
	}
}

// back waits until a chain has come back, for that long.
func (d *rawDriver) back(r *rawRing, most time.Duration) bool {
	d.t.Helper()
	for end := time.Now().Add(most); ; {
		_, _, ok, err := r.Take()
		if err != nil {
			d.t.Fatal(err)
		}
		if ok {
			return true
		}
		if r.Arm() {
			continue
		}
		r.call.SetDeadline(end)
		if r.call.Wait() != nil {
			return false
		}
	}
}

// do does a request, and returns its status.
func (d *rawDriver) do(r *rawRing, readable []byte, data int, deviceWrites bool) byte {
	d.t.Helper()
	d.offer(r, 0, readable, data, 1, deviceWrites)
	if !d.back(r, time.Minute) {
		d.t.Fatal("a request does not come back")
	}
	return d.at(0)[4095]
}

// listen serves a device, and brings what is reported to a channel.
func listen(t *testing.T, dev block.Device, c Config) (path string, b *Backend, reports chan error) {
	t.Helper()
	reports = make(chan error, 100)
	c.Report = func(ring int, err error) {
		select {
		case reports <- err:
		default:
		}
	}
	path = filepath.Join(t.TempDir(), "s")
	b, err := Listen(path, dev, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return path, b, reports
}

// works says that a disk can be used.
func works(t *testing.T, path string) {
	t.Helper()
	f, err := Dial(path, FrontendConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := make([]byte, 4096)
	if _, err := f.WriteAt(p, 8192); err != nil {
		t.Error(err)
	}
	if _, err := f.ReadAt(p, 8192); err != nil {
		t.Error(err)
	}
}
