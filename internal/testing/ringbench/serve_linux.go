package main

import (
	"fmt"
	"io"
	"os"
	"runtime/pprof"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/vhost"
	"github.com/seed-012105e5/gonet/vhost/vnet"
)

// ready is what a back end says when front ends can connect.
const ready = "ready"

// serve is a back end, until its standard input is closed.
func serve(what, socket, profile string, out io.Writer) error {
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	report := func(ring int, err error) { fmt.Fprintf(os.Stderr, "ringbench: ring %d: %v\n", ring, err) }
	switch what {
	case "rings":
		b, err := vhost.Listen(socket, newEcho(), vhost.Config{Report: report})
		if err != nil {
			return err
		}
		defer b.Close()
	case "link":
		card, err := vnet.Listen(socket, vnet.Config{Report: report})
		if err != nil {
			return err
		}
		go reflect(card) // the process ends, and that with it
	default:
		return fmt.Errorf("there is no back end %q", what)
	}
	fmt.Fprintln(out, ready)
	io.Copy(io.Discard, os.Stdin)
	return nil
}

// reflect sends back what a link brings, with the addresses swapped.
func reflect(l link.Link) {
	for b := range l.Rx {
		p := b.Bytes()
		mac := [6]byte(p)
		copy(p, p[6:12])
		copy(p[6:], mac[:])
		l.Tx <- b
	}
}
