// Package testpmd drives DPDK's testpmd (Debian's package dpdk): a front end or a back
// end of vhost-user that nobody here wrote. It needs no huge pages, no card and no
// root.
package testpmd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Program is what is run.
const Program = "dpdk-testpmd"

// A Config is one process.
type Config struct {
	// Name is of its own among those that run, for DPDK's files.
	Name string

	// CPU is which of those that this process may use it runs on, from 0 on: all of it,
	// while it forwards.
	CPU int

	// Devices are virtual ones, as --vdev has them.
	Devices []string

	// Args are those behind the "--".
	Args []string
}

// A Process is a testpmd that runs.
type Process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
	said  bytes.Buffer // what was read of lines
}

// timeout is how long an answer may take, on a busy machine.
const timeout = 60 * time.Second

// Start starts one, and returns when it takes commands.
func Start(c Config) (*Process, error) {
	// The first lcore takes the commands. Without stdbuf answers come when there are
	// many.
	cpu, err := allowed(c.CPU)
	if err != nil {
		return nil, err
	}
	args := []string{"--lcores", fmt.Sprintf("0@%d,1@%d", cpu, cpu), "--no-huge", "-m", "256", "--no-pci",
		"--file-prefix", fmt.Sprintf("%s-%d", c.Name, os.Getpid()), "--log-level", "*:4"}
	for _, d := range c.Devices {
		args = append(args, "--vdev", d)
	}
	args = append(append(args, "--", "-i", "--total-num-mbufs=8192"), c.Args...)
	p := &Process{cmd: exec.Command("stdbuf", append([]string{"-oL", Program}, args...)...), lines: make(chan string, 1000)}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = in, in
	err = p.cmd.Start()
	in.Close()
	if err != nil {
		out.Close()
		return nil, err
	}
	go p.read(out)
	if _, err := p.Do(""); err != nil {
		p.Kill()
		return nil, err
	}
	return p, nil
}

// allowed is the number of the n-th CPU that this process may use.
func allowed(n int) (int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return 0, os.NewSyscallError("sched_getaffinity", err)
	}
	for cpu := range 64 * len(set) {
		if set.IsSet(cpu) {
			if n == 0 {
				return cpu, nil
			}
			n--
		}
	}
	return 0, errors.New("there are not as many CPUs")
}

// read brings what it says to lines, until it has ended.
func (p *Process) read(out io.ReadCloser) {
	defer out.Close()
	defer close(p.lines)
	for s := bufio.NewScanner(out); s.Scan(); {
		p.lines <- s.Text()
	}
}

// marker is a command that is none: the complaint about it ends an answer.
const marker = "gonet-marker"

// Do gives a command, and returns what was said until it was done.
func (p *Process) Do(command string) (string, error) {
	if _, err := fmt.Fprintf(p.in, "%s\n%s\n", command, marker); err != nil {
		return "", p.fail(err)
	}
	var answer strings.Builder
	for late := time.After(timeout); ; {
		select {
		case line, ok := <-p.lines:
			if !ok {
				return "", p.fail(errors.New("it has ended"))
			}
			fmt.Fprintln(&p.said, line)
			if strings.Contains(line, "Bad arguments") || strings.Contains(line, "Command not found") {
				return answer.String(), nil
			}
			fmt.Fprintln(&answer, line)
		case <-late:
			return "", p.fail(errors.New("no answer"))
		}
	}
}

func (p *Process) fail(err error) error {
	return fmt.Errorf("%s: %w; it has said:\n%s", Program, err, p.said.String())
}

// Counters are those of a port.
type Counters struct {
	RxPackets, RxBytes, TxPackets, TxBytes, TxErrors uint64
}

var counter = regexp.MustCompile(`([RT]X-[a-z]+): *([0-9]+)`)

// Stats returns the counters of a port.
func (p *Process) Stats(port int) (c Counters, err error) {
	answer, err := p.Do(fmt.Sprintf("show port stats %d", port))
	for _, m := range counter.FindAllStringSubmatch(answer, -1) {
		n, _ := strconv.ParseUint(m[2], 10, 64)
		switch m[1] {
		case "RX-packets":
			c.RxPackets = n
		case "RX-bytes":
			c.RxBytes = n
		case "TX-packets":
			c.TxPackets = n
		case "TX-bytes":
			c.TxBytes = n
		case "TX-errors":
			c.TxErrors = n
		}
	}
	return c, err
}

// Quit has it end in order, or ends it.
func (p *Process) Quit() {
	io.WriteString(p.in, "quit\n")
	p.in.Close()
	late := time.AfterFunc(10*time.Second, func() { p.cmd.Process.Kill() })
	defer late.Stop()
	for range p.lines {
	}
	p.cmd.Wait()
}

// Kill ends it as a crash does.
func (p *Process) Kill() {
	p.cmd.Process.Kill()
	for range p.lines {
	}
	p.cmd.Wait()
}

// Said is what it has said in all.
func (p *Process) Said() string { return p.said.String() }
