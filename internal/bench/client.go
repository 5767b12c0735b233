//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-012105e5/gonet/tcp"
)

// The clients run in a process of their own, as those of a server do: this
// program again, with arguments that runClient gives it.

// runClient runs a client of p in its namespace, and returns the figure that
// it prints.
func runClient(p path, kind, port string, streams int, flags ...string) (float64, error) {
	args := append([]string{"-seconds", fmt.Sprint(*seconds)}, flags...)
	args = append(args, "client", kind, net.JoinHostPort(p.addr, port), strconv.Itoa(streams))
	cmd := exec.Command("/proc/self/exe", args...)
	out, err := p.client.Output(cmd)
	if err != nil {
		return 0, fmt.Errorf("client %s: %w: %s", kind, err, out)
	}
	return strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
}

// client is the main of such a process.
func client(kind, addr, streams string) error {
	n, err := strconv.Atoi(streams)
	if err != nil {
		return err
	}
	if *cpu >= 0 {
		if err := pin(*cpu); err != nil {
			return err
		}
	}
	var v float64
	switch kind {
	case "send":
		err = transfer(addr, n, send, func() float64 { time.Sleep(transferTime() * 6 / 5); return 0 })
	case "receive":
		var m meter
		err = transfer(addr, n, m.receive, func() float64 { v = m.measure(); return v })
	case "echo50":
		v, err = echoTimes(addr, 0.5)
	case "echo99":
		v, err = echoTimes(addr, 0.99)
	case "connect":
		v, err = connectTimes(addr)
	default:
		err = fmt.Errorf("no client %q", kind)
	}
	if err == nil {
		fmt.Println(v)
	}
	return err
}

// chunk is the size of reads and writes of bulk transfers.
const chunk = 256 << 10

func transferTime() time.Duration { return time.Duration(*seconds * float64(time.Second)) }

// A meter counts what receivers read.
type meter struct{ bytes atomic.Int64 }

func (m *meter) receive(c net.Conn) {
	buf := make([]byte, chunk)
	for {
		n, err := c.Read(buf)
		m.bytes.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// discard counts what arrives without reading it into a buffer of its own, where
// the connection offers that: GoNet's gives the packets' memory, and the
// kernel's, which has no such way, is read.
func (m *meter) discard(c net.Conn) {
	if w, ok := c.(*tcp.Conn); ok {
		w.WriteTo(m)
		return
	}
	m.receive(c)
}

// Write counts p.
func (m *meter) Write(p []byte) (int, error) {
	m.bytes.Add(int64(len(p)))
	return len(p), nil
}

// measure gives the windows some time to open, and then counts, in Gbit/s.
func (m *meter) measure() float64 {
	for m.bytes.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(transferTime() / 5)
	before, start := m.bytes.Load(), time.Now()
	time.Sleep(transferTime() * 4 / 5)
	return float64(m.bytes.Load()-before) * 8 / time.Since(start).Seconds() / 1e9
}

func send(c net.Conn) {
	buf := make([]byte, chunk)
	for {
		if _, err := c.Write(buf); err != nil {
			return
		}
	}
}

// transfer opens connections, has handle use them, and closes them when wait
// returns.
func transfer(addr string, streams int, handle func(net.Conn), wait func() float64) error {
	var conns []net.Conn
	var all sync.WaitGroup
	for range streams {
		c, err := net.DialTimeout("tcp", addr, 5*time.Second)
		if err != nil {
			return err
		}
		conns = append(conns, c)
		all.Go(func() { handle(c) })
	}
	wait()
	for _, c := range conns {
		c.Close()
	}
	all.Wait()
	return nil
}

// echoTimes is a quantile of the round trips of one byte, in microseconds.
func echoTimes(addr string, quantile float64) (float64, error) {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	var times []time.Duration
	var buf [1]byte
	for end := time.Now().Add(transferTime()); time.Now().Before(end); {
		start := time.Now()
		if _, err := c.Write(buf[:]); err != nil {
			return 0, err
		}
		if _, err := io.ReadFull(c, buf[:]); err != nil {
			return 0, err
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	return float64(times[int(quantile*float64(len(times)-1))].Nanoseconds()) / 1e3, nil
}

// connectTimes is how many connections a second are made, used for a byte each
// way, and closed.
func connectTimes(addr string) (float64, error) {
	n, start := 0, time.Now()
	for time.Since(start) < transferTime() {
		c, err := net.DialTimeout("tcp", addr, 5*time.Second)
		if err != nil {
			return 0, err
		}
		var buf [1]byte
		_, err = c.Write(buf[:])
		if err == nil {
			_, err = io.ReadFull(c, buf[:])
		}
		c.Close()
		if err != nil {
			return 0, err
		}
		n++
	}
	return float64(n) / time.Since(start).Seconds(), nil
}
