// Pair has two TCP/IP stacks in one process send data to each other, over a
// cable in memory that can be slow, long and lossy. It needs no rights and no
// tap.
//
//	go run ./examples/pair
//	go run ./examples/pair -size 10M -rate 100M -delay 10ms -loss 0.001
//	go run ./examples/pair -size 5k -text            every packet, as tcpdump shows it
//	go run ./examples/pair -size 1M -pcap pair.pcap  … for Wireshark
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/seed-012105e5/gonet/examples/internal/pattern"
	"github.com/seed-012105e5/gonet/examples/internal/setup"
	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/link"
)

const about = `
Pair has two TCP/IP stacks in one process send data from one to the other, over
a cable in memory, and tells how that went. It needs no rights and no tap.`

func main() { program.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := setup.New("pair", "", about, out)
	size := program.Number(100_000_000)
	flags.Var(&size, "size", "`bytes` to send, as 64Ki or 100M")
	text := flags.Bool("text", false, "print all packets")
	flags.Examples("", "-loss 0.01 -reorder 0.01 -delay 5ms -size 10M", "-size 3000 -text")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var sinks []link.Sink
	if *text {
		sinks = append(sinks, link.Text(flags.Out))
	}
	pair, err := flags.Pair(sinks...)
	if err != nil {
		return err
	}
	flags.Say("%v is to send %d bytes to %v", setup.AddrA.Addr(), size, setup.AddrB.Addr())
	t := transfer{from: pair.A, to: pair.B, size: int64(size), pattern: pattern.New()}
	if isTerminal(out) && !*text && !flags.Quiet {
		t.progress = flags.Out
	}
	result, err := t.run(ctx)
	if err == nil {
		fmt.Fprint(flags.Out, result)
	}
	return errors.Join(err, pair.Close())
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// progressTime is how often there is news.
const progressTime = 100 * time.Millisecond
