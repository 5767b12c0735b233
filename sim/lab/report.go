package lab

import (
	"fmt"
	"io"
	"time"

	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/sim"
)

// report writes what was seen: a table, or JSON in its place, and the samples.
func (o *options) report(out io.Writer, files *files, all []replication, took time.Duration) error {
	if files.csv != nil {
		if err := writeCSV(files.csv, all); err != nil {
			return err
		}
	}
	if files.json != nil {
		if err := o.writeJSON(files.json, all); err != nil {
			return err
		}
	}
	switch {
	case o.json == "-":
		return o.writeJSON(out, all)
	case o.each || o.runs > 1:
		o.compare(out, all)
	default:
		flows(out, all[0])
	}
	seeds := fmt.Sprintf("seed %d", o.experiment.Seed)
	if o.runs > 1 {
		seeds = fmt.Sprintf("seeds %d to %d", o.experiment.Seed, o.experiment.Seed+uint64(o.runs)-1)
	}
	fmt.Fprintf(out, "%v of network in %v; %s\n", time.Duration(len(all))*o.experiment.Duration, took.Round(time.Millisecond), seeds)
	return nil
}

// flows is the table of one run: what each flow has got, and what the queue has
// done.
func flows(out io.Writer, r replication) {
	fmt.Fprintf(out, "%-5s %-8s %8s %12s %6s %10s %10s %10s %9s %9s\n",
		"flow", "control", "begins", "goodput", "share", "RTT", "least RTT", "cwnd", "resent", "timeouts")
	for i, f := range r.Flows {
		if len(f.Series) == 0 {
			fmt.Fprintf(out, "%-5d was never established\n", i+1)
			continue
		}
		last := f.Series[len(f.Series)-1]
		fmt.Fprintf(out, "%-5d %-8s %8v %12s %6s %10v %10v %10d %9d %9d\n", i+1, last.CongestionControl, f.Cfg.Start.Round(time.Millisecond),
			program.BitRate(r.Goodput[i]), percent(r.Goodput[i], r.Total), last.RTT.Round(time.Microsecond),
			last.MinRTT.Round(time.Microsecond), last.CongestionWindow, last.BytesResent, last.Timeouts)
	}
	fmt.Fprintf(out, "\nall   %s, %s of the bound of %s; fairness (Jain) %.3f\n",
		program.BitRate(r.Total), percent(r.Total, r.Bound), program.BitRate(r.Bound), r.Jain)
	if r.Cross != nil {
		fmt.Fprintf(out, "cross traffic: %d transfers, %s\n", r.Cross.Answers, program.BitRate(crossRate(r)))
	}
	fmt.Fprintf(out, "queue of %d frames: delay %v on average, half below %v, 99 %% below %v, at most %v; %d dropped, %d marked\n",
		r.of.Frames(), round(r.Queue.Mean()), round(r.Queue.Quantile(.5)), round(r.Queue.Quantile(.99)), round(r.Queue.Max()),
		r.Queue.Drops.Load(), r.Queue.Marks.Load())
}

// crossRate is what the cross traffic has got, in bit/s.
func crossRate(r replication) float64 { return 8 * float64(r.Cross.Bytes) / r.of.Duration.Seconds() }

// percent is a share of a whole, if there is one.
func percent(part, whole float64) string {
	if !(whole > 0) {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", 100*part/whole)
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// compare is the table of several runs, a line for each control, or mix of them.
func (o *options) compare(out io.Writer, all []replication) {
	fmt.Fprintf(out, "%-16s %-22s %8s %-18s %-18s %-18s %s\n", "control", "goodput", "of bound", "fairness (Jain)", "queue, mean", "queue, 99 %", "dropped")
	for _, s := range o.summaries(all) {
		fmt.Fprintf(out, "%-16s %-22s %8s %-18s %-18s %-18s %s\n", s.Control, s.Goodput.rate(), percent(s.Goodput.Mean, s.Bound),
			s.Jain.number("%.3f"), s.QueueMean.time(), s.QueueP99.time(), s.Drops.number("%.0f"))
	}
}

// A summary is what the runs with one mix of controls have shown. Times are in
// seconds, goodput is in bit/s.
type summary struct {
	Control   string   `json:"control"`
	Bound     float64  `json:"bound"`
	Goodput   estimate `json:"goodput"`
	Jain      estimate `json:"jain"`
	QueueMean estimate `json:"queueMean"`
	QueueP99  estimate `json:"queueP99"`
	Drops     estimate `json:"dropped"`
}

// summaries makes one of each o.runs of the runs, which belong together.
func (o *options) summaries(all []replication) (list []summary) {
	for len(all) > 0 {
		group := all[:o.runs]
		all = all[o.runs:]
		of := func(value func(r replication) float64) estimate {
			var values []float64
			for _, r := range group {
				values = append(values, value(r))
			}
			return estimate(sim.Confidence(values))
		}
		list = append(list, summary{
			Control:   control(group[0].of),
			Bound:     group[0].Bound,
			Goodput:   of(func(r replication) float64 { return r.Total }),
			Jain:      of(func(r replication) float64 { return r.Jain }),
			QueueMean: of(func(r replication) float64 { return r.Queue.Mean().Seconds() }),
			QueueP99:  of(func(r replication) float64 { return r.Queue.Quantile(.99).Seconds() }),
			Drops:     of(func(r replication) float64 { return float64(r.Queue.Drops.Load()) }),
		})
	}
	return list
}
