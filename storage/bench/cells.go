package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A cell is one use of a server. It returns how many bytes went, and requests a
// second where those count.
type cell struct {
	name, unit string
	run        func(uri string) (bytes int64, requests float64, err error)
}

func (b *bench) cells() (all []cell) {
	for _, n := range []int{1, 4} {
		connections := fmt.Sprintf("--connections=%d", n)
		all = append(all,
			cell{fmt.Sprintf("copy to, %d connections", n), "MB/s", func(uri string) (int64, float64, error) {
				return b.size, 0, command("nbdcopy", connections, "--sparse=0", b.source, uri)
			}},
			cell{fmt.Sprintf("copy from, %d connections", n), "MB/s", func(uri string) (int64, float64, error) {
				return b.size, 0, command("nbdcopy", connections, uri, "null:")
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

func command(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

func (b *bench) fio(uri, rw string, depth int) (bytes int64, requests float64, err error) {
	out, err := exec.Command("fio", "--name=x", "--ioengine=nbd", "--uri="+uri, "--rw="+rw, "--bs=4k", "--size=256m", fmt.Sprintf("--iodepth=%d", depth),
		"--time_based", fmt.Sprintf("--runtime=%d", b.seconds), "--output-format=json").Output()
	if err != nil {
		return 0, 0, fmt.Errorf("fio: %w\n%s", err, out)
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
	return j.Read.Bytes + j.Write.Bytes, j.Read.IOPS + j.Write.IOPS, nil
}

// A kind is a server to compare.
type kind struct {
	name    string
	export  string
	command func(address string) (*exec.Cmd, error)
}

// reference is the server that all are compared with.
const reference = "nbdkit memory"

func (b *bench) kinds(dir string) []kind {
	size := b.size
	self := func(kind string) func(string) (*exec.Cmd, error) {
		return func(address string) (*exec.Cmd, error) {
			program, err := os.Executable()
			return exec.Command(program, "-serve", kind, "-listen", address, "-file", dir+"/ours", "-size", fmt.Sprint(size>>20), "-profile", b.profile), err
		}
	}
	return []kind{
		{reference, "", func(address string) (*exec.Cmd, error) {
			host, port, _ := strings.Cut(address, ":")
			return exec.Command("nbdkit", "-f", "-i", host, "-p", port, "memory", fmt.Sprint(size)), nil
		}},
		{"memory", "", self("memory")},
		{"go-nbd memory", "", func(address string) (*exec.Cmd, error) {
			build := exec.Command("go", "build", "-C", "storage/bench/gonbd", "-o", dir+"/gonbd", ".")
			build.Env = append(os.Environ(), "GOWORK=off")
			if out, err := build.CombinedOutput(); err != nil {
				return nil, fmt.Errorf("building it, from the root of the repository: %w: %s", err, out)
			}
			return exec.Command(dir+"/gonbd", "-listen", address, "-size", fmt.Sprint(size)), nil
		}},
		{"file", "", self("file")},
		{"qemu-nbd file", "", func(address string) (*exec.Cmd, error) {
			if err := makeFile(dir+"/qemu", size); err != nil {
				return nil, err
			}
			host, port, _ := strings.Cut(address, ":")
			return exec.Command("qemu-nbd", "-t", "-b", host, "-p", port, "-f", "raw", "--shared=16", dir+"/qemu"), nil
		}},
		{"null", "", self("null")},
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

func start(k kind) (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	cmd, err := k.command(address)
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{k, cmd, "nbd://" + address + "/" + k.export}
	for range 100 {
		if err = command("nbdinfo", "--size", p.uri); err == nil {
			return p, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.stop()
	return nil, err
}

func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.cmd.Wait()
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
