package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/vhostblk"
)

// vhostReference is the back end that ours are compared with.
const vhostReference = "qemu-storage-daemon"

// runVhost compares back ends of vhost-user-blk, driven by our own front end: ours and
// qemu-storage-daemon with the same file, and ours with memory and with nothing.
func (b *bench) runVhost(dir string, rounds int) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp(dir, "bench"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	b.reference = vhostReference
	if _, err := writeSource(b.dir, b.size); err != nil {
		return err
	}
	file := b.dir + "/source"
	self := func(kind string) func(string) *exec.Cmd {
		return func(socket string) *exec.Cmd {
			return exec.Command(program, "-serve", "vhost-"+kind, "-listen", socket, "-file", file, "-size", fmt.Sprint(b.size>>20), "-profile", b.profile)
		}
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	var running []*process
	fronts := map[*process]*vhostblk.Frontend{}
	defer func() {
		for _, p := range running {
			fronts[p].Close()
			p.stop()
		}
	}()
	for _, k := range []struct {
		name    string
		command func(socket string) *exec.Cmd
	}{
		{vhostReference, func(socket string) *exec.Cmd {
			return exec.Command("qemu-storage-daemon", "--blockdev", "driver=file,node-name=f0,filename="+file, "--blockdev", "driver=raw,node-name=d0,file=f0",
				"--export", "type=vhost-user-blk,id=e0,node-name=d0,addr.type=unix,addr.path="+socket+",writable=on")
		}},
		{"file", self("file")}, {"memory", self("memory")}, {"null", self("null")},
	} {
		if k.name != vhostReference && !b.servers.MatchString(k.name) {
			continue
		}
		p := &process{kind: kind{name: k.name}, uri: b.dir + "/" + k.name}
		p.cmd = k.command(p.uri)
		p.cmd.Stderr = os.Stderr
		if err := p.cmd.Start(); err != nil {
			return err
		}
		f, err := dialVhost(p.uri)
		if err != nil {
			p.stop()
			return fmt.Errorf("%s: %w", k.name, err)
		}
		running, fronts[p] = append(running, p), f
		if err := fill(f, b.size); err != nil {
			return err
		}
	}
	var names []string
	for _, p := range running {
		names = append(names, p.name)
	}
	table := newTable(os.Stdout, b.markdown, vhostReference, names)
	for _, c := range b.vhostCells() {
		if !b.only.MatchString(c.name) {
			continue
		}
		results := map[string][]result{}
		for range rounds {
			for _, p := range running {
				select {
				case <-interrupted:
					return nil
				default:
				}
				r, err := b.measureVhost(c, p, fronts[p])
				if err != nil {
					return fmt.Errorf("%s, %s: %w", c.name, p.name, err)
				}
				results[p.name] = append(results[p.name], r)
			}
		}
		table.add(cell{name: c.name, unit: c.unit}, results)
	}
	return nil
}

// dialVhost waits until a back end listens.
func dialVhost(path string) (f *vhostblk.Frontend, err error) {
	for range 100 {
		if f, err = vhostblk.Dial(path, vhostblk.FrontendConfig{}); err == nil {
			return f, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, err
}

// fill writes all of a disk: memory that is touched for the first time costs.
func fill(f *vhostblk.Frontend, size int64) error {
	p := make([]byte, 1<<20)
	for i := range p {
		p[i] = byte(i)
	}
	for off := int64(0); off+int64(len(p)) <= size; off += int64(len(p)) {
		if _, err := f.WriteAt(p, off); err != nil {
			return err
		}
	}
	return nil
}

// A vhostCell is one use of a disk.
type vhostCell struct {
	name, unit    string
	write         bool
	length, depth int
}

func (b *bench) vhostCells() (all []vhostCell) {
	for _, length := range []int{4 << 10, 1 << 20} {
		for _, write := range []bool{false, true} {
			for _, depth := range []int{1, 16, 64} {
				c := vhostCell{"read", "kIOPS", write, length, depth}
				if write {
					c.name = "write"
				}
				if length > 4<<10 {
					c.unit = "MB/s"
				}
				c.name = fmt.Sprintf("%s %dk, depth %d", c.name, length>>10, depth)
				all = append(all, c)
			}
		}
	}
	return all
}

// measureVhost has depth goroutines read or write at random places for a while.
func (b *bench) measureVhost(c vhostCell, p *process, f *vhostblk.Frontend) (result, error) {
	before, own := p.cpu(), ownCPU()
	var requests atomic.Int64
	failed := make(chan error, c.depth)
	var users sync.WaitGroup
	start := time.Now()
	end := start.Add(time.Duration(b.seconds) * time.Second)
	for n := range c.depth {
		users.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(n)))
			buf := make([]byte, c.length)
			for i := 0; i%16 != 0 || time.Now().Before(end); i++ {
				off := r.Int64N(b.size/int64(c.length)) * int64(c.length)
				var err error
				if c.write {
					_, err = f.WriteAt(buf, off)
				} else {
					_, err = f.ReadAt(buf, off)
				}
				if err != nil {
					failed <- err
					return
				}
				requests.Add(1)
			}
		})
	}
	users.Wait()
	took := time.Since(start).Seconds()
	if len(failed) > 0 {
		return result{}, <-failed
	}
	bytes := float64(requests.Load() * int64(c.length))
	r := result{speed: bytes / 1e6 / took, cpu: (p.cpu() - before) / bytes * 1e9, client: (ownCPU() - own) / bytes * 1e9}
	if c.unit == "kIOPS" {
		r.speed = float64(requests.Load()) / took / 1000
	}
	return r, nil
}

// ownCPU is how many seconds of processors this process has used.
func ownCPU() float64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// serveVhost serves a device of the kind at a socket, until it is told to end.
func serveVhost(kind, socket, path, profile string, size int64) error {
	var device block.Device = null(size)
	switch kind {
	case "memory":
		device = block.NewMemory(size)
	case "file":
		f, err := block.OpenFile(path, block.FileConfig{ClaimLater: true})
		if err != nil {
			return err
		}
		device = f
	}
	backend, err := vhostblk.Listen(socket, device, vhostblk.Config{Report: func(ring int, err error) { fmt.Fprintln(os.Stderr, kind, ring, err) }})
	if err != nil {
		return err
	}
	if profile != "" {
		f, err := os.Create(profile + ".vhost-" + kind)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	<-terminated
	return backend.Close()
}
