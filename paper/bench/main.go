// Bench measures GoNet beside the kernel, beside gVisor's netstack, and beside
// what the device carries at most: in one run, on the same work, interleaved.
//
//	cd paper && go run ./bench        as root
//
// For each measurement it makes network namespaces, starts a server on the stack
// to be measured in a process of its own and, mostly, a client on the kernel's
// sockets in another one, looks at both at the beginning and at the end of a
// window of time, and ends everything again. It prints medians, the least and
// the greatest value, and ratios to kernel to kernel over a veth; absolute
// figures of a busy machine drift. It writes results.json and the figures.
//
// The clients and servers are this program again; see package agent.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/seed-012105e5/gonet/paper/internal/agent"
	"github.com/seed-012105e5/gonet/paper/internal/load"
	"github.com/seed-012105e5/gonet/paper/internal/service"
)

// The first argument of the processes that this program starts.
const (
	roleServer = "server"
	roleClient = "client"
)

func main() {
	if len(os.Args) == 3 && (os.Args[1] == roleServer || os.Args[1] == roleClient) {
		serveOrders(os.Args[1], os.Args[2])
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// serveOrders is the main of a server or a client.
func serveOrders(role, text string) {
	start := load.Start
	if role == roleServer {
		start = service.Start
	}
	if err := agent.Main(text, start); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	o, err := parse(os.Args[1:], os.Stderr)
	if err != nil {
		return err
	}
	switch {
	case o.list:
		return o.printList(os.Stdout)
	case o.draw:
		return o.redraw()
	case os.Geteuid() != 0:
		return errors.New("run it as root: it makes network namespaces and taps")
	}
	b, err := newBench(o, os.Stdout)
	if err != nil {
		return err
	}
	if err := b.run(ctx); err != nil {
		return err
	}
	if err := o.write(b.results); err != nil {
		return err
	}
	if n := len(b.results.Failures); n > 0 {
		return fmt.Errorf("%d measurements failed", n)
	}
	return nil
}
