package vhostblk

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/internal/testing/usbhost"
	"github.com/seed-012105e5/gonet/storage/iscsi"
	"github.com/seed-012105e5/gonet/storage/nbd"
	"github.com/seed-012105e5/gonet/storage/scsi"
	"github.com/seed-012105e5/gonet/storage/usb"
	"github.com/seed-012105e5/gonet/storage/usb/usbip"
	"github.com/seed-012105e5/gonet/vhost"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// TestSlow: requests of a device that does not answer hold up no others, which are put
// back before them. When as many are stuck as may be under way the ring waits, and then
// goes on.
func TestSlow(t *testing.T) {
	hold := make(chan struct{})
	calls := make(chan struct{}, 100)
	var stuck atomic.Int64
	dev := &slow{block.NewMemory(1 << 20), func() {
		calls <- struct{}{}
		if stuck.Add(-1) >= 0 {
			<-hold
		}
	}}
	b, f := serve(t, dev, Config{Requests: 3}, FrontendConfig{})
	results := make(chan error, 10)
	read := func() {
		_, err := f.ReadAt(make([]byte, 4096), 0)
		results <- err
	}
	stuck.Store(2)
	go read()
	go read()
	<-calls
	<-calls
	for range 20 { // past them
		go read()
		<-calls
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	stuck.Store(1)
	go read()
	<-calls
	go read() // which has to wait
	if n := b.Stats().Workers; n > 3 {
		t.Errorf("%d workers", n)
	}
	select {
	case <-results:
		t.Error("a request has come back that was stuck, or had to wait")
	case <-calls:
		t.Error("more requests are under way than may be")
	case <-time.After(20 * time.Millisecond):
	}
	close(hold)
	for range 4 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// TestShare: of long reads that wait together all but the last are handed to workers, so
// that several processors copy; short ones are not.
func TestShare(t *testing.T) {
	name := filepath.Join(t.TempDir(), "disk")
	dev, err := block.OpenFile(name, block.FileConfig{Create: true, Size: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	if _, err := dev.WriteAt(make([]byte, 4<<20), 0); err != nil { // into the page cache
		t.Fatal(err)
	}
	for _, c := range []struct {
		length int
		handed uint64
	}{{sharedBytes, 3}, {4096, 0}} {
		path, b, _ := listen(t, dev, Config{})
		d := dialRaw(t, path, 1)
		r := d.rings[0]
		for i := range 4 {
			at := uint64(rawData + i*(sharedBytes+8192))
			copy(d.at(i*(sharedBytes+8192)/4096), head(typeIn, 0))
			spans := []virtqueue.Span{{Addr: at, Len: headLen}, {Addr: at + 4096, Len: uint32(c.length)}, {Addr: at + 4095, Len: 1}}
			if _, err := r.Add(spans, 1); err != nil {
				t.Fatal(err)
			}
		}
		if r.Publish() {
			r.kick.Signal()
		}
		for range 4 {
			if !d.back(r, time.Minute) {
				t.Fatal("a request does not come back")
			}
		}
		if s := b.Stats(); s.Handed != c.handed || s.Requests != 4 || s.Failed != 0 {
			t.Errorf("of 4 reads of %d bytes %d were handed on, and should be %d: %+v", c.length, s.Handed, c.handed, s)
		}
	}
}

// TestClaim: of two back ends with the same file the second one's rings wait until the
// first one's front end has stopped those, and then the other way round.
func TestClaim(t *testing.T) {
	name := filepath.Join(t.TempDir(), "disk")
	var paths []string
	var reports []chan error
	for range 2 {
		dev, err := block.OpenFile(name, block.FileConfig{Create: true, Size: 1 << 20, ClaimLater: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { dev.Close() })
		path, _, r := listen(t, dev, Config{})
		paths, reports = append(paths, path), append(reports, r)
	}
	d := dialRaw(t, paths[0], 2)
	for i := 1; i < 5; i++ {
		if got := d.do(d.rings[0], head(typeIn, 0), 512, true); got != statusOK {
			t.Fatalf("status %d", got)
		}
		next := dialRaw(t, paths[i%2], 2)
		next.offer(next.rings[0], 0, head(typeIn, 0), 512, 1, true)
		select {
		case err := <-reports[i%2]:
			if !errors.Is(err, block.ErrInUse) {
				t.Fatal(err)
			}
		case <-time.After(time.Minute):
			t.Fatal("the second one does not say that it waits")
		}
		// Changes of the rings do not give it up, nor does the stop of one of them.
		if err := d.front.EnableRing(0, false); err != nil {
			t.Fatal(err)
		}
		if err := d.front.EnableRing(0, true); err != nil {
			t.Fatal(err)
		}
		if _, err := d.front.StopRing(0); err != nil {
			t.Fatal(err)
		}
		if next.back(next.rings[0], 50*time.Millisecond) {
			t.Fatal("two have the disk at once")
		}
		if _, err := d.front.StopRing(1); err != nil {
			t.Fatal(err)
		}
		if !next.back(next.rings[0], time.Minute) {
			t.Fatal("the second one waits for ever")
		}
		d.front.Close()
		d = next
		for len(reports[i%2]) > 0 {
			<-reports[i%2]
		}
	}
}

// TestResize: the front end hears of each new size.
func TestResize(t *testing.T) {
	disk, err := block.NewDisk(openFile(t, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	_, f := serve(t, disk, Config{}, FrontendConfig{})
	sizes := make(chan int64, 10)
	defer f.NotifyResize(func(size int64) { sizes <- size })()
	p := make([]byte, 512)
	for _, size := range []int64{3 << 20, 2 << 20} {
		if err := disk.Resize(size); err != nil {
			t.Fatal(err)
		}
		if got := <-sizes; got != size {
			t.Errorf("the size is %d, and should be %d", got, size)
		}
		if _, err := f.ReadAt(p, size-512); err != nil {
			t.Error(err)
		}
	}
	if _, err := f.ReadAt(p, 2<<20); !errors.Is(err, block.ErrRange) {
		t.Errorf("a read beyond the end: %v", err)
	}
}

// A watched device says how it was written to.
type watched struct {
	*block.Memory
	plain, fua, syncs atomic.Int64
}

func (w *watched) WriteAt(p []byte, off int64) (int, error) {
	w.plain.Add(1)
	return w.Memory.WriteAt(p, off)
}

func (w *watched) WriteAtFUA(p []byte, off int64) (int, error) {
	w.fua.Add(1)
	return w.Memory.WriteAt(p, off)
}

func (w *watched) Sync() error { w.syncs.Add(1); return nil }

// TestWriteback: without the write cache writes are durable when they come back.
func TestWriteback(t *testing.T) {
	dev := &watched{Memory: block.NewMemory(1 << 20)}
	b, f := serve(t, dev, Config{}, FrontendConfig{})
	p := make([]byte, 512)
	for _, on := range []bool{false, true, false} {
		if err := f.SetWriteback(on); err != nil {
			t.Fatal(err)
		}
		plain, fua := dev.plain.Load(), dev.fua.Load()
		if _, err := f.WriteAt(p, 0); err != nil {
			t.Fatal(err)
		}
		if got := dev.plain.Load() - plain; (got == 1) != on {
			t.Errorf("the cache is on: %v, and %d writes are volatile", on, got)
		}
		if got := dev.fua.Load() - fua; (got == 0) != on {
			t.Errorf("the cache is on: %v, and %d writes are durable", on, got)
		}
	}
	if err := f.Sync(); err != nil || dev.syncs.Load() != 1 {
		t.Errorf("%v, %d syncs", err, dev.syncs.Load())
	}
	if !b.device.durable(0) {
		t.Error("a driver that does not flush has volatile writes")
	}
}

// TestWritebackStays: nobody tells a back end again that the driver has turned the write
// cache off: not after a reset of the status, by which QEMU pauses a guest, and not when
// another process has come in place of the first.
func TestWritebackStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	var b *Backend
	start := func() *watched {
		dev := &watched{Memory: block.NewMemory(1 << 20)}
		var err error
		if b, err = Listen(path, dev, Config{}); err != nil {
			t.Fatal(err)
		}
		return dev
	}
	start()
	f, err := Dial(path, FrontendConfig{Reconnect: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 512)
	for i, on := range []bool{true, false, true, false} {
		if err := f.SetWriteback(on); err != nil {
			t.Fatal(err)
		}
		b.Close()
		dev := start()
		if _, err := f.WriteAt(p, 0); err != nil {
			t.Fatal(err)
		}
		if durable := dev.fua.Load() == 1; durable == on || dev.fua.Load()+dev.plain.Load() != 1 {
			t.Errorf("%d: the cache is on: %v, and of the next process %d writes are durable, %d volatile", i, on, dev.fua.Load(), dev.plain.Load())
		}
	}
	f.Close()
	front, err := vhost.Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	if err := front.Negotiate(featureAll|virtqueue.FeatureVersion1, vhost.ProtocolReplyAck|vhost.ProtocolConfig|vhost.ProtocolStatus, 0); err != nil {
		t.Fatal(err)
	}
	if err := front.Set(vhost.SetStatus, vhost.U64(0)); err != nil {
		t.Fatal(err)
	}
	if space, err := front.Config(writebackAt, 1); err != nil || space[0] != 0 {
		t.Errorf("after a reset the driver reads that the write cache is on (%v), %v", space, err)
	}
	front.Close()
	b.Close()
}

// TestRestart: the back end is restarted while requests are under way: all of them
// return, and the disk holds what was written last.
func TestRestart(t *testing.T) {
	for _, packed := range []bool{false, true} {
		dev := openFile(t, 1<<20)
		path := filepath.Join(t.TempDir(), "s")
		start := func() *Backend {
			b, err := Listen(path, dev, Config{})
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		b := start()
		f, err := Dial(path, FrontendConfig{Reconnect: time.Minute, Packed: packed})
		if err != nil {
			t.Fatal(err)
		}
		var writers sync.WaitGroup
		stop := make(chan struct{})
		var writes atomic.Int64
		for w := range int64(4) {
			writers.Go(func() {
				r := rand.New(rand.NewPCG(1, uint64(w)))
				p, got := make([]byte, 4096), make([]byte, 4096)
				for {
					select {
					case <-stop:
						return
					default:
					}
					for i := range p {
						p[i] = byte(r.Uint32())
					}
					off := (w*16 + r.Int64N(16)) * 4096
					if _, err := f.WriteAt(p, off); err != nil {
						t.Error(err)
						return
					}
					if _, err := f.ReadAt(got, off); err != nil || !bytes.Equal(got, p) {
						t.Errorf("packed %v: other bytes, or %v", packed, err)
						return
					}
					writes.Add(1)
				}
			})
		}
		for i := range int64(5) {
			for writes.Load() < 50*(i+1) && !t.Failed() {
				time.Sleep(time.Millisecond)
			}
			b.Close()
			b = start()
		}
		for f.Restarts() == 0 && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
		close(stop)
		writers.Wait()
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		b.Close()
	}
}

// TestGone: without Reconnect requests fail when the back end has gone, also those that
// wait, and Close returns.
func TestGone(t *testing.T) {
	hold := make(chan struct{})
	calls := make(chan struct{}, 1)
	dev := &slow{block.NewMemory(1 << 20), func() { calls <- struct{}{}; <-hold }}
	path, b, _ := listen(t, dev, Config{})
	f, err := Dial(path, FrontendConfig{Depth: 1})
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := f.ReadAt(make([]byte, 512), 0)
			results <- err
		}()
	}
	<-calls
	f.front.Close() // as if
	f.requests.Close()
	for range 2 {
		if err := <-results; !errors.Is(err, ErrLost) {
			t.Errorf("%v", err)
		}
	}
	close(hold)
	f.Close()
	b.Close()
}

// TestOneDisk serves one disk by NBD, by iSCSI, by USB and to virtual machines at once: what one
// writes the others read.
func TestOneDisk(t *testing.T) {
	disk, err := block.NewDisk(openFile(t, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	_, guest := serve(t, disk, Config{}, FrontendConfig{})
	n := new(nbd.Server)
	defer n.Close()
	if err := n.Add(nbd.Export{Device: disk}); err != nil {
		t.Fatal(err)
	}
	i := new(iscsi.Server)
	defer i.Close()
	unit, err := scsi.NewUnit(scsi.UnitConfig{Disk: disk})
	if err != nil {
		t.Fatal(err)
	}
	const target = "iqn.2026-01.org.example:disk"
	units, err := i.Add(iscsi.Target{Name: target})
	if err != nil {
		t.Fatal(err)
	}
	if err := units.Add(1, unit); err != nil {
		t.Fatal(err)
	}
	u := new(usbip.Server)
	defer u.Close()
	device, err := usb.NewDevice(usb.Config{Units: scsi.NewTarget()})
	if err != nil {
		t.Fatal(err)
	}
	unit, err = scsi.NewUnit(scsi.UnitConfig{Disk: disk})
	if err = errors.Join(err, device.Config().Units.Add(0, unit), u.Add("1-1", device)); err != nil {
		t.Fatal(err)
	}
	var addresses []string
	for _, serve := range []func(net.Listener) error{n.Serve, i.Serve, u.Serve} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go serve(l)
		addresses = append(addresses, l.Addr().String())
	}
	overNBD, err := nbd.Dial(t.Context(), "nbd://"+addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	defer overNBD.Close()
	overISCSI, err := new(iscsi.Dialer).Open(t.Context(), "iscsi://"+addresses[1]+"/"+target+"/1")
	if err != nil {
		t.Fatal(err)
	}
	defer overISCSI.Close()
	conn, err := net.Dial("tcp", addresses[2])
	if err != nil {
		t.Fatal(err)
	}
	overUSB, err := usbhost.Attach(conn, "1-1")
	if err != nil {
		t.Fatal(err)
	}
	defer overUSB.Close()
	users := map[string]block.Device{"vhost-user": guest, "nbd": overNBD, "iscsi": overISCSI, "usb": overUSB}
	round := byte(0)
	for name, writer := range users {
		round++
		want := bytes.Repeat([]byte{round}, 4096)
		if _, err := writer.WriteAt(want, 65536); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for other, reader := range users {
			got := make([]byte, 4096)
			if _, err := reader.ReadAt(got, 65536); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s does not read what %s has written: %v", other, name, err)
			}
		}
	}
}
