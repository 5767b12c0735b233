package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/netns"
)

// A Process is a server or a client, as the benchmark sees it. It serves one
// goroutine at a time.
type Process struct {
	name    string
	ctx     context.Context
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *json.Decoder
	stderr  bytes.Buffer
	ended   bool
}

// Start starts this program in ns, with role and the task as its arguments, and
// waits until it is ready. When ctx is done it is killed.
func Start(ctx context.Context, ns *netns.NS, role string, task Task) (*Process, error) {
	text, err := json.Marshal(task)
	if err != nil {
		return nil, err
	}
	p := &Process{name: role, ctx: ctx, cmd: exec.CommandContext(ctx, "/proc/self/exe", role, string(text))}
	Tame(p.cmd)
	if task.CPU >= 0 && task.Threads > 0 {
		p.cmd.Env = append(p.cmd.Environ(), fmt.Sprintf("GOMAXPROCS=%d", task.Threads))
	}
	p.cmd.Stderr = &p.stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.answers = json.NewDecoder(out)
	if err := onCPU(task.CPU, func() error { return ns.Start(p.cmd) }); err != nil {
		return nil, fmt.Errorf("%s: %w", role, err)
	}
	if _, err := p.answer(); err != nil {
		return nil, errors.Join(err, p.End())
	}
	return p, nil
}

// Tame has a command end with this program, whatever becomes of it, and keeps
// the terminal's Ctrl-C from it: this program gets that, and ends it.
func Tame(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 5 * time.Second
}

// PID is the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Sample asks the process how it stands.
func (p *Process) Sample() (Sample, error) { return p.order(orderSample) }

// Collect is Sample after garbage has been collected.
func (p *Process) Collect() (Sample, error) { return p.order(orderCollect) }

// Next has the process go through its next phase.
func (p *Process) Next() (Sample, error) { return p.order(orderNext) }

// Close has the process close what it has open.
func (p *Process) Close() (Sample, error) { return p.order(orderClose) }

func (p *Process) order(what string) (Sample, error) {
	if err := json.NewEncoder(p.in).Encode(what); err != nil {
		return Sample{}, p.explain(err)
	}
	return p.answer()
}

func (p *Process) answer() (Sample, error) {
	var a answer
	if err := p.answers.Decode(&a); err != nil {
		return Sample{}, p.explain(err)
	}
	if a.Error != "" {
		return Sample{}, fmt.Errorf("%s: %s", p.name, a.Error)
	}
	return a.Sample, nil
}

// explain says why the process does not answer.
func (p *Process) explain(err error) error {
	if p.ctx.Err() != nil {
		return fmt.Errorf("%s: %w", p.name, context.Cause(p.ctx))
	}
	if ended := p.End(); ended != nil {
		err = ended
	}
	return fmt.Errorf("%s: %w: %s", p.name, err, bytes.TrimSpace(firstLines(p.stderr.Bytes())))
}

// firstLines is as much of a report as one wants to read.
func firstLines(text []byte) []byte { return text[:min(len(text), 1000)] }

// endTime is how long a process may take to end.
const endTime = 20 * time.Second

// End ends the process, and waits until it has. It may be called again.
func (p *Process) End() error {
	if p.ended {
		return nil
	}
	p.ended = true
	p.in.Close()
	late := time.AfterFunc(endTime, func() { p.cmd.Process.Kill() })
	defer late.Stop()
	return p.cmd.Wait()
}
