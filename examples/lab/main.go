// Lab has TCP flows share a bottleneck, in virtual time: a minute of network
// takes a second or so, and the same seed gives the same run to the last bit.
//
//	go run ./examples/lab
//	go run ./examples/lab -cc cubic,reno -flows 2 -rtt 50ms -rate 20M
//	go run ./examples/lab -cc bbr -loss 0.01 -duration 60s
//	go run ./examples/lab -queue codel -buffer 8            bufferbloat, and what helps
//	go run ./examples/lab -csv lab.csv -pcap lab            … for plots and for Wireshark
package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/sim"
)

func main() { program.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	e := o.experiment
	var files files
	if o.pcap != "" {
		e.Capture = func(host string) (io.Writer, error) { return files.create(o.pcap + "-" + host + ".pcap") }
	}
	began := time.Now()
	result, err := e.Run(ctx)
	if err == nil {
		report(out, e, result, time.Since(began))
		if o.csv != "" {
			err = writeCSV(&files, o.csv, e, result)
		}
	}
	return errors.Join(err, files.close())
}

// report prints what the flows have got, and what the queue has done.
func report(out io.Writer, e sim.Experiment, r sim.Result, took time.Duration) {
	fmt.Fprintf(out, "%-5s %-8s %12s %6s %10s %10s %10s %9s %9s\n",
		"flow", "control", "goodput", "share", "RTT", "least RTT", "cwnd", "resent", "timeouts")
	for i, f := range r.Flows {
		if len(f.Series) == 0 {
			fmt.Fprintf(out, "%-5d was never established\n", i+1)
			continue
		}
		last := f.Series[len(f.Series)-1]
		fmt.Fprintf(out, "%-5d %-8s %12s %5.1f%% %10v %10v %10d %9d %9d\n", i+1, last.CongestionControl,
			program.BitRate(r.Goodput[i]), 100*r.Goodput[i]/math.Max(r.Total, 1), last.RTT.Round(time.Microsecond),
			last.MinRTT.Round(time.Microsecond), last.CongestionWindow, last.BytesResent, last.Timeouts)
	}
	fmt.Fprintf(out, "\nall   %s, %.1f %% of the bound of %s; fairness (Jain) %.3f\n",
		program.BitRate(r.Total), 100*r.Total/r.Bound, program.BitRate(r.Bound), r.Jain)
	fmt.Fprintf(out, "queue of %d frames: delay %v on average, half below %v, 99 %% below %v, at most %v; %d dropped, %d marked\n",
		e.Frames(), round(r.Queue.Mean()), round(r.Queue.Quantile(.5)), round(r.Queue.Quantile(.99)), round(r.Queue.Max()),
		r.Queue.Drops.Load(), r.Queue.Marks.Load())
	fmt.Fprintf(out, "%v of network in %v; seed %d\n", e.Duration, took.Round(time.Millisecond), e.Seed)
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// writeCSV writes the samples of all flows, a line each.
func writeCSV(files *files, name string, e sim.Experiment, r sim.Result) error {
	f, err := files.create(name)
	if err != nil {
		return err
	}
	w := csv.NewWriter(f)
	w.Write(strings.Fields("flow control seconds goodput_bps cwnd ssthresh in_flight rtt_s min_rtt_s rto_s pacing_bps delivery_bps resent lost recoveries timeouts"))
	for i, flow := range r.Flows {
		for _, s := range flow.Series {
			number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
			goodput := flow.Goodput(max(0, s.At-e.Every), max(s.At, sim.Bin))
			w.Write([]string{
				strconv.Itoa(i + 1), s.CongestionControl, number(s.At.Seconds()), number(goodput),
				strconv.Itoa(s.CongestionWindow), strconv.Itoa(s.SlowStartThresh), strconv.Itoa(s.InFlight),
				number(s.RTT.Seconds()), number(s.MinRTT.Seconds()), number(s.RTO.Seconds()),
				number(8 * s.PacingRate), number(8 * s.DeliveryRate),
				strconv.FormatUint(s.BytesResent, 10), strconv.FormatUint(s.BytesLost, 10),
				strconv.FormatUint(s.Recoveries, 10), strconv.FormatUint(s.Timeouts, 10),
			})
		}
	}
	w.Flush()
	return w.Error()
}

// files are the files that the program writes.
type files []*os.File

func (f *files) create(name string) (io.Writer, error) {
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	*f = append(*f, file)
	return file, nil
}

func (f *files) close() (err error) {
	for _, file := range *f {
		err = errors.Join(err, file.Close())
	}
	return err
}
