package vhostblk

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/storage/block"
)

// Guests are served by processes of their own, which can be killed: this program, told
// by its environment what to serve. Each writes down, before it does it, which write
// it does.

const processVar = "GONET_TEST_VHOSTBLK"

func TestMain(m *testing.M) {
	if spec := os.Getenv(processVar); spec != "" {
		if err := serveProcess(strings.Split(spec, "\n")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	guest.Main(m, map[string]guest.Job{"disk": insideDisk, "load": insideLoad, "speed": insideSpeed})
}

// A record is one write that a back end has begun.
type record struct{ process, block, generation uint32 }

// A logged is a file whose writes are written down, and take a while now and then.
type logged struct {
	*block.File
	log *os.File
}

func (l *logged) WriteVector(bufs [][]byte, off int64, fua bool) (int, error) {
	if p := records(bufs, off); p != nil {
		if _, err := l.log.Write(p); err != nil {
			return 0, err
		}
		time.Sleep(time.Duration(rand.IntN(2)) * time.Millisecond)
		defer time.Sleep(time.Duration(rand.IntN(2)) * time.Millisecond)
	}
	return l.File.WriteVector(bufs, off, fua)
}

// records are those of a write, one for each block of the load in it: the guest's kernel
// joins writes to blocks side by side that wait at the same time.
func records(bufs [][]byte, off int64) (p []byte) {
	for _, b := range bufs {
		for len(b) > 0 {
			place := off - loadAt
			if place >= 0 && place < loadBlocks*loadBlock && place%loadBlock == 0 && len(b) >= 8 {
				p = binary.LittleEndian.AppendUint32(p, uint32(os.Getpid()))
				p = append(p, b[:8]...)
			}
			n := min(len(b), int(loadBlock-off%loadBlock))
			b, off = b[n:], off+int64(n)
		}
	}
	return p
}

// readLog reads what back ends have written down, in order.
func readLog(t *testing.T, name string) (all []record) {
	t.Helper()
	p, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for ; len(p) >= 12; p = p[12:] {
		all = append(all, record{binary.LittleEndian.Uint32(p), binary.LittleEndian.Uint32(p[4:]), binary.LittleEndian.Uint32(p[8:])})
	}
	return all
}

// serveProcess serves a file at a socket, and does what is said on standard input,
// until that ends.
func serveProcess(args []string) error {
	socket, file, log := args[0], args[1], args[2]
	f, err := block.OpenFile(file, block.FileConfig{ClaimLater: true})
	if err != nil {
		return err
	}
	l, err := os.OpenFile(log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	disk, err := block.NewDisk(&logged{f, l})
	if err != nil {
		return err
	}
	b, err := Listen(socket, disk, Config{Serial: "vhostblk", Report: func(ring int, err error) { fmt.Fprintf(os.Stderr, "ring %d: %v\n", ring, err) }})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		word, arg, _ := strings.Cut(in.Text(), " ")
		switch word {
		case "resize":
			size, err := strconv.ParseInt(arg, 10, 64)
			if err != nil {
				return err
			}
			if err := disk.Resize(size); err != nil {
				return err
			}
			fmt.Println("resized")
		case "stats":
			fmt.Printf("%+v\n", b.Stats())
		}
	}
	if err := b.Close(); err != nil {
		return err
	}
	return disk.Close()
}

// A process is a back end.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
}

func startProcess(t *testing.T, socket, file, log string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), processVar+"="+strings.Join([]string{socket, file, log}, "\n"))
	p.cmd.Stderr = os.Stderr
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	if said := p.hear(); said != "ready" {
		t.Fatalf("the back end says %q", said)
	}
	return p
}

func (p *process) hear() string {
	line, _ := p.out.ReadString('\n')
	return strings.TrimSuffix(line, "\n")
}

func (p *process) say(line string) string {
	io.WriteString(p.stdin, line+"\n")
	return p.hear()
}

// kill is kill -9.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// end has it end in good order.
func (p *process) end() {
	p.t.Helper()
	p.stdin.Close()
	io.Copy(io.Discard, p.out)
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("the back end has ended: %v", err)
	}
}
