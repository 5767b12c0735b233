//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seed-012105e5/gonet/link"
)

// A path is where data comes from and where it goes.
type path struct {
	name     string
	from, to maker
}

// paths has the one first with which the others are compared.
var paths = []path{
	{"kernel to kernel", newKernel, newKernel},
	{"ours to kernel", newStack, newKernel},
	{"kernel to ours", newKernel, newStack},
}

func (p path) String() string { return p.name }

// A sample is what one run has given.
type sample struct {
	Seed     uint64
	Mbits    float64  // goodput: what the receiver's program has read, in Mbit/s
	Sender   counters // of its TCP
	Receiver counters
	Overflow uint64 // frames that the queue of the wire has dropped, both ways
	Lost     uint64 // and the wire itself
}

// port is where the receiver listens.
const port = 5001

// transfer makes two hosts and a wire, and sends for some time.
func (p path) transfer(c cell, s *settings, seed uint64) (sample, error) {
	from, err := p.from(s, 1)
	if err != nil {
		return sample{}, err
	}
	to, err := p.to(s, 2)
	if err != nil {
		return sample{}, err
	}
	card, closeCapture, err := capture(from.cable, s.captures, fmt.Sprintf("%v, %v, seed %d.pcap", c, p, seed))
	if err != nil {
		return sample{}, err
	}
	w := newWire(stamp(card), to.cable, c.impairment(s, seed))
	result := sample{Seed: seed}
	result.Mbits, err = send(from, to, c.duration(s))
	if err == nil {
		result.Sender, err = from.counters()
	}
	if err == nil {
		result.Receiver, err = to.counters()
	}
	result.Overflow, result.Lost = from.cable.Stats.DropQueueFull.Load(), from.cable.Stats.DropImpaired.Load()
	w.pullOut()
	from.close()
	to.close()
	closeCapture()
	return result, err
}

// capture is l with all that passes written to a file of that directory.
func capture(l link.Link, dir, name string) (link.Link, func(), error) {
	if dir == "" {
		return l, func() {}, nil
	}
	f, err := os.Create(filepath.Join(dir, strings.ReplaceAll(strings.ReplaceAll(name, " ", "-"), ",", "")))
	if err != nil {
		return l, nil, err
	}
	flushed := make(chan struct{})
	l = link.Tee(l, nil, flusher{link.Pcap(f), flushed})
	return l, func() { <-flushed; f.Close() }, nil
}

// A flusher tells when it has been flushed.
type flusher struct {
	link.Sink
	flushed chan struct{}
}

func (f flusher) Flush() error {
	defer close(f.flushed)
	return f.Sink.Flush()
}

// dialTime is how long the handshake may take: some SYNs may be lost.
const dialTime = 30 * time.Second

// send sends over a connection between two hosts, and returns how many Mbit/s
// have been read, from the first byte on.
func send(from, to *host, duration time.Duration) (float64, error) {
	l, err := to.listen(port)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	var read atomic.Int64
	began := make(chan struct{})
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		buf := make([]byte, chunk)
		n, err := c.Read(buf)
		for close(began); err == nil; n, err = c.Read(buf) {
			read.Add(int64(n))
		}
		c.Close()
	}()
	ctx, cancel := context.WithTimeout(context.Background(), dialTime)
	defer cancel()
	c, err := from.dial(ctx, netip.AddrPortFrom(to.addr, port))
	if err != nil {
		return 0, err
	}
	defer abort(c)
	go func() {
		for buf := make([]byte, chunk); err == nil; _, err = c.Write(buf) {
		}
	}()
	select {
	case <-began:
	case <-ctx.Done():
		return 0, fmt.Errorf("no byte in %v", dialTime)
	}
	time.Sleep(duration)
	return float64(read.Load()) * 8 / duration.Seconds() / 1e6, nil
}

// chunk is the size of reads and writes.
const chunk = 256 << 10

// abort ends a connection, whatever it has not yet sent.
func abort(c net.Conn) {
	c.(interface{ SetLinger(seconds int) error }).SetLinger(0)
	c.Close()
}
