package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/paper/internal/figure"
	"github.com/seed-012105e5/gonet/paper/internal/result"
	"github.com/seed-012105e5/gonet/paper/internal/subject"
	"github.com/seed-012105e5/gonet/tap"
)

// options is the command line.
type options struct {
	only       *regexp.Regexp // names of works
	subjects   string
	rounds     int
	seconds    float64
	congestion string
	busyPoll   time.Duration
	queues     int
	idle       []idleNumber
	out        string // a directory; "" means that nothing is written
	json       string
	profile    string // a directory
	list, draw bool
	command    string
}

func parse(args []string, out io.Writer) (*options, error) {
	o := &options{idle: []idleNumber{{n: 10000}}, command: command(args)}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(out)
	f.Func("only", "do the works only whose name matches this `expression`: \"bulk.* 8 streams|UDP\"", func(s string) (err error) {
		o.only, err = regexp.Compile(s)
		return err
	})
	f.StringVar(&o.subjects, "subjects", "", "measure the subjects with these `keys` only: \"kernel,gonet\"")
	f.IntVar(&o.rounds, "rounds", 3, "how often each measurement is made; the median counts")
	f.Float64Var(&o.seconds, "seconds", 1.5, "how long each measurement takes, without its warm-up")
	f.StringVar(&o.congestion, "cc", "reno", "congestion control of both sides: reno or cubic")
	f.DurationVar(&o.busyPoll, "busypoll", 0, "how long GoNet's reader of a tap polls before it sleeps; 0 means the default, negative none")
	f.IntVar(&o.queues, "queues", tap.AutoQueues, "how many queues GoNet's taps have; -1 means as many as suit the CPUs")
	f.Func("idle", "`numbers` of idle connections, each for all subjects or for some: 10000,100000,1000000:kernel+gonet (default 10000)", func(s string) (err error) {
		o.idle, err = numbers(s)
		return err
	})
	f.StringVar(&o.out, "out", ".", "`directory` for results.json and figures/; when only a part is measured nothing is written unless this is given")
	f.StringVar(&o.json, "json", "", "write the results to this `file` instead of results.json")
	f.StringVar(&o.profile, "profile", "", "write profiles of the servers' CPU time and allocations, and the counters of GoNet, to this `directory`")
	f.BoolVar(&o.list, "list", false, "print the works and the subjects, and end")
	f.BoolVar(&o.draw, "draw", false, "draw the figures anew from results.json, and end")
	f.Usage = func() {
		fmt.Fprintf(f.Output(), `Bench measures GoNet beside the kernel, beside gVisor's netstack, and beside what
the device carries at most. Run it as root, in the directory paper, on a machine
that does nothing else. All of it takes half an hour. Ctrl-C ends it and leaves
nothing behind.

	go run ./bench
	go run ./bench -only bulk -subjects kernel,gonet -rounds 3

`)
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if err := o.check(f); err != nil {
		return nil, err
	}
	o.findFiles(f)
	return o, nil
}

func (o *options) check(f *flag.FlagSet) error {
	if f.NArg() > 0 {
		return fmt.Errorf("%q is no flag; -h tells of all", f.Arg(0))
	}
	if o.rounds < 1 || o.seconds < 0.1 || o.seconds > 600 {
		return errors.New("at least one round, and from 0.1 to 600 seconds")
	}
	if o.congestion != "reno" && o.congestion != "cubic" {
		return fmt.Errorf("congestion control %q: all stacks have reno and cubic", o.congestion)
	}
	return nil
}

// findFiles says where the results go.
func (o *options) findFiles(f *flag.FlagSet) {
	given := false
	f.Visit(func(f *flag.Flag) { given = given || f.Name == "out" })
	if !given && !o.draw && (o.only != nil || o.subjects != "") {
		o.out = ""
		return
	}
	if o.json == "" {
		o.json = filepath.Join(o.out, "results.json")
	}
}

// An idleNumber is a number of idle connections, and the keys of the subjects that
// have to hold them; nil means all.
type idleNumber struct {
	n    int
	only []string
}

func numbers(list string) (all []idleNumber, err error) {
	for s := range strings.SplitSeq(list, ",") {
		number, keys, some := strings.Cut(strings.TrimSpace(s), ":")
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > 1000000 {
			return nil, fmt.Errorf("%q is no number from 1 to 1000000", number)
		}
		i := idleNumber{n: n}
		if some {
			i.only = strings.Split(keys, "+")
		}
		for _, key := range i.only {
			if _, err := subject.ByKey(key); err != nil {
				return nil, fmt.Errorf("%w; -list prints all", err)
			}
		}
		all = append(all, i)
	}
	return all, nil
}

// command is the command line that repeats the measurements: where the results go
// does not matter to them, and is left out.
func command(args []string) string {
	words := []string{"go run ./bench"}
	if packet.CountsCopies {
		words = []string{"go run -tags copies ./bench"}
	}
	for i := 0; i < len(args); i++ {
		name, _, joined := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if strings.HasPrefix(args[i], "-") && slices.Contains([]string{"out", "json", "profile"}, name) {
			if !joined {
				i++
			}
			continue
		}
		words = append(words, quoted(args[i]))
	}
	return strings.Join(words, " ")
}

// quoted is a word as a shell takes it.
func quoted(word string) string {
	if word != "" && !strings.ContainsAny(word, " \t\n\"'`$\\|&;<>()*?[]#~") {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// duration is that of a measurement.
func (o *options) duration() time.Duration { return time.Duration(o.seconds * float64(time.Second)) }

// chosen are the subjects to be measured.
func (o *options) chosen() (all []subject.Subject, err error) {
	if o.subjects == "" {
		return subject.All(), nil
	}
	keys := strings.Split(o.subjects, ",")
	for i := range keys {
		keys[i] = strings.TrimSpace(keys[i])
		if _, err := subject.ByKey(keys[i]); err != nil {
			return nil, fmt.Errorf("%w; -list prints all", err)
		}
	}
	for _, s := range subject.All() {
		if slices.Contains(keys, s.Key) {
			all = append(all, s)
		}
	}
	return all, nil
}

func (o *options) printList(w io.Writer) error {
	fmt.Fprintln(w, "Subjects:")
	for _, s := range subject.All() {
		fmt.Fprintf(w, "  %-16s %s\n", s.Key, s.Name)
	}
	fmt.Fprintln(w, "\nWorks:")
	for _, w2 := range allWorks(o) {
		fmt.Fprintf(w, "  %s\n", w2.name)
	}
	return nil
}

// write writes the results and the figures.
func (o *options) write(r *result.Results) error {
	if o.json != "" {
		if err := r.Write(o.json); err != nil {
			return err
		}
	}
	if o.out == "" {
		return nil
	}
	return o.drawTo(r)
}

func (o *options) drawTo(r *result.Results) error {
	dir := filepath.Join(o.out, "figures")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return figure.Draw(dir, r)
}

func (o *options) redraw() error {
	r, err := result.Read(o.json)
	if err != nil {
		return err
	}
	return o.drawTo(r)
}
