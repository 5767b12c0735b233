// Package agent is the two processes of a measurement, the server and the
// client, and how the benchmark speaks to them. A process is this program
// again, started in a network namespace; it answers orders on its standard
// input, a line of JSON each, and ends when its input ends.
package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"
)

// A Task says what a process is for.
type Task struct {
	Subject    string       // of the server: its key
	Work       string       // a service of package service, or a load of package load
	Server     netip.Prefix // the server's address, with its network
	Peer       netip.Prefix // the client's first address, with its network
	Cables     int          // between the two, each with a network of its own; see Nth
	Sources    []netip.Addr // the client's addresses
	Streams    int          // connections, or requests at a time
	Body       int          // bytes of a response
	CPU        int          // that the process is kept on; -1 means any
	Threads    int          // GOMAXPROCS of such a process; 0 means what the Go runtime chooses
	Congestion string
	BusyPoll   time.Duration // of the server: tap.Config.BusyPoll
	Queues     int           // and tap.Config.Queues
	Trace      string        // of the server: a file for a trace of the Go runtime, its first phase
	PhaseTime  time.Duration // of a phase that takes a given time
	Profile    string        // of the server: what the names of files with profiles begin with; "" means none
}

// Services listen at these ports, each at one of its own.
const (
	PortSink   = 9
	PortEcho   = 7
	PortSource = 19
	PortHTTP   = 80
	PortHTTPS  = 443
)

// Nth is the address on cable i of what has p on cable 0: the networks of several
// cables differ in their second byte.
func Nth(p netip.Prefix, i int) netip.Prefix {
	a := p.Addr().As4()
	a[1] += byte(i)
	return netip.PrefixFrom(netip.AddrFrom4(a), p.Bits())
}

// What a process can be told to do.
const (
	orderSample  = "sample"
	orderCollect = "collect" // garbage, and then sample
	orderNext    = "next"    // phase
	orderClose   = "close"
)

// An answer is what a process says to an order, and once when it is ready.
type answer struct {
	Error  string `json:",omitempty"`
	Sample Sample
}

// A Worker is what a process does, apart from answering.
type Worker struct {
	Counters *Counters
	Phases   []func() error // what it does when it is told to go on, one after the other
	Close    func() error   // nil when the end of the process closes everything
	End      func() error   // what there is to do at the end, or nil
}

// Serve answers orders until in ends.
func Serve(w Worker, in io.Reader, out io.Writer) error {
	start := time.Now()
	orders, answers := json.NewDecoder(in), json.NewEncoder(out)
	if err := answers.Encode(answer{}); err != nil {
		return err
	}
	for {
		var order string
		if err := orders.Decode(&order); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		var a answer
		err := w.execute(order)
		if err == nil {
			a.Sample, err = w.Counters.sample(start, order == orderCollect)
		}
		if err != nil {
			a.Error = err.Error()
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
}

func (w *Worker) execute(order string) error {
	switch {
	case order == orderSample || order == orderCollect:
		return nil
	case order == orderNext && len(w.Phases) > 0:
		phase := w.Phases[0]
		w.Phases = w.Phases[1:]
		return phase()
	case order == orderClose && w.Close != nil:
		return w.Close()
	}
	return fmt.Errorf("cannot %s", order)
}

// Main is the main of a process: it starts with what the task says, and answers
// orders.
func Main(task string, start func(Task) (Worker, error)) error {
	var t Task
	err := json.Unmarshal([]byte(task), &t)
	var w Worker
	if err == nil {
		w, err = start(t)
	}
	if err != nil {
		return json.NewEncoder(os.Stdout).Encode(answer{Error: err.Error()})
	}
	err = Serve(w, os.Stdin, os.Stdout)
	if w.End != nil {
		err = errors.Join(err, w.End())
	}
	return err
}
