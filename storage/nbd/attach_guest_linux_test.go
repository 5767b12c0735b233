package nbd

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/storage/block"
)

// serveVariable has this program serve a file instead of running tests: "ADDRESS FILE".
const serveVariable = "GONET_NBD_TEST_SERVE"

func TestMain(m *testing.M) {
	if words := strings.Fields(os.Getenv(serveVariable)); len(words) == 2 {
		fmt.Println(serveFile(words[0], words[1]))
		os.Exit(1)
	}
	guest.Main(m, map[string]guest.Job{"attach": insideAttach})
}

func serveFile(address, name string) error {
	f, err := block.OpenFile(name, block.FileConfig{})
	if err != nil {
		return err
	}
	var s Server
	if err := s.Add(Export{Device: f}); err != nil {
		return err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	return s.Serve(l)
}

// A fileServer is a server in a process of its own.
type fileServer struct {
	t       *testing.T
	address string
	file    string
	cmd     *exec.Cmd
}

func (s *fileServer) start() {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	// Below the ports of those who ask for any, so that nobody has it meanwhile.
	for s.address == "" {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000)))
		if err == nil {
			s.address = l.Addr().String()
			l.Close()
		}
	}
	s.cmd = exec.Command(self)
	s.cmd.Env = append(os.Environ(), serveVariable+"="+s.address+" "+s.file)
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	line := make([]byte, 100)
	n, _ := out.Read(line)
	address := strings.TrimSpace(string(line[:n]))
	if address != s.address {
		s.kill()
		s.t.Fatalf("the server of %s at %s: %q", s.file, s.address, address)
	}
}

func (s *fileServer) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

const (
	guestDiskSize = 64 << 20 // of disks with file systems
	directSize    = 8 << 20  // of the disk that is written to directly
	directWrites  = 800      // of 4 KB
	directSeed    = 7
)

// TestGuestAttach has the kernel of a guest use disks of this machine, by nbd-client and
// by Attach.
func TestGuestAttach(t *testing.T) {
	guest.Need(t)
	programs := []string{need.Program(t, "nbd-client"), need.Program(t, "mkfs.ext4"), need.Program(t, "e2fsck"), need.Program(t, "fstrim")}
	dir := t.TempDir()
	attach := filepath.Join(dir, "nbd-attach")
	if out, err := exec.Command("go", "build", "-o", attach, "../examples/nbd-attach").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	disks := map[string]*block.Memory{"client": block.NewMemory(guestDiskSize), "attach": block.NewMemory(guestDiskSize)}
	s := new(Server)
	for name, disk := range disks {
		if err := s.Add(Export{Name: name, Device: disk}); err != nil {
			t.Fatal(err)
		}
	}
	_, port, _ := net.SplitHostPort(listen(t, s))
	direct := &fileServer{t: t, file: filepath.Join(dir, "direct")}
	if err := os.WriteFile(direct.file, make([]byte, directSize), 0o600); err != nil {
		t.Fatal(err)
	}
	direct.start()
	defer func() { direct.kill() }()
	_, directPort, _ := net.SplitHostPort(direct.address)

	began := time.Now()
	g := guest.Start(t, guest.Config{
		Job: "attach", Args: []string{port, directPort}, Network: true, Memory: 1024,
		Modules:  []string{"nbd", "crc32c_generic", "ext4", "tun"},
		Programs: append(programs, attach),
	})
	trims := uint64(0)
	for line := range g.Lines {
		t.Logf("%6.1f s: %s", time.Since(began).Seconds(), line)
		switch {
		case line == "host: count trims":
			n := s.Stats()["Requests."+cmdTrim.String()]
			if n == trims {
				t.Error("fstrim has reached no device")
			}
			trims = n
			g.Say("counted")
		case line == "host: kill the server":
			direct.kill()
			time.Sleep(3 * time.Second)
			direct.start()
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if log := g.Console(); strings.Contains(log, "I/O error") || strings.Contains(log, "EXT4-fs error") {
		t.Errorf("the kernel has seen errors:\n%s", log)
	}
	direct.kill()
	got, err := os.ReadFile(direct.file)
	if err != nil || !bytes.Equal(got, directContents()) {
		t.Errorf("the disk that was written to directly holds other bytes (%v)", err)
	}
}

// eachDirectWrite calls f with the writes that make directContents of zeroes, until f
// fails.
func eachDirectWrite(p []byte, f func(i int, off int64) error) error {
	r := rand.New(rand.NewPCG(directSeed, 0))
	for i := range directWrites {
		off := r.Int64N(directSize/4096) * 4096
		for at := range p[:4096] {
			p[at] = byte(r.Uint32())
		}
		if err := f(i, off); err != nil {
			return fmt.Errorf("write %d, at byte %d: %w", i, off, err)
		}
	}
	return nil
}

func directContents() []byte {
	all, p := make([]byte, directSize), make([]byte, 4096)
	eachDirectWrite(p, func(_ int, off int64) error { copy(all[off:], p); return nil })
	return all
}
