// Package lab is the laboratory's program, as a library, so that one with
// congestion controls of one's own takes ten lines:
//
//	func main() {
//		lab.Main(lab.Config{
//			Controllers: map[string]congestion.Factory{"mine": NewMine},
//			Args:        []string{"-each", "-cc", "cubic,mine"}, // unless the user says otherwise
//		})
//	}
//
// It has TCP flows share a bottleneck in virtual time, by [sim.Experiment], and
// tells how they fared.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/sim"
	"github.com/seed-012105e5/gonet/tcp/congestion"
)

// Config is what sets a program apart from examples/lab.
type Config struct {
	Name  string // of the program; empty means lab
	About string // what -h says first; empty means what that of lab says

	// Controllers are further congestion controls, which -cc can name.
	Controllers map[string]congestion.Factory

	// Args are flags in front of those of the command line, which override them.
	Args []string
}

// Main runs the program with the command line of this process, and exits.
func Main(c Config) {
	program.Main(func(ctx context.Context, args []string, out io.Writer) error { return Run(ctx, c, args, out) })
}

// Run runs the program with args, and writes its results to out. The progress goes
// to the terminal, if os.Stderr is one.
func Run(ctx context.Context, c Config, args []string, out io.Writer) error {
	o, err := parse(c, args, out)
	if err != nil {
		return err
	}
	files, err := o.openFiles() // before anything is measured
	if err != nil {
		return err
	}
	began := time.Now()
	results, err := o.runAll(ctx, files)
	if err == nil {
		err = o.report(out, files, results, time.Since(began))
	}
	return errors.Join(err, files.close())
}

// A replication is one run of an experiment.
type replication struct {
	of sim.Experiment
	sim.Result
}

// runAll does the experiment as often as the command line says: for each of the
// controls by itself with -each, with as many seeds as -runs.
func (o *options) runAll(ctx context.Context, files *files) (all []replication, err error) {
	mixes := [][]string{o.experiment.Controllers}
	if o.each {
		mixes = nil
		for _, name := range o.experiment.Controllers {
			mixes = append(mixes, []string{name})
		}
	}
	line := newProgress()
	defer line.clear()
	for i, mix := range mixes {
		for j := range o.runs {
			e := o.experiment
			e.Controllers = mix
			e.Seed += uint64(j)
			e.Progress = func(at time.Duration) {
				line.show("run %d of %d: %v of %v", i*o.runs+j+1, len(mixes)*o.runs, at.Round(100*time.Millisecond), e.Duration)
			}
			if o.pcap != "" {
				e.Capture = func(host string) (io.Writer, error) { return files.create(o.pcapName(e, j, host)) }
			}
			r, err := e.Run(ctx)
			if err != nil {
				return nil, err
			}
			all = append(all, replication{e, r})
		}
	}
	return all, nil
}

// A progress is a line of the terminal that says how far things are.
type progress struct{ out io.Writer } // nil: there is no terminal

func newProgress() *progress {
	if info, err := os.Stderr.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return &progress{}
	}
	return &progress{out: os.Stderr}
}

// show replaces the line.
func (p *progress) show(format string, args ...any) {
	if p.out != nil {
		fmt.Fprintf(p.out, "\r\x1b[K"+format, args...)
	}
}

func (p *progress) clear() {
	if p.out != nil {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
