package tap

import (
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An osFile is a file of a tap behind the runtime's poller.
type osFile struct {
	*os.File
	raw syscall.RawConn

	busy time.Duration // how long a Read polls before it sleeps
	poll busyPoll

	in, out attempt
}

// An attempt is a system call that does not wait, and how it went.
type attempt struct {
	call  func(fd uintptr) bool // for RawConn
	frame []byte
	n     int
	err   error
}

// frameFiles returns the files of d as a card uses them.
func (d *device) frameFiles(busy time.Duration) (files []*osFile, err error) {
	for _, f := range d.files {
		o, err := newOSFile(f, busy)
		if err != nil {
			return nil, err
		}
		files = append(files, o)
	}
	return files, nil
}

func newOSFile(f *os.File, busy time.Duration) (*osFile, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	o := &osFile{File: f, raw: raw, busy: busy}
	o.in.is(readAtOnce)
	o.out.is(unix.Write)
	return o, nil
}

func (a *attempt) is(syscall func(fd int, p []byte) (int, error)) {
	a.call = func(fd uintptr) bool {
		for {
			if a.n, a.err = syscall(int(fd), a.frame); a.err != unix.EINTR {
				return true // not false, which means: wait until the file is ready
			}
		}
	}
}

// do makes the call outside of the runtime's poller.
func (a *attempt) do(fd uintptr, frame []byte) (int, error) {
	a.frame = frame
	a.call(fd)
	return a.n, a.err
}

func (o *osFile) writeFrame(p []byte) error {
	o.out.frame = p
	if err := o.raw.Write(o.out.call); err != nil {
		return err
	}
	return o.out.err
}

// attach makes this file one of those by which the kernel sends frames, or takes
// it from them; frames that have come by it stay, and it can always be written to.
func (o *osFile) attach(on bool) error {
	return control(o.File, func(fd int) error { return attachQueue(fd, on) })
}

// Read waits for a frame.
func (o *osFile) Read(p []byte) (int, error) {
	if o.busy > 0 && o.poll.due() {
		n, err := o.tryRead(p)
		if err != unix.EAGAIN {
			return n, err
		}
		start := time.Now()
		n, err = o.readBusily(p, start)
		paid := err == nil && time.Since(start) < o.busy // or the CPU was others' in between
		if o.poll.done(paid); err != unix.EAGAIN {
			return n, err
		}
	}
	return o.File.Read(p)
}

// tryRead is Read with the error EAGAIN in place of waiting.
func (o *osFile) tryRead(p []byte) (int, error) {
	o.in.frame = p
	if err := o.raw.Read(o.in.call); err != nil {
		return 0, err
	}
	return o.in.n, o.in.err
}

// readAtOnce is read(2) of a file that has something to read or says that it has
// not. The runtime is not told of it, as it need not find others to run in the
// meantime: that costs a tenth to a sixth of what a stream of plain frames does.
func readAtOnce(fd int, p []byte) (int, error) {
	n, _, err := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if err != 0 {
		return 0, err
	}
	return int(n), nil
}

// readBusily tries for a while from start, and lets other goroutines run in between.
func (o *osFile) readBusily(p []byte, start time.Time) (n int, err error) {
	for {
		runtime.Gosched()
		if n, err = o.tryRead(p); err != unix.EAGAIN || time.Since(start) >= o.busy {
			return n, err
		}
	}
}
