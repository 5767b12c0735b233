package lab

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/seed-012105e5/gonet/sim"
)

// files are those that the program writes.
type files struct {
	csv, json io.Writer // nil: not wanted
	all       []*os.File
}

// openFiles makes the files that the command line names, so that one that cannot be
// written is told before the runs.
func (o *options) openFiles() (*files, error) {
	f := new(files)
	var errs [3]error
	if o.csv != "" {
		f.csv, errs[0] = f.create(o.csv)
	}
	if o.json != "" && o.json != "-" {
		f.json, errs[1] = f.create(o.json)
	}
	if o.pcap != "" {
		_, errs[2] = os.Stat(filepath.Dir(o.pcap)) // what hosts there are is not known yet
	}
	if err := errors.Join(errs[:]...); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *files) create(name string) (io.Writer, error) {
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	f.all = append(f.all, file)
	return file, nil
}

func (f *files) close() (err error) {
	for _, file := range f.all {
		err = errors.Join(err, file.Close())
	}
	return err
}

// pcapName is the name of the recording of a host in run j of e: the plain one
// where there is one run only.
func (o *options) pcapName(e sim.Experiment, j int, host string) string {
	name := o.pcap
	if o.each {
		name += "-" + control(e)
	}
	if o.runs > 1 {
		name += fmt.Sprintf("-%d", j+1)
	}
	return name + "-" + host + ".pcap"
}

// writeCSV writes the samples of all flows of all runs, a line each.
func writeCSV(out io.Writer, all []replication) error {
	w := csv.NewWriter(out)
	w.Write(strings.Fields("seed flow control seconds goodput_bps cwnd ssthresh in_flight rtt_s min_rtt_s rto_s pacing_bps delivery_bps resent lost recoveries timeouts"))
	for _, r := range all {
		for i, flow := range r.Flows {
			for _, s := range flow.Series {
				w.Write(append([]string{strconv.FormatUint(r.of.Seed, 10), strconv.Itoa(i + 1)}, record(r, flow, s)...))
			}
		}
	}
	w.Flush()
	return w.Error()
}

// record is one sample, from the third column on.
func record(r replication, flow *sim.Flow, s sim.Sample) []string {
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	goodput := flow.Goodput(max(0, s.At-r.of.Every), max(s.At, sim.Bin))
	return []string{
		s.CongestionControl, number(s.At.Seconds()), number(goodput),
		strconv.Itoa(s.CongestionWindow), strconv.Itoa(s.SlowStartThresh), strconv.Itoa(s.InFlight),
		number(s.RTT.Seconds()), number(s.MinRTT.Seconds()), number(s.RTO.Seconds()),
		number(8 * s.PacingRate), number(8 * s.DeliveryRate),
		strconv.FormatUint(s.BytesResent, 10), strconv.FormatUint(s.BytesLost, 10),
		strconv.FormatUint(s.Recoveries, 10), strconv.FormatUint(s.Timeouts, 10),
	}
}

// writeJSON writes all that is known but the samples: times in seconds, rates in
// bit/s.
func (o *options) writeJSON(out io.Writer, all []replication) error {
	type object map[string]any
	var runs []object
	for _, r := range all {
		var flows []object
		for i, f := range r.Flows {
			flow := object{"start": f.Cfg.Start.Seconds(), "goodput": r.Goodput[i]}
			if n := len(f.Series); n > 0 {
				last := f.Series[n-1]
				flow["control"], flow["rtt"], flow["minRTT"], flow["cwnd"] = last.CongestionControl, last.RTT.Seconds(), last.MinRTT.Seconds(), last.CongestionWindow
				flow["resent"], flow["timeouts"] = last.BytesResent, last.Timeouts
			}
			flows = append(flows, flow)
		}
		run := object{
			"control": control(r.of), "seed": r.of.Seed, "total": r.Total, "bound": r.Bound, "jain": r.Jain, "flows": flows,
			"queue": object{
				"frames": r.of.Frames(), "mean": r.Queue.Mean().Seconds(), "p50": r.Queue.Quantile(.5).Seconds(), "p99": r.Queue.Quantile(.99).Seconds(),
				"max": r.Queue.Max().Seconds(), "dropped": r.Queue.Drops.Load(), "marked": r.Queue.Marks.Load(),
			},
		}
		if r.Cross != nil {
			run["cross"] = object{"transfers": r.Cross.Answers, "goodput": crossRate(r)}
		}
		runs = append(runs, run)
	}
	e := o.experiment
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(object{
		"rate": e.Rate, "rtt": max(0, e.RTT).Seconds(), "loss": e.Loss, "buffer": e.Buffer, "duration": e.Duration.Seconds(), "cross": e.Cross,
		"runs": runs, "summary": o.summaries(all),
	})
}
