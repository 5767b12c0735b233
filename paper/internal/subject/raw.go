package subject

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/paper/internal/agent"
)

// The works of package service that is done without sockets; their names are the same.
const (
	Sink    = "sink"
	Discard = "discard"
	Source  = "source"
	Echo    = "echo"
	UDPEcho = "udp echo"
)

// fakeOptions says what a fake host does with a tap.
type fakeOptions struct {
	offload bool // trains and partial checksums
	copies  bool // each payload, once, to a user's buffer
}

// raw is a tap without a stack: one goroutine that reads frames, and answers
// with just as much of ARP, UDP and TCP as keeps the kernel talking. No stack
// behind the same device can be faster.
func raw(key, name string, o fakeOptions) Subject {
	works := []string{Sink, Source, Echo, UDPEcho, ReadCost, WriteCost}
	if o.copies {
		works = []string{Sink}
	}
	return Subject{Key: key, Name: name, Cable: Tap, Works: works,
		Serve: func(cfg Config, work string, c *agent.Counters) (io.Closer, error) {
			fd, err := openTap(cfg, o.offload)
			if err != nil {
				return nil, err
			}
			f, err := newFake(os.NewFile(uintptr(fd), "tap"), o, cfg.Addr.Addr(), work, c)
			if err != nil {
				unix.Close(fd)
				return nil, err
			}
			switch work {
			case ReadCost:
				go f.readFrames()
			case WriteCost:
				go f.writeFrames()
			default:
				go f.run()
			}
			return f.file, nil
		}}
}

// A fake is a host that has one goroutine and no sockets. It does not mind what
// is lost on the way to it; what is lost on the way from it, it sends again from
// where the peer has stopped.
type fake struct {
	fakeOptions
	addr     netip.Addr
	work     string
	counters *agent.Counters

	file *os.File
	conn syscall.RawConn
	wait bool  // try waits for a frame
	got  int   // bytes that try has read
	err  error // that try has met
	try  func(fd uintptr) bool

	vnet int    // length of the virtio-net header, or 0
	in   []byte // the frame that was read
	out  []byte // a segment to be sent; behind its headers are zeros, unless somebody has written there
	sent []byte // that put sends
	put  func(fd uintptr) bool

	writeErr error  // of a file that was closed
	user     []byte // where payload is copied to
	taken    int    // bytes of user in use

	flows   map[uint16]*fakeFlow // by the peer's port
	pending []*fakeFlow          // to be acknowledged
}

func newFake(file *os.File, o fakeOptions, addr netip.Addr, work string, c *agent.Counters) (*fake, error) {
	conn, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	f := &fake{
		fakeOptions: o, addr: addr, work: work, counters: c, file: file, conn: conn,
		in: make([]byte, 70<<10), out: make([]byte, vnetLen+headersLen+trainLen), user: make([]byte, 256<<10),
		flows: make(map[uint16]*fakeFlow),
	}
	if o.offload {
		f.vnet = vnetLen
	}
	f.try = func(fd uintptr) bool {
		f.got, f.err = unix.Read(int(fd), f.in)
		return f.err != unix.EAGAIN || !f.wait
	}
	f.put = func(fd uintptr) bool {
		unix.Write(int(fd), f.sent)
		return true
	}
	return f, nil
}

// framesAtOnce is how many frames are read before they are acknowledged.
const framesAtOnce = 16

// stall is how long a peer may be silent before everything is sent again.
const stall = 200 * time.Millisecond

// run works until the file is closed.
func (f *fake) run() {
	for {
		if f.work == Source {
			f.file.SetReadDeadline(time.Now().Add(stall)) // fails when the file is closed, and so does the read
		}
		err := f.read(true)
		for n := 1; err == nil && n < framesAtOnce; n++ {
			err = f.read(false)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			f.resend()
		} else if err != nil && err != unix.EAGAIN {
			return
		}
		f.acknowledge()
		if f.work == Source {
			f.send()
		}
	}
}

// read reads a frame, and answers it.
func (f *fake) read(wait bool) error {
	f.wait = wait
	if err := f.conn.Read(f.try); err != nil {
		return err
	}
	if f.err != nil {
		return f.err
	}
	f.receive(f.in[:f.got])
	return nil
}

// write sends a frame. What the device does not take is lost.
func (f *fake) write(b []byte) {
	f.sent = b
	f.writeErr = f.conn.Write(f.put)
}
