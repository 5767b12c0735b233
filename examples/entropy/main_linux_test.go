package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/vhost"
	"github.com/seed-012105e5/gonet/vhost/memory"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// TestEntropy is a driver: it shares memory, sets up the ring, and has a buffer
// filled.
func TestEntropy(t *testing.T) {
	const size, guest, user = 0x10000, 0x1000, 0x7000_0000
	path := t.TempDir() + "/rng.sock"
	source := strings.NewReader(strings.Repeat("random", 100))
	backend, err := vhost.Listen(path, entropy{source}, vhost.Config{Report: func(ring int, err error) { t.Errorf("ring %d: %v", ring, err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()

	fd, err := memory.Create("guest", size)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	region := memory.Region{Guest: guest, Size: size, User: user}
	mapping, err := memory.Map(region, fd)
	if err != nil {
		t.Fatal(err)
	}
	defer mapping.Release()
	table, err := memory.NewTable(mapping)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Release()

	front, err := vhost.Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	if err := front.Negotiate(virtqueue.Features, vhost.ProtocolReplyAck, virtqueue.FeatureVersion1); err != nil {
		t.Fatal(err)
	}
	if err := front.SetMemory([]memory.Region{region}, []int{fd}); err != nil {
		t.Fatal(err)
	}
	ring := vhost.RingConfig{Config: virtqueue.Config{
		Size: 8, Features: front.Features, Descriptors: user, Driver: user + 0x1000, Device: user + 0x2000, Base: virtqueue.NewPackedBase,
	}}
	driver, err := virtqueue.NewDriver(table, ring.Config)
	if err != nil {
		t.Fatal(err)
	}
	kick, err := vhost.NewEvent()
	if err != nil {
		t.Fatal(err)
	}
	defer kick.Close()
	call, err := vhost.NewEvent()
	if err != nil {
		t.Fatal(err)
	}
	defer call.Close()
	ring.Kick, ring.Call = kick.FD(), call.FD()
	if err := front.StartRing(0, ring); err != nil {
		t.Fatal(err)
	}

	if _, err := driver.Add([]virtqueue.Span{{Addr: guest + 0x4000, Len: 12}, {Addr: guest + 0x5000, Len: 18}}, 0); err != nil {
		t.Fatal(err)
	}
	if driver.Publish() {
		kick.Signal()
	}
	call.SetDeadline(time.Now().Add(20 * time.Second))
	for n, ok := 0, false; !ok; {
		if _, n, ok, err = driver.Take(); err != nil {
			t.Fatal(err)
		}
		if ok && n != 30 {
			t.Errorf("%d bytes", n)
		}
		if !ok && !driver.Arm() {
			if err := call.Wait(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for at, want := range map[uint64]string{guest + 0x4000: "randomrandom", guest + 0x5000: "randomrandomrandom"} {
		if b, err := table.Slice(at, uint64(len(want))); err != nil || !bytes.Equal(b, []byte(want)) {
			t.Errorf("%q at %#x, %v", b, at, err)
		}
	}
}

func TestMain(m *testing.M) {
	guest.Main(m, map[string]guest.Job{"read": readRandom})
}

// readRandom has the guest read what its kernel takes for random.
func readRandom(in *guest.Inside) error {
	f, err := os.Open("/dev/hwrng")
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 600)
	if _, err := io.ReadFull(f, b); err != nil {
		return err
	}
	in.Tell("%s", b)
	return nil
}

// A repeated is a source that anybody could guess.
type repeated struct{}

func (repeated) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// TestGuest has a virtual machine use the device.
func TestGuest(t *testing.T) {
	guest.Need(t)
	path := t.TempDir() + "/rng.sock"
	backend, err := vhost.Listen(path, entropy{repeated{}}, vhost.Config{Report: func(ring int, err error) { t.Logf("ring %d: %v", ring, err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	g := guest.Start(t, guest.Config{Job: "read", Modules: []string{"virtio_rng"}, QEMU: []string{
		"-object", "memory-backend-memfd,id=mem,size=384M,share=on", "-machine", "memory-backend=mem",
		"-chardev", "socket,id=rng,path=" + path, "-device", "vhost-user-rng-pci,chardev=rng",
	}})
	text, ok := <-g.Lines
	if err := g.Wait(); !ok || err != nil {
		t.Fatal(err)
	}
	if text != strings.Repeat("x", 600) {
		t.Errorf("the guest has %q", text)
	}
}
