//go:build linux

// Bench measures the stack beside the kernel, in one run and on the same
// work, and prints ratios: absolute figures of a busy machine drift.
//
//	sudo go run ./internal/bench
//
// It makes network namespaces, with a veth between two of them for kernel to
// kernel, and a tap with a stack behind it for kernel to GoNet. The kernel's
// congestion control is reno in all of them: the default of some systems, bbr,
// paces bulk transfers.
package main

import (
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/internal/netns"
	"github.com/seed-012105e5/gonet/tap"
)

// A path is a way to a server: where the server listens, and how a kernel
// client reaches it.
type path struct {
	name   string
	client *netns.NS
	addr   string // of the server
	listen func(address string) (net.Listener, error)
	close  func()
	stats  func() gonet.Stats // of the stack; nil for the kernel
}

const congestionControl = "reno"

var (
	seconds = flag.Float64("seconds", 1.5, "how long each measurement of a transfer takes")
	rounds  = flag.Int("rounds", 3, "how often each measurement is made; the median counts")
	only    = flag.String("only", "", "run the works whose name contains this only")
	paths   = flag.String("paths", "", "use the paths whose name contains this only")
	idle    = flag.Int("idle", 10000, "number of idle connections")
	cpu     = flag.Int("cpu", -1, "the CPU that a client is pinned to; for the clients that this program starts")
	stats   = flag.Bool("stats", false, "print the counters of the stacks at the end")
	profile = flag.String("cpuprofile", "", "write a CPU profile to this file")
)

func main() {
	flag.Usage = func() {
		fmt.Fprintf(os.Stderr, "Bench measures GoNet on a tap beside the kernel on a veth. Run it as root.\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	work := run
	if flag.Arg(0) == "client" && flag.NArg() == 4 {
		work = func() error { return client(flag.Arg(1), flag.Arg(2), flag.Arg(3)) }
	}
	if err := work(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	ways, err := makePaths()
	if err != nil {
		return err
	}
	defer func() {
		for _, w := range ways {
			if *stats && w.stats != nil {
				fmt.Printf("\n%s\n%v", w.name, w.stats())
			}
			w.close()
		}
	}()
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	fmt.Printf("kernel congestion control: %s; %d rounds of %v s, medians [least to most]; ratio to %s\n\n",
		congestionControl, *rounds, *seconds, ways[0].name)
	for _, w := range works {
		if strings.Contains(w.name, *only) {
			if err := measure(w, ways); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	return nil
}

// measure runs one work over all paths, interleaved, and prints a row each.
func measure(w work, ways []path) error {
	results := make([][]float64, len(ways))
	n := *rounds
	if w.once {
		n = 1
	}
	for range n {
		for i, p := range ways {
			v, err := w.run(p)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			results[i] = append(results[i], v)
			time.Sleep(50 * time.Millisecond)
		}
	}
	fmt.Printf("%s (%s)\n", w.name, w.unit)
	base := median(results[0])
	for i, p := range ways {
		r := results[i]
		fmt.Printf("  %-22s %9.2f  [%.2f to %.2f]  %.2f\n", p.name, median(r), slices.Min(r), slices.Max(r), median(r)/base)
	}
	return nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// makePaths makes the namespaces and the stacks.
func makePaths() ([]path, error) {
	var ways []path
	for _, make := range []func() (path, error){kernelPath, offloadTap, plainTap} {
		p, err := make()
		if err != nil {
			return nil, err
		}
		if !strings.Contains(p.name, *paths) {
			p.close()
			continue
		}
		ways = append(ways, p)
	}
	return ways, nil
}

func newNamespace() (*netns.NS, error) {
	ns, err := netns.New()
	if err != nil {
		return nil, err
	}
	if err := ns.Sysctl("net.ipv4.tcp_congestion_control", congestionControl); err != nil {
		return nil, err
	}
	if err := ns.Sysctl("net.core.somaxconn", "65535"); err != nil {
		return nil, err
	}
	return ns, ns.Sysctl("net.ipv4.ip_local_port_range", "1024 65535")
}

// kernelPath is kernel to kernel, over a veth with its offloads.
func kernelPath() (path, error) {
	client, err := newNamespace()
	if err != nil {
		return path{}, err
	}
	server, err := newNamespace()
	if err != nil {
		return path{}, err
	}
	if err := netns.Veth(client, "veth0", server, "veth1"); err != nil {
		return path{}, err
	}
	if err := client.AddAddr("veth0", netip.MustParsePrefix("10.0.0.1/24")); err != nil {
		return path{}, err
	}
	if err := server.AddAddr("veth1", netip.MustParsePrefix("10.0.0.2/24")); err != nil {
		return path{}, err
	}
	return path{
		name: "kernel, veth", client: client, addr: "10.0.0.2",
		listen: func(a string) (net.Listener, error) { return server.Listen("tcp", a) },
		close:  func() { client.Close(); server.Close() },
	}, nil
}

func offloadTap() (path, error) { return tapPath("GoNet, offload tap", tap.Config{}) }
func plainTap() (path, error)   { return tapPath("GoNet, plain tap", tap.Config{DisableOffload: true}) }

// tapPath is kernel to GoNet.
func tapPath(name string, cfg tap.Config) (path, error) {
	client, err := newNamespace()
	if err != nil {
		return path{}, err
	}
	cfg.Name, cfg.HostAddr = "tap0", netip.MustParsePrefix("10.0.0.1/24")
	var stack *gonet.Stack
	err = client.Do(func() error {
		card, err := tap.Open(cfg)
		if err != nil {
			return err
		}
		stack, err = gonet.New(gonet.Config{Link: card, Addr: netip.MustParsePrefix("10.0.0.2/24")})
		return err
	})
	if err != nil {
		return path{}, err
	}
	return path{
		name: name, client: client, addr: "10.0.0.2",
		listen: func(a string) (net.Listener, error) { return stack.Listen("tcp", a) },
		close:  func() { stack.Close(); client.Close() },
		stats:  stack.Stats,
	}, nil
}
