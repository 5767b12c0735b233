package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A cell is one use of a server. It returns how many bytes went, and how fast in its
// unit; MB/s by the clock if that is zero.
type cell struct {
	name, unit string
	run        func(uri string) (bytes int64, speed float64, err error)
}

func (b *bench) cells() (all []cell) {
	for _, n := range []int{1, 4} {
		connections := fmt.Sprintf("--connections=%d", n)
		all = append(all,
			cell{fmt.Sprintf("copy to, %d connections", n), "MB/s", func(uri string) (int64, float64, error) {
				return b.size, 0, b.command("nbdcopy", connections, "--sparse=0", b.source, uri)
			}},
			cell{fmt.Sprintf("copy from, %d connections", n), "MB/s", func(uri string) (int64, float64, error) {
				return b.size, 0, b.command("nbdcopy", connections, uri, "null:")
			}})
	}
	for _, rw := range []string{"randread", "randwrite"} {
		for _, depth := range []int{1, 16, 64} {
			all = append(all, cell{fmt.Sprintf("%s 4k, depth %d", rw, depth), "kIOPS", func(uri string) (int64, float64, error) {
				return b.fio(uri, rw, depth)
			}})
		}
	}
	return all
}

// command runs a client.
func (b *bench) command(name string, args ...string) error {
	_, err := b.output(name, args...)
	return err
}

// output runs a client, and returns what it prints.
func (b *bench) output(name string, args ...string) ([]byte, error) {
	var out, failed bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &failed
	err := b.near(cmd)
	if err == nil {
		err = cmd.Wait()
		b.spent += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, &out, &failed)
	}
	return out.Bytes(), nil
}

func (b *bench) fio(uri, rw string, depth int) (size int64, speed float64, err error) {
	out, err := b.output("fio", "--name=x", "--ioengine=nbd", "--uri="+uri, "--rw="+rw, "--bs=4k", "--size=256m", fmt.Sprintf("--iodepth=%d", depth),
		"--time_based", fmt.Sprintf("--runtime=%d", b.seconds), "--output-format=json")
	if err != nil {
		return 0, 0, err
	}
	var report struct {
		Jobs []struct {
			Read, Write struct {
				Bytes int64 `json:"io_bytes"`
				IOPS  float64
			}
		}
	}
	text := string(out[strings.IndexByte(string(out), '{'):]) // fio greets first
	if err := json.Unmarshal([]byte(text), &report); err != nil || len(report.Jobs) != 1 {
		return 0, 0, fmt.Errorf("fio: %w\n%s", err, out)
	}
	j := report.Jobs[0]
	return j.Read.Bytes + j.Write.Bytes, (j.Read.IOPS + j.Write.IOPS) / 1000, nil
}

// A kind is a server to compare.
type kind struct {
	name    string
	command command
	// Where it serves, and how it is started; on loopback and as it is, if nil.
	address func() (string, error)
	start   func(*exec.Cmd) error
	prepare func() error // when it has been started
	end     func()       // when it has ended
}

// A protocol is what the servers of a run speak.
type protocol struct {
	servers func() []kind                   // on loopback; the first is the one that all are compared with
	self    func(string, ...string) command // a server of ours
	cells   func() []cell                   // what they are used for
	uri     func(address string) string     // where a client finds one
	ready   func(uri string) []string       // a command that succeeds when it is there
	fill    func(uri string) []string       // one that writes all of its disk
}

// A command is that of a server at an address.
type command func(address string) (*exec.Cmd, error)

func (b *bench) nbd() protocol {
	return protocol{
		servers: b.loopback,
		self:    b.self,
		cells:   b.cells,
		uri:     func(address string) string { return "nbd://" + address + "/" },
		ready:   func(uri string) []string { return []string{"nbdinfo", "--size", uri} },
		fill:    func(uri string) []string { return []string{"nbdcopy", "--sparse=0", b.source, uri} },
	}
}

// nbdkit is the command of the reference.
func (b *bench) nbdkit(address string) (*exec.Cmd, error) {
	host, port, _ := strings.Cut(address, ":")
	return exec.Command("nbdkit", "-f", "-i", host, "-p", port, "memory", fmt.Sprint(b.size)), nil
}

// self is the command of a server of ours.
func (b *bench) self(kind string, more ...string) command {
	return func(address string) (*exec.Cmd, error) {
		program, err := os.Executable()
		args := append([]string{"-serve", kind, "-listen", address, "-file", b.dir + "/ours", "-size", fmt.Sprint(b.size >> 20), "-profile", b.profile}, more...)
		return exec.Command(program, args...), err
	}
}

// loopback is the servers that are compared on loopback.
func (b *bench) loopback() []kind {
	size, dir := b.size, b.dir
	return []kind{
		{name: "nbdkit memory", command: b.nbdkit},
		{name: "memory", command: b.self("memory")},
		{name: "go-nbd memory", command: func(address string) (*exec.Cmd, error) {
			build := exec.Command("go", "build", "-C", "storage/bench/gonbd", "-o", dir+"/gonbd", ".")
			build.Env = append(os.Environ(), "GOWORK=off")
			if out, err := build.CombinedOutput(); err != nil {
				return nil, fmt.Errorf("building it, from the root of the repository: %w: %s", err, out)
			}
			return exec.Command(dir+"/gonbd", "-listen", address, "-size", fmt.Sprint(size)), nil
		}},
		{name: "file", command: b.self("file")},
		{name: "qemu-nbd file", command: func(address string) (*exec.Cmd, error) {
			if err := makeFile(dir+"/qemu", size); err != nil {
				return nil, err
			}
			host, port, _ := strings.Cut(address, ":")
			return exec.Command("qemu-nbd", "-t", "-b", host, "-p", port, "-f", "raw", "--shared=16", dir+"/qemu"), nil
		}},
		{name: "null", command: b.self("null")},
	}
}

func makeFile(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Truncate(size)
}

// A process is a server that runs.
type process struct {
	kind
	cmd *exec.Cmd
	uri string
}

func (b *bench) start(k kind) (*process, error) {
	if k.address == nil {
		k.address, k.start = freeAddress, (*exec.Cmd).Start
	}
	address, err := k.address()
	if err != nil {
		return nil, err
	}
	cmd, err := k.command(address)
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	if err := k.start(cmd); err != nil {
		return nil, err
	}
	p := &process{k, cmd, b.protocol.uri(address)}
	if k.prepare != nil {
		if err := k.prepare(); err != nil {
			p.stop()
			return nil, err
		}
	}
	ready := b.protocol.ready(p.uri)
	for range 100 {
		if err = b.command(ready[0], ready[1:]...); err == nil {
			return p, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.stop()
	return nil, err
}

// stop ends it, by force if it does not listen.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(5*time.Second, func() { p.cmd.Process.Kill() })
	p.cmd.Wait()
	late.Stop()
	if p.end != nil {
		p.end()
	}
}

// cpu is how many seconds of processors the server has used.
func (p *process) cpu() float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	var user, system float64
	fmt.Sscan(fields[11], &user)
	fmt.Sscan(fields[12], &system)
	return (user + system) / 100 // USER_HZ
}
