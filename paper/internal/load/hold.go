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
// as can be. It opens them in its first phase, makes requests on some of them, at
// random and one at a time, in its second, and one on each in its third.
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
		Phases:   []func() error{h.open, h.some, h.each},
		Close:    h.close,
	}, nil
}

// atATime is how many connections are made or closed at a time.
const atATime = 16

// open opens all connections, from one source address after the other.
func (h *holder) open() error {
	return h.all(func(i int) (err error) {
		if h.fds[i], err = h.connect(i); err == nil {
			h.counters.Open.Add(1)
		}
		return err
	})
}

// all calls do for each connection, until there is an error.
func (h *holder) all(do func(i int) error) error {
	var group sync.WaitGroup
	var next atomic.Int64
	errs := make(chan error, atATime)
	for range atATime {
		group.Go(func() {
			for len(errs) == 0 {
				i := int(next.Add(1)) - 1
				if i >= len(h.fds) {
					return
				}
				if err := do(i); err != nil {
					errs <- fmt.Errorf("connection %d: %w", i+1, err)
				}
			}
		})
	}
	group.Wait()
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

// some makes one request after the other, each on a connection chosen at random,
// for as long as the task says.
func (h *holder) some() error {
	buf := []byte{1}
	for begin := time.Now(); time.Since(begin) < h.task.PhaseTime; {
		fd := h.fds[rand.IntN(len(h.fds))]
		start := time.Now()
		if err := exchange(fd, buf); err != nil {
			return err
		}
		h.counters.Latency.Record(time.Since(start))
	}
	return nil
}

// each makes a request on each connection.
func (h *holder) each() error {
	return h.all(func(i int) error {
		err := exchange(h.fds[i], []byte{1})
		if err == nil {
			h.counters.Requests.Add(1)
		}
		return err
	})
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

// close closes all connections. It waits for the peer's FIN on each: 1000 FINs
// at once are more than a tap's queue holds.
func (h *holder) close() error {
	return h.all(func(i int) error {
		fd := h.fds[i]
		if err := unix.Shutdown(fd, unix.SHUT_WR); err != nil {
			return os.NewSyscallError("shutdown", err)
		}
		var buf [16]byte // of answers that nobody has waited for
		for n, err := 1, error(nil); n > 0 || err == unix.EINTR; {
			if n, err = unix.Read(fd, buf[:]); err != nil && err != unix.EINTR {
				return os.NewSyscallError("read", err)
			}
		}
		h.counters.Open.Add(-1)
		return unix.Close(fd)
	})
}
