//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// A work is something to be measured on a path.
type work struct {
	name, unit string
	run        func(path) (float64, error)
	once       bool // whatever -rounds says
}

var works = []work{
	// First, because a program that has had many goroutines keeps some of them.
	{name: "idle connections", unit: "bytes each", run: idleMemory, once: true},
	{name: "bulk to the server, Read, 1 stream", unit: "Gbit/s", run: bulkTo(1, (*meter).receive)},
	{name: "bulk to the server, Read, 8 streams", unit: "Gbit/s", run: bulkTo(8, (*meter).receive)},
	{name: "bulk to the server, WriteTo, 1 stream", unit: "Gbit/s", run: bulkTo(1, (*meter).discard)},
	{name: "bulk to the server, WriteTo, 8 streams", unit: "Gbit/s", run: bulkTo(8, (*meter).discard)},
	{name: "bulk from the server, 1 stream", unit: "Gbit/s", run: bulkFrom(1)},
	{name: "bulk from the server, 8 streams", unit: "Gbit/s", run: bulkFrom(8)},
	{name: "1 byte there and back, client and server on one CPU, p50", unit: "us", run: echo("echo50", 0)},
	{name: "1 byte there and back, client and server on one CPU, p99", unit: "us", run: echo("echo99", 0)},
	{name: "1 byte there and back, a CPU each, p50", unit: "us", run: echo("echo50", 1)},
	{name: "1 byte there and back, a CPU each, p99", unit: "us", run: echo("echo99", 1)},
	{name: "connect, request, close", unit: "per second", run: connects},
	{name: "HTTP 1 KB by wrk, 32 connections", unit: "requests/s", run: wrk(32)},
}

// serve listens, and gives each connection to handle.
func serve(p path, port string, handle func(net.Conn)) (net.Listener, error) {
	l, err := p.listen(net.JoinHostPort(p.addr, port))
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				handle(c)
			}()
		}
	}()
	return l, nil
}

// bulkTo measures the bytes that the server has taken by handle.
func bulkTo(streams int, handle func(*meter, net.Conn)) func(path) (float64, error) {
	return func(p path) (float64, error) {
		var m meter
		l, err := serve(p, "9", func(c net.Conn) { handle(&m, c) })
		if err != nil {
			return 0, err
		}
		defer l.Close()
		rate := make(chan float64, 1)
		go func() { rate <- m.measure() }()
		if _, err := runClient(p, "send", "9", streams); err != nil {
			return 0, err
		}
		return <-rate, nil
	}
}

// bulkFrom measures the bytes that the client has read.
func bulkFrom(streams int) func(path) (float64, error) {
	return func(p path) (float64, error) {
		l, err := serve(p, "19", send)
		if err != nil {
			return 0, err
		}
		defer l.Close()
		return runClient(p, "receive", "19", streams)
	}
}

// connects measures connections that are made, used for a byte each way, and
// closed.
func connects(p path) (float64, error) {
	l, err := serve(p, "7", func(c net.Conn) { io.Copy(c, c) })
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return runClient(p, "connect", "7", 1)
}

// echo measures a quantile of the time that one byte takes there and back. The
// server's process is on CPU 0, and the client's is where it is told: left to
// themselves they are now on one and now on two, and waking the other CPU takes
// longer than all the rest.
func echo(client string, cpu int) func(path) (float64, error) {
	return func(p path) (float64, error) {
		if err := pin(0); err != nil {
			return 0, err
		}
		defer pin(allCPUs...)
		l, err := serve(p, "7", func(c net.Conn) {
			var buf [1]byte
			for {
				if _, err := c.Read(buf[:]); err != nil {
					return
				}
				if _, err := c.Write(buf[:]); err != nil {
					return
				}
			}
		})
		if err != nil {
			return 0, err
		}
		defer l.Close()
		return runClient(p, client, "7", 1, "-cpu", strconv.Itoa(cpu))
	}
}

var wrkRate = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)

// wrk measures an HTTP server of net/http with wrk, a client that nobody here
// has written.
func wrk(connections int) func(path) (float64, error) {
	return func(p path) (float64, error) {
		l, err := p.listen(net.JoinHostPort(p.addr, "80"))
		if err != nil {
			return 0, err
		}
		body := make([]byte, 1024)
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(body) })}
		go server.Serve(l)
		defer server.Close()
		cmd := exec.Command("wrk", "-t1", fmt.Sprintf("-c%d", connections),
			fmt.Sprintf("-d%.0f", max(1, *seconds)), "http://"+p.addr+"/")
		out, err := p.client.Output(cmd)
		if err != nil {
			return 0, fmt.Errorf("wrk: %w\n%s", err, out)
		}
		m := wrkRate.FindSubmatch(out)
		if m == nil {
			return 0, fmt.Errorf("wrk says:\n%s", out)
		}
		return strconv.ParseFloat(string(m[1]), 64)
	}
}

// idleMemory measures the memory of a server's connection that waits in Read:
// all goroutines and channels of it. The clients are bare sockets of the
// kernel, which take no memory of this program.
func idleMemory(p path) (float64, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	n := *idle
	if p.stats == nil { // both ends are files of this process
		n = min(n, (int(limit.Cur)-100)/2)
	}
	var open atomic.Int64
	before := memory()
	l, err := serve(p, "9", func(c net.Conn) {
		open.Add(1)
		var buf [1]byte
		c.Read(buf[:])
	})
	if err != nil {
		return 0, err
	}
	defer l.Close()
	clients, err := rawClients(p, 9, n)
	defer func() {
		for _, fd := range clients {
			syscall.Close(fd)
		}
	}()
	if err != nil {
		return 0, err
	}
	for range 2000 {
		if open.Load() == int64(n) {
			return (memory() - before) / float64(n), nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return 0, fmt.Errorf("%d of %d connections were accepted", open.Load(), n)
}

// memory is what the Go runtime holds for heap and stacks, in bytes.
func memory() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse)
}

func rawClients(p path, port, n int) (fds []int, err error) {
	to := &syscall.SockaddrInet4{Port: port, Addr: [4]byte{10, 0, 0, 2}}
	err = p.client.Do(func() error {
		for range n {
			fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			fds = append(fds, fd)
			for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
				err = syscall.Connect(fd, to)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return fds, err
}
