package blocktest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/overlay"
	"github.com/seed-012105e5/gonet/storage/block/s3"
)

func TestMain(m *testing.M) { guest.Main(m, map[string]guest.Job{"write": guestJob}) }

const guestSize = 1 << 20 // of a disk

// guestDevices are what is tested, each on a disk of the guest of its own, which the
// host has as a file. The S3 server is the host's, and keeps its power.
var guestDevices = []struct {
	name string
	room int64 // that it takes
	open func(disk *block.File, server string) (block.Device, error)
}{
	{"file", guestSize, func(disk *block.File, _ string) (block.Device, error) { return disk, nil }},
	{"overlay", 2 * guestSize, func(disk *block.File, _ string) (block.Device, error) {
		return overlay.Open(block.NewMemory(guestSize), disk, overlay.Config{Cluster: 8192})
	}},
	{"s3", guestSize / 2, func(disk *block.File, server string) (block.Device, error) {
		// The journal wraps, chunks leave the memory, and checkpoints are many.
		return s3.Open(context.Background(), s3.Config{
			Endpoint: "http://" + server, Bucket: bucket, Name: "disk", AccessKey: "key", SecretKey: "secret",
			Create: true, Size: guestSize, Chunk: 16 << 10, Journal: disk, Cache: 512 << 10, UploadAfter: 500 * time.Millisecond,
		})
	}},
}

const bucket = "disks"

// openGuestDevice opens one of guestDevices.
func openGuestDevice(i int, disk, server string) (*block.Disk, error) {
	f, err := block.OpenFile(disk, block.FileConfig{})
	if err != nil {
		return nil, err
	}
	dev, err := guestDevices[i].open(f, server)
	if err != nil {
		return nil, err
	}
	return block.NewDisk(dev)
}

// serveS3 serves an empty bucket, in memory, on loopback.
func serveS3(t *testing.T) (port string) {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.Handler(gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()))
	t.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestGuestPowerCuts kills a virtual machine under load: what its kernel had in its
// page cache is gone, as after a power cut, and what was acknowledged as durable must
// be on its disks. GONET_LONG=1 makes that ten times.
func TestGuestPowerCuts(t *testing.T) {
	guest.Need(t)
	dir := t.TempDir()
	var disks []string
	var models []*Model
	var qemu []string
	for _, d := range guestDevices {
		disk := filepath.Join(dir, d.name)
		if err := os.WriteFile(disk, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(disk, d.room); err != nil {
			t.Fatal(err)
		}
		disks, models = append(disks, disk), append(models, NewModel(guestSize/SectorSize))
		qemu = append(qemu, "-drive", "file="+disk+",format=raw,if=virtio,cache=writeback")
	}
	port := serveS3(t)
	lives := 2
	if os.Getenv("GONET_LONG") != "" {
		lives = 10
	}
	for life := range lives {
		g := guest.Start(t, guest.Config{Job: "write", Args: []string{strconv.Itoa(life), port}, Modules: []string{"virtio_blk"}, Network: true, QEMU: qemu})
		liveAndDie(t, g, life, models)
		for i, disk := range disks {
			d, err := openGuestDevice(i, disk, net.JoinHostPort("127.0.0.1", port))
			if err != nil {
				t.Fatalf("%s after life %d: %v", guestDevices[i].name, life, err)
			}
			if err := models[i].CheckAfterCut(d); err != nil {
				t.Errorf("%s after life %d: %v", guestDevices[i].name, life, err)
			}
			if err := d.Close(); err != nil {
				t.Errorf("%s after life %d: %v", guestDevices[i].name, life, err)
			}
		}
	}
}

// liveAndDie follows what a guest tells, and kills it at some line.
func liveAndDie(t *testing.T, g *guest.Guest, life int, models []*Model) {
	t.Helper()
	most := 300 + rand.New(rand.NewPCG(1, uint64(life))).IntN(1500)
	var followers []*follower
	for _, m := range models {
		followers = append(followers, &follower{m: m, writes: map[int]func(bool){}, syncs: map[int]func(){}})
	}
	const leastDurable = 10
	n, killed := 0, false
	for line := range g.Lines {
		var device int
		var call string
		if _, err := fmt.Sscanf(line, "%d: %1s", &device, &call); err != nil || !followers[device].line(line[3:]) {
			t.Fatalf("line %d: %q", n, line)
		}
		// All have something to lose, and it comes at any moment.
		if n++; n >= most && !killed && !slices.ContainsFunc(followers, func(f *follower) bool { return f.durable < leastDurable }) {
			killed = true
			g.Kill() // what it has told until then is still to come
		}
	}
	if !killed {
		t.Fatalf("the guest ended by itself after %d lines: %v", n, g.Wait())
	}
	synced := []int{}
	for _, f := range followers {
		synced = append(synced, f.durable)
	}
	t.Logf("life %d: killed after %d lines, of which told of durable data %v", life, n, synced)
}

// A follower makes a model of what a guest tells.
type follower struct {
	m       *Model
	writes  map[int]func(durable bool)
	syncs   map[int]func()
	durable int // so many calls have made something durable
}

// line reads one line: "W id version first count", "D id durable" when that has
// returned, "S id" and "s id" of a Sync.
func (f *follower) line(s string) bool {
	var id, version, first, count, durable int
	if n, _ := fmt.Sscanf(s, "W %d %d %d %d.", &id, &version, &first, &count); n == 4 {
		f.m.mu.Lock()
		defer f.m.mu.Unlock()
		f.writes[id] = f.m.put(nil, int64(first), int64(count), uint64(version))
		return true
	}
	if n, _ := fmt.Sscanf(s, "D %d %d.", &id, &durable); n == 2 {
		f.writes[id](durable == 1)
		f.durable += durable
		return true
	}
	if n, _ := fmt.Sscanf(s, "S %d.", &id); n == 1 {
		f.syncs[id] = f.m.Sync()
		return true
	}
	if n, _ := fmt.Sscanf(s, "s %d.", &id); n == 1 {
		f.syncs[id]()
		f.durable++
		return true
	}
	return false
}

// guestJob runs in the guest: two users write to each disk. The host ends it.
func guestJob(in *guest.Inside) error {
	life, err := strconv.Atoi(in.Args[0])
	if err != nil {
		return err
	}
	var mu sync.Mutex
	next := life * 1000000
	errs := make(chan error)
	for i := range guestDevices {
		disk := "/dev/vd" + string(rune('a'+i))
		if err := in.Await(time.Minute, func() bool { _, err := os.Stat(disk); return err == nil }); err != nil {
			return fmt.Errorf("%s: %w", disk, err)
		}
		d, err := openGuestDevice(i, disk, net.JoinHostPort(guest.Host, in.Args[1]))
		if err != nil {
			return fmt.Errorf("%s: %w", guestDevices[i].name, err)
		}
		tell := func(format string, args ...any) int {
			mu.Lock()
			defer mu.Unlock()
			next++
			in.Tell("%d: "+fmt.Sprintf(format, append([]any{next}, args...)...)+".", i)
			return next
		}
		done := func(format string, args ...any) { in.Tell("%d: "+fmt.Sprintf(format, args...)+".", i) }
		for user := range 2 {
			r := rand.New(rand.NewPCG(uint64(life), uint64(2*i+user)))
			go func() { errs <- guestWrites(d, r, int64(user), tell, done) }()
		}
	}
	for range 2 * len(guestDevices) {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// guestWrites writes to every second run of sectors, and tells the host of each
// call before and after it.
func guestWrites(d *block.Disk, r *rand.Rand, user int64, tell func(format string, args ...any) int, done func(format string, args ...any)) error {
	buffer := make([]byte, runSectors*SectorSize)
	runs := int64(guestSize/SectorSize/runSectors)/2 - 1
	for range 2500 { // as much as the host has room for
		first := (2*r.Int64N(runs) + user) * runSectors
		count := 1 + r.Int64N(runSectors)
		p, off := buffer[:count*SectorSize], first*SectorSize
		var err error
		switch what := r.IntN(10); {
		case what == 0:
			id := tell("S %d")
			if err = d.Sync(); err == nil {
				done("s %d", id)
			}
		case what == 1:
			id := tell("W %d 0 %d %d", first, count)
			if err = d.WriteZeroes(off, count*SectorSize, 0); err == nil {
				done("D %d 0", id)
			}
		default:
			// The number of the call is that of the version, too, and is known only
			// when it has been told.
			id := tell("W %[1]d %[1]d %[2]d %[3]d", first, count)
			for i := range count {
				fillSector(p[i*SectorSize:][:SectorSize], first+i, uint64(id))
			}
			durable := 0
			if what == 2 {
				durable = 1
			}
			if _, err = d.WriteAtContext(context.Background(), p, off, durable == 1); err == nil {
				done("D %d %d", id, durable)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
