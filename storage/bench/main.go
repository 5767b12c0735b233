// Command bench compares servers on loopback.
//
//	go run ./storage/bench [-size 2048] [-rounds 3] [-seconds 2] [-only REGEXP]
//	sudo go run ./storage/bench -iscsi
//	sudo go run ./storage/bench -network [-iscsi]
//
// NBD: ours with memory, a file, and nothing behind it, beside nbdkit's memory plugin,
// go-nbd's memory, and qemu-nbd with a file; used by nbdcopy and fio. With -iscsi: ours
// with a file, memory and nothing, beside tgt with a file; used by iscsi-perf and
// qemu-img. It needs those programs, and prints for each server and cell the throughput,
// its ratio to that of nbdkit or tgt in the same round (the median of all rounds), and
// the CPU seconds that the server and the client took for a gigabyte.
//
// With -network it compares over a network, in namespaces of its own: nbdkit or tgt, and
// our server, on the kernel's sockets over a veth, beside our server on a stack of ours
// behind a tap.
//
// Only ratios within one run mean something. The server that answers from nothing
// ("null") shows what the clients themselves can do.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/storage/iscsi"
	"github.com/seed-012105e5/gonet/storage/nbd"
)

func main() {
	log.SetFlags(0)
	serve := flag.String("serve", "", "be the server of this `kind` on -listen (for the program itself)")
	listen := flag.String("listen", "", "`address` for -serve")
	path := flag.String("file", "", "`file` for -serve file")
	size := flag.Int64("size", 2048, "of the exports and copies, in `MiB`")
	rounds := flag.Int("rounds", 3, "`number` of rounds, of which the median counts")
	seconds := flag.Int("seconds", 2, "of each run of fio")
	only := flag.String("only", "", "run the cells that match the `expression`")
	servers := flag.String("servers", "", "run the servers that match the `expression`, and nbdkit or tgt")
	dir := flag.String("dir", os.TempDir(), "`directory` for files")
	network := flag.Bool("network", false, "compare over a veth and a tap in place of loopback (needs root)")
	card := flag.String("tap", "", "make this `tap`, and serve on a stack behind it (for the program itself)")
	profile := flag.String("profile", "", "write CPU profiles of our servers to `file`.KIND")
	overISCSI := flag.Bool("iscsi", false, "compare iSCSI targets in place of NBD servers (tgt needs root)")
	overVhost := flag.Bool("vhost", false, "compare back ends of vhost-user-blk in place of NBD servers, with qemu-storage-daemon")
	markdown := flag.Bool("markdown", false, "print the table as documents have it")
	flag.Parse()
	if kind, ok := strings.CutPrefix(*serve, "vhost-"); ok {
		if err := serveVhost(kind, *listen, *path, *profile, *size<<20); err != nil {
			log.Fatal(err)
		}
		return
	}
	if *serve != "" {
		if err := serveKind(*serve, *listen, *card, *path, *profile, *size<<20, *overISCSI); !errors.Is(err, nbd.ErrServerClosed) && !errors.Is(err, iscsi.ErrServerClosed) {
			log.Fatal(err)
		}
		return
	}
	b := &bench{iscsi: *overISCSI, markdown: *markdown, size: *size << 20, seconds: *seconds, profile: *profile, only: regexp.MustCompile(*only), servers: regexp.MustCompile(*servers), near: (*exec.Cmd).Start}
	run := func() error { return b.run(*dir, *rounds, *network) }
	if *overVhost {
		run = func() error { return b.runVhost(*dir, *rounds) }
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

// A bench is one comparison.
type bench struct {
	iscsi     bool
	markdown  bool
	protocol  protocol
	reference string // the server that all are compared with
	size      int64
	seconds   int
	profile   string
	only      *regexp.Regexp
	servers   *regexp.Regexp
	dir       string                // of its own
	source    string                // of copies
	near      func(*exec.Cmd) error // starts clients
	spent     time.Duration         // processor time of clients
}

// A result is one run of a cell.
type result struct {
	speed  float64 // MB/s or thousand requests a second
	cpu    float64 // seconds of the server for a GB
	client float64 // of the client
}

func (b *bench) run(dir string, rounds int, network bool) error {
	dir, err := os.MkdirTemp(dir, "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b.dir = dir
	b.protocol = b.nbd()
	if b.iscsi {
		b.protocol = b.overISCSI()
	}
	kinds := b.protocol.servers()
	b.reference = kinds[0].name
	if network {
		var end func()
		if kinds, end, err = b.network(); err != nil {
			return err
		}
		defer end()
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	if b.source, err = writeSource(dir, b.size); err != nil {
		return err
	}
	var running []*process
	defer func() {
		for _, p := range running {
			p.stop()
		}
	}()
	for _, k := range kinds {
		if k.name != b.reference && !b.servers.MatchString(k.name) {
			continue
		}
		p, err := b.start(k)
		if err != nil {
			log.Printf("%s is left out: %v", k.name, err)
			continue
		}
		running = append(running, p)
		// Memory that is touched for the first time costs, and holes are read for
		// nothing: neither is of the servers.
		fill := b.protocol.fill(p.uri)
		if err := b.command(fill[0], fill[1:]...); err != nil {
			return err
		}
	}
	var names []string
	for _, p := range running {
		names = append(names, p.name)
	}
	t := newTable(os.Stdout, b.markdown, b.reference, names)
	for _, c := range b.protocol.cells() {
		if !b.only.MatchString(c.name) {
			continue
		}
		results := map[string][]result{}
		for range rounds {
			for _, p := range running {
				select {
				case <-interrupted:
					return nil
				default:
				}
				r, err := b.measure(c, p)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", c.name, p.name, err)
				}
				results[p.name] = append(results[p.name], r)
			}
		}
		t.add(c, results)
	}
	return nil
}

// measure runs one cell against one server.
func (b *bench) measure(c cell, p *process) (result, error) {
	before := p.cpu()
	b.spent = 0
	start := time.Now()
	bytes, speed, err := c.run(p.uri)
	took := time.Since(start).Seconds()
	if err != nil {
		return result{}, err
	}
	gigabytes := float64(bytes) / 1e9
	if speed == 0 {
		speed = float64(bytes) / 1e6 / took
	}
	return result{speed, (p.cpu() - before) / gigabytes, b.spent.Seconds() / gigabytes}, nil
}

// freeAddress is a port of loopback that nobody listens at.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// writeSource makes a file without holes or zero blocks.
func writeSource(dir string, size int64) (string, error) {
	f, err := os.Create(dir + "/source")
	if err != nil {
		return "", err
	}
	defer f.Close()
	p := []byte(strings.Repeat("not zero", 128<<10))
	for n := int64(0); n < size; n += int64(len(p)) {
		if _, err := f.Write(p); err != nil {
			return "", err
		}
	}
	return f.Name(), nil
}
