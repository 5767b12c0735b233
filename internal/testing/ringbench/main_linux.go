// Ringbench compares network cards for virtual machines: DPDK's net_vhost, which swaps
// the addresses of packets and sends them back, and GoNet's doing the same job on the
// same CPU, once on the rings and once through a link.Link. The other side is DPDK's
// virtio_user on a CPU of its own, which sends back what it gets, so that packets circle
// as fast as the slower side lets them.
//
//	go run ./internal/testing/ringbench
//
// It needs DPDK (Debian's package dpdk), two CPUs that nothing else uses, and no root.
// Only the ratios count.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/internal/testing/testpmd"
)

func main() { program.Main(run) }

type options struct {
	rounds  int
	seconds float64
	packed  bool
	only    string
	profile string
	serve   string // what the process that serves is, in it
	socket  string
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	f := flag.NewFlagSet("ringbench", flag.ContinueOnError)
	f.IntVar(&o.rounds, "rounds", 3, "how often each is measured; the median counts")
	f.Float64Var(&o.seconds, "seconds", 2, "how long each time")
	f.BoolVar(&o.packed, "packed", false, "packed rings in the place of split ones")
	f.StringVar(&o.only, "only", "", "measure the one that this begins the name of, alone")
	f.StringVar(&o.profile, "profile", "", "write CPU profiles of GoNet's to files whose names begin so")
	f.StringVar(&o.serve, "serve", "", "for this program itself: be that card")
	f.StringVar(&o.socket, "socket", "", "for this program itself: at that socket")
	if err := f.Parse(args); err != nil {
		if err == flag.ErrHelp {
			return err
		}
		return program.Usage("%v", err)
	}
	if o.serve != "" {
		return serve(o.serve, o.socket, o.profile, out)
	}
	return o.compare(ctx, out)
}

// A back is a back end that is measured.
type back struct {
	name  string
	start func(o *options, socket string) (stop func(), err error)
}

var backs = []back{
	{"DPDK net_vhost", (*options).startDPDK},
	{"GoNet, on the rings", func(o *options, socket string) (func(), error) { return o.startSelf("rings", socket) }},
	{"GoNet, link.Link", func(o *options, socket string) (func(), error) { return o.startSelf("link", socket) }},
}

// compare measures all, in turn, and prints medians and ratios.
func (o *options) compare(ctx context.Context, out io.Writer) error {
	kind := "split"
	if o.packed {
		kind = "packed"
	}
	for _, size := range []int{64, 1500} {
		rates := make([][]float64, len(backs))
		for range o.rounds {
			for i, b := range backs {
				if err := ctx.Err(); err != nil {
					return err
				}
				if !strings.HasPrefix(b.name, o.only) {
					continue
				}
				r, err := o.measure(b, size)
				if err != nil {
					return fmt.Errorf("%s: %w", b.name, err)
				}
				rates[i] = append(rates[i], r)
			}
		}
		fmt.Fprintf(out, "%d bytes, %s rings\n", size, kind)
		reference := median(rates[0])
		for i, b := range backs {
			if rates[i] == nil {
				continue
			}
			r := median(rates[i])
			fmt.Fprintf(out, "  %-20s %6.2f million packets/s there and back, %6.2f Gbit/s, ratio %.2f\n", b.name, r/1e6, r*float64(size)*8/1e9, r/reference)
		}
	}
	return nil
}

func median(all []float64) float64 {
	if len(all) == 0 {
		return math.NaN()
	}
	all = slices.Clone(all)
	slices.Sort(all)
	return all[len(all)/2]
}

// measure returns how many packets a second circle.
func (o *options) measure(b back, size int) (float64, error) {
	dir, err := os.MkdirTemp("", "ringbench")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "net.sock")
	stop, err := b.start(o, socket)
	if err != nil {
		return 0, err
	}
	defer stop()
	device := "net_virtio_user0,path=" + socket + ",queues=1,queue_size=256"
	if o.packed {
		device += ",packed_vq=1"
	}
	front, err := testpmd.Start(testpmd.Config{Name: "front", CPU: 1, Devices: []string{device}, Args: []string{"--forward-mode=io", fmt.Sprintf("--txpkts=%d", size)}})
	if err != nil {
		return 0, err
	}
	defer front.Quit()
	// Four bursts of 32 circle: half of what a ring holds.
	if _, err := front.Do("start tx_first 4"); err != nil {
		return 0, err
	}
	before, err := front.Stats(0)
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	time.Sleep(time.Duration(o.seconds * float64(time.Second)))
	after, err := front.Stats(0)
	took := time.Since(begun).Seconds()
	if err == nil && after.RxPackets == before.RxPackets {
		err = fmt.Errorf("no packet has come back")
	}
	return float64(after.RxPackets-before.RxPackets) / took, err
}

func (o *options) startDPDK(socket string) (func(), error) {
	p, err := testpmd.Start(testpmd.Config{Name: "back", CPU: 0, Devices: []string{"net_vhost0,iface=" + socket + ",queues=1"},
		Args: []string{"--forward-mode=macswap", "--auto-start"}})
	if err != nil {
		return nil, err
	}
	return p.Quit, nil
}

// startSelf runs this program as a back end, on CPU 0 alone.
func (o *options) startSelf(what, socket string) (func(), error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"-c", "0", self, "-serve", what, "-socket", socket}
	if o.profile != "" {
		args = append(args, "-profile", o.profile+what)
	}
	cmd := exec.Command("taskset", args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() { in.Close(); cmd.Wait() }
	if line, err := bufio.NewReader(said).ReadString('\n'); strings.TrimSpace(line) != ready {
		stop()
		return nil, fmt.Errorf("it does not start: %q, %v", line, err)
	}
	return stop, nil
}
