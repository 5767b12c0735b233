package load

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/paper/internal/agent"
)

// A holder has bare sockets of the kernel, which take as little of this process
// as can be. It opens them in its first phase, and makes requests on some of
// them, at random, in its second.
type holder struct {
	*load
	to  unix.SockaddrInet4
	fds []int
}

func newHolder(l *load) (agent.Worker, error) {
	h := &holder{load: l, to: unix.SockaddrInet4{Port: agent.PortEcho, Addr: l.task.Server.Addr().As4()}}
	h.fds = make([]int, l.task.Streams)
	if err := agent.RaiseLimit(l.task.Streams); err != nil {
		return agent.Worker{}, err
	}
	return agent.Worker{
		Counters: l.counters,
		Phases:   []func() error{h.open, func() error { go h.requests(); return nil }},
		Close:    h.close,
	}, nil
}

// openers is how many connections are made at a time.
const openers = 16

// open opens all connections, from one source address after the other.
func (h *holder) open() error {
	var all sync.WaitGroup
	var next atomic.Int64
	errs := make(chan error, openers)
	for range openers {
		all.Go(func() {
			for len(errs) == 0 {
				i := int(next.Add(1)) - 1
				if i >= len(h.fds) {
					return
				}
				fd, err := h.connect(i)
				if err != nil {
					errs <- fmt.Errorf("connection %d: %w", i+1, err)
					return
				}
				h.fds[i] = fd
				h.counters.Open.Add(1)
			}
		})
	}
	all.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// connect makes connection i.
func (h *holder) connect(i int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	limit := unix.NsecToTimeval(int64(dialTime)) // of connects, too
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &limit); err != nil {
			return fd, os.NewSyscallError("SO_RCVTIMEO", err)
		}
	}
	// The port is chosen by connect, which looks at both addresses, so that
	// each source address has all ports.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return fd, os.NewSyscallError("IP_BIND_ADDRESS_NO_PORT", err)
	}
	source := h.task.Sources[i%len(h.task.Sources)]
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: source.As4()}); err != nil {
		return fd, os.NewSyscallError("bind", err)
	}
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Connect(fd, &h.to)
	}
	if err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("connect", err)
	}
	return fd, nil
}

// requests makes one request after the other, each on a connection of its own
// choosing, until the sockets are closed.
func (h *holder) requests() {
	buf := []byte{1}
	for {
		fd := h.fds[rand.IntN(len(h.fds))]
		start := time.Now()
		if err := exchange(fd, buf); err != nil {
			h.counters.Lost.Add(1)
			return
		}
		h.counters.Latency.Record(time.Since(start))
		h.counters.Requests.Add(1)
	}
}

// exchange sends a byte, and waits until one comes back. The signals of the Go
// runtime interrupt calls that have a time limit.
func exchange(fd int, buf []byte) error {
	for _, call := range []func(int, []byte) (int, error){unix.Write, unix.Read} {
		n, err := call(fd, buf)
		for err == unix.EINTR {
			n, err = call(fd, buf)
		}
		if err != nil {
			return err
		}
		if n != 1 {
			return io.ErrUnexpectedEOF
		}
	}
	return nil
}

// close closes all connections.
func (h *holder) close() error {
	for _, fd := range h.fds {
		unix.Close(fd)
		h.counters.Open.Add(-1)
	}
	return nil
}
