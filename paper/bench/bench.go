package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/seed-012105e5/gonet/paper/internal/result"
	"github.com/seed-012105e5/gonet/paper/internal/subject"
)

// A bench is one run of all works.
type bench struct {
	*options
	subjects []subject.Subject
	works    []work
	results  *result.Results
	out      io.Writer
}

// A work is something to be measured.
type work struct {
	name    string
	fits    func(subject.Subject) bool // says which subjects can do it
	measure func(context.Context, *site) ([]result.Figure, error)
	limit   time.Duration // how long it may take, beyond its window
	once    bool          // whatever -rounds says
}

func newBench(o *options, out io.Writer) (*bench, error) {
	subjects, err := o.chosen()
	if err != nil {
		return nil, err
	}
	if o.profile != "" {
		if err := os.MkdirAll(o.profile, 0o755); err != nil {
			return nil, err
		}
	}
	b := &bench{options: o, subjects: subjects, out: out, results: &result.Results{
		Machine: machine(),
		Settings: result.Settings{
			Congestion: o.congestion, Rounds: o.rounds, Seconds: o.seconds, Command: o.command,
		},
	}}
	for _, s := range subjects {
		b.results.Subjects = append(b.results.Subjects, result.Subject{Key: s.Key, Name: s.Name})
	}
	for _, w := range allWorks(o) {
		if o.only == nil || o.only.MatchString(w.name) {
			b.works = append(b.works, w)
			b.results.Works = append(b.results.Works, w.name)
		}
	}
	if len(b.works) == 0 {
		return nil, fmt.Errorf("no work has a name that matches %v; -list prints all", o.only)
	}
	return b, nil
}

// run does all works, and prints each when it is done.
func (b *bench) run(ctx context.Context) error {
	b.printHead()
	for _, w := range b.works {
		if err := b.runWork(ctx, w); err != nil {
			return err
		}
		b.print(w.name)
	}
	printGrowth(b.out, b.results)
	return nil
}

// runWork measures one work on all subjects, interleaved: what drifts, drifts
// for all. A measurement that fails is noted, what figures it has given
// count, and the others go on.
func (b *bench) runWork(ctx context.Context, w work) error {
	rounds := b.rounds
	if w.once {
		rounds = 1
	}
	for round := range rounds {
		for _, s := range b.subjects {
			if !w.fits(s) {
				continue
			}
			figures, err := b.measure(ctx, w, s)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				b.fail(result.Failure{Work: w.name, Subject: s.Key, Round: round + 1, Error: err.Error()})
			}
			for _, f := range figures {
				b.results.Add(w.name, s.Key, f)
			}
		}
	}
	return nil
}

// measure makes one measurement.
func (b *bench) measure(ctx context.Context, w work, s subject.Subject) (figures []result.Figure, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*b.duration()+w.limit+setUpTime, fmt.Errorf("it has taken too long"))
	defer cancel()
	at, err := newSite(w.name, s, b.options)
	if err != nil {
		return nil, err
	}
	defer at.close()
	return w.measure(ctx, at)
}

// setUpTime is how long a measurement may take beside its window.
const setUpTime = 20 * time.Second

func (b *bench) fail(f result.Failure) {
	b.results.Failures = append(b.results.Failures, f)
	fmt.Fprintf(b.out, "FAILED: %s, %s, round %d: %s\n", f.Work, b.results.Name(f.Subject), f.Round, f.Error)
}
