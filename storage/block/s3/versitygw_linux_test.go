package s3

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/blocktest"
)

// A gateway is versitygw: an S3 server that nobody here wrote, on files, at a socket
// of the file system.
type gateway struct {
	t      *testing.T
	binary string
	dir    string
	socket string
	cmd    *exec.Cmd
}

// startGateway builds versitygw, in a module of its own, and runs it with an empty
// bucket.
func startGateway(t *testing.T) *gateway {
	t.Helper()
	build := exec.Command("go", "tool", "-n", "versitygw")
	build.Dir = filepath.Join("..", "..", "internal", "testing", "versitygw")
	build.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	out, err := build.Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			out = failed.Stderr
		}
		need.Unable(t, "versitygw cannot be built: %v: %s", err, out)
	}
	dir, err := os.MkdirTemp("", "gw") // a short name, for the socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, d := range []string{"data", "meta"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	g := &gateway{t: t, binary: strings.TrimSpace(string(out)), dir: dir, socket: filepath.Join(dir, "s")}
	g.start()
	t.Cleanup(g.kill)
	objects, idle, err := g.config("unused").connect()
	if err != nil {
		t.Fatal(err)
	}
	defer idle()
	if err := objects.(*bucket).core.MakeBucket(t.Context(), "bucket", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	return g
}

// start runs the server, and waits until somebody can connect.
func (g *gateway) start() {
	g.t.Helper()
	os.Remove(g.socket)
	g.cmd = exec.Command(g.binary, "--port", g.socket, "--access", "key", "--secret", "secret", "--quiet",
		"posix", "--sidecar", filepath.Join(g.dir, "meta"), filepath.Join(g.dir, "data"))
	var log bytes.Buffer
	g.cmd.Stdout, g.cmd.Stderr = &log, &log
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	for range 600 {
		if c, err := net.Dial("unix", g.socket); err == nil {
			c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	g.kill()
	g.t.Fatalf("versitygw does not listen: %s", &log)
}

// kill ends the server with SIGKILL.
func (g *gateway) kill() {
	g.cmd.Process.Kill()
	g.cmd.Wait()
}

// config is of a disk on the server.
func (g *gateway) config(name string) Config {
	c := small()
	c.Name, c.Bucket, c.Endpoint, c.AccessKey, c.SecretKey = name, "bucket", "http://gateway", "key", "secret"
	c.DialContext = dialer(g.socket)
	return c
}

func dialer(socket string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
}

// TestGateway keeps disks on a server of others: contents, the end of the server and
// its return, and who may write.
func TestGateway(t *testing.T) {
	g := startGateway(t)
	t.Run("contents", g.testContents)
	t.Run("writers", g.testWriters)
	t.Run("kill", g.testKill)
}

func (g *gateway) testContents(t *testing.T) {
	c := g.config("a/b") // a name with a slash
	model := blocktest.NewModel(int(c.Size / blocktest.SectorSize))
	for life := range 3 {
		d, err := Open(t.Context(), c)
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
			user := blocktest.User{Disk: disk, Model: model, Rand: rand.New(rand.NewPCG(uint64(life), uint64(u))), Number: u, Of: 4, Durable: 3}
			users.Go(func() {
				if err := user.Run(40); err != nil {
					t.Error(err)
				}
			})
		}
		if life == 1 { // the server ends, and comes back
			g.kill()
			g.start()
		}
		users.Wait()
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	c.ReadOnly = true
	d, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	disk, err := block.NewDisk(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := model.CheckAfterCut(disk); err != nil {
		t.Error(err)
	}
	// No object is left that nothing names.
	keys, err := d.objects.list(t.Context(), "a/b/", "")
	if err != nil {
		t.Fatal(err)
	}
	chunks := 0
	d.Extents(0, c.Size, func(e block.Extent) bool {
		if !e.Hole {
			chunks += int(e.Length) / c.Chunk
		}
		return true
	})
	if len(keys) != chunks+2 {
		t.Errorf("%d objects for %d chunks, a page and a manifest", len(keys), chunks)
	}
}

// testWriters has many open one disk at the same time, and one after the other's end.
func (g *gateway) testWriters(t *testing.T) {
	var wg sync.WaitGroup
	var winner atomic.Pointer[Disk]
	for range 6 {
		wg.Go(func() {
			c := g.config("contended")
			c.Lease = time.Hour // no machine is so slow that it runs out
			c.Rand = nil
			d, err := Open(t.Context(), c)
			if err != nil {
				if !errors.Is(err, ErrHeld) {
					t.Error(err)
				}
			} else if !winner.CompareAndSwap(nil, d) {
				t.Error("two have opened the disk")
				d.stop()
			}
		})
	}
	wg.Wait()
	first := winner.Load()
	if first == nil {
		t.Fatal("nobody could open the disk")
	}
	if _, err := first.WriteAt([]byte("mine"), 0); err != nil {
		t.Error(err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	c := g.config("contended")
	c.Lease = 3 * time.Second
	silent, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	silent.stop()
	// The lease runs out by the server's clock. Until then there is one answer only.
	for range 1000 {
		d, err := Open(t.Context(), g.config("contended"))
		if err == nil {
			defer d.stop()
			p := make([]byte, 4)
			if _, err := d.ReadAt(p, 0); err != nil || string(p) != "mine" {
				t.Errorf("%q, %v", p, err)
			}
			return
		}
		if !errors.Is(err, ErrHeld) {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Error("the lease does not run out")
}

// Slots of the disk of testKill hold the number of the last write there.
const killSlots = 37

func killOffset(n uint64) int64 { return int64(n%killSlots) * 27000 }

// testKill kills a process that writes, again and again, with SIGKILL at any moment:
// all that it has said to be durable is there.
func (g *gateway) testKill(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	journal := filepath.Join(t.TempDir(), "journal")
	var said uint64
	rounds := 5
	if testing.Short() {
		rounds = 2
	}
	for range rounds {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$", "-test.v")
		cmd.Env = append(os.Environ(), "S3_KILLED="+g.socket, "S3_JOURNAL="+journal, fmt.Sprint("S3_NEXT=", said+1))
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		before := said
		for kill := uint64(20 + r.IntN(300)); said < before+kill && lines.Scan(); {
			var n uint64
			if _, err := fmt.Sscanf(lines.Text(), "durable %d", &n); err == nil {
				said = n
			} else if strings.Contains(lines.Text(), "FAIL") {
				rest, _ := io.ReadAll(out)
				t.Fatalf("%s\n%s", lines.Text(), rest)
			}
		}
		cmd.Process.Kill()
		for lines.Scan() { // what it said before that
			var n uint64
			if _, err := fmt.Sscanf(lines.Text(), "durable %d", &n); err == nil {
				said = n
			}
		}
		cmd.Wait()
		if said == before {
			t.Fatal("the process has written nothing")
		}
	}
	c, err := killedConfig(g.socket, journal)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkKilled(d, said); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// checkKilled looks whether all writes up to number said are there.
func checkKilled(d *Disk, said uint64) error {
	for i := range min(said, killSlots) {
		n := said - i
		p := make([]byte, 1000)
		if _, err := d.ReadAt(p, killOffset(n)); err != nil {
			return err
		}
		// The next write to the place may be there too: it was not acknowledged.
		if got := binary.LittleEndian.Uint64(p); got < n || got%killSlots != n%killSlots || !bytes.Equal(p, killedData(got)) {
			return fmt.Errorf("write %d was durable, and write %d is there", n, got)
		}
	}
	return nil
}

func killedData(n uint64) []byte {
	return bytes.Repeat(binary.LittleEndian.AppendUint64(nil, n), 125)
}

func killedConfig(socket, journal string) (Config, error) {
	f, err := block.OpenFile(journal, block.FileConfig{Create: true, Size: 256 << 10})
	if err != nil {
		return Config{}, err
	}
	c := (&gateway{socket: socket}).config("killed")
	c.Journal, c.UploadAfter = f, time.Millisecond
	return c, nil
}

// TestKilled is the process that testKill kills.
func TestKilled(t *testing.T) {
	socket := os.Getenv("S3_KILLED")
	if socket == "" {
		return
	}
	c, err := killedConfig(socket, os.Getenv("S3_JOURNAL"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var n uint64
	fmt.Sscan(os.Getenv("S3_NEXT"), &n)
	if err := checkKilled(d, n-1); err != nil {
		t.Fatal(err)
	}
	for ; ; n++ {
		if n%3 == 0 {
			_, err = d.WriteAtFUA(killedData(n), killOffset(n))
		} else if _, err = d.WriteAt(killedData(n), killOffset(n)); err == nil {
			err = d.Sync()
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("durable", n)
	}
}
