package e2e

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/tcp"
)

// TestSYNFlood has a hundred honest clients connect, again and again, while
// SYNs from addresses that never answer come at a hundred thousand a second
// (RFC 4987). All must be served at once, each time: before a SYN of theirs
// would be sent again, after a second. The memory of the process stays as it
// was when the flood had filled what there is to fill.
//
// When other programs had the CPU meanwhile, the kernel has dropped what this
// process did not come to read, clients' SYNs too, and that says nothing of the
// stack: a slower flood follows.
func TestSYNFlood(t *testing.T) {
	if testing.Short() {
		t.Skip("a flood, in real time")
	}
	duration := 3 * time.Second
	if long() {
		duration = 10 * time.Second
	}
	f := flood(t, 100_000, duration)
	for rate := f.rate / 2; f.starved() && rate > 10_000; rate /= 2 {
		t.Logf("this process had to wait for the CPU: %v\n%q", f, f.faults())
		f = flood(t, rate, duration)
	}
	t.Run("RFC4987", func(t *testing.T) {
		t.Log(f)
		for _, fault := range f.faults() {
			t.Error(fault)
		}
	})
}

// A flooding is what a flood has done.
type flooding struct {
	rate         int // SYNs a second
	duration     time.Duration
	sent         int64
	slowest      []time.Duration // client of each round
	before, most memory
	waited       time.Duration // for the CPU
	stats        gonet.Stats
}

const honest = 100 // clients in a round

// flood floods a stack, and has honest clients connect meanwhile.
func flood(t *testing.T, rate int, duration time.Duration) *flooding {
	goFirst(t)
	h := newHost(t, cable{limit: 1e6, route: true})
	h.listen(t, ":80", func(c *tcp.Conn) { io.Copy(c, c) })
	connectAll(t, h, honest) // teaches ARP, and touches the memory that clients take

	f := &flooding{rate: rate, duration: duration}
	waited, end := waitedForCPU(t), time.Now().Add(duration)
	var sender sync.WaitGroup
	sender.Go(func() {
		var err error
		if f.sent, err = sendSYNs(h, 80, rate, end); err != nil {
			t.Errorf("flood: %v", err)
		}
	})
	time.Sleep(duration / 3)
	f.before = memoryInUse(t)
	for time.Now().Before(end) {
		f.slowest = append(f.slowest, connectAll(t, h, honest))
		f.most = f.most.max(memoryInUse(t))
		time.Sleep(100 * time.Millisecond)
	}
	sender.Wait()
	f.waited = waitedForCPU(t) - waited
	f.stats = h.Stats()
	return f
}

// faults is what ought not to be.
func (f *flooding) faults() (all []string) {
	if f.sent < int64(float64(f.rate)*f.duration.Seconds()*0.9) {
		all = append(all, fmt.Sprintf("the flood was of %d SYNs only", f.sent))
	}
	const atOnce = 950 * time.Millisecond // before a SYN is sent again
	if d := slices.Max(f.slowest); d > atOnce {
		all = append(all, fmt.Sprintf("a client had to wait for %v", d))
	}
	const some = 16 << 20
	if f.most.heap > f.before.heap+some || f.most.resident > f.before.resident+some {
		all = append(all, fmt.Sprintf("memory has grown from %v to %v", f.before, f.most))
	}
	return all
}

// starved says whether there are faults for which another program may be to
// blame.
func (f *flooding) starved() bool {
	return f.waited > f.duration/4 && len(f.faults()) > 0
}

func (f *flooding) String() string {
	return fmt.Sprintf("%d SYNs in %v; %d rounds of %d clients, the slowest of each: %v\nmemory: %v; at most %v\nwaited for the CPU for %v\n%v",
		f.sent, f.duration, len(f.slowest), honest, f.slowest, f.before, f.most, f.waited, f.stats)
}

// waitedForCPU is how long the threads of this process were ready and did not
// run, all in all.
func waitedForCPU(t *testing.T) (sum time.Duration) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/schedstat")
	must(t, err)
	for _, name := range files {
		var ran, waited time.Duration
		if text, err := os.ReadFile(name); err == nil {
			fmt.Sscan(string(text), &ran, &waited)
			sum += waited
		}
	}
	return sum
}

// connectAll has n sockets of the kernel's connect at once, and ask for a byte.
// It returns how long the slowest took.
func connectAll(t *testing.T, h *host, n int) time.Duration {
	t.Helper()
	var all sync.WaitGroup
	took := make([]time.Duration, n)
	for i := range took {
		all.Go(func() {
			start := time.Now()
			if err := oneRequest(t.Context(), h); err != nil {
				t.Errorf("client %d after %v: %v", i, time.Since(start), err)
			}
			took[i] = time.Since(start)
		})
	}
	all.Wait()
	return slices.Max(took)
}

// oneRequest is one honest client.
func oneRequest(ctx context.Context, h *host) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := h.ns.Dial(ctx, "tcp", ours+":80")
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("?")); err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, 1))
	return err
}

// sendSYNs puts SYNs to port on the kernel's end of the tap, until end, each
// from an address and a port of its own of the network for benchmarks (RFC
// 2544), where nobody is.
func sendSYNs(h *host, port uint16, rate int, end time.Time) (sent int64, err error) {
	fd, err := packetSocket(h, "tap0")
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	frame := newSYN(port)
	for start := time.Now(); time.Now().Before(end); time.Sleep(time.Millisecond) {
		for due := int64(time.Since(start).Seconds() * float64(rate)); sent < due; sent++ {
			frame.number(uint32(sent))
			if _, err := unix.Write(fd, frame); err != nil && err != unix.ENOBUFS {
				return sent, os.NewSyscallError("write", err)
			}
		}
	}
	return sent, nil
}

// packetSocket is a socket that writes frames to an interface of the kernel's.
func packetSocket(h *host, name string) (fd int, err error) {
	err = h.ns.Do(func() error {
		i, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return os.NewSyscallError("socket", err)
		}
		return os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: i.Index}))
	})
	return fd, err
}

// goFirst has this process run before all others till the end of the test, if
// it may: the test is about what the stack takes, not about what else runs here.
func goFirst(t *testing.T) {
	set := func(nice int) {
		threads, err := os.ReadDir("/proc/self/task")
		must(t, err)
		for _, thread := range threads { // those that start later are like who starts them
			if id, err := strconv.Atoi(thread.Name()); err == nil {
				_ = unix.Setpriority(unix.PRIO_PROCESS, id, nice)
			}
		}
	}
	set(-20)
	t.Cleanup(func() { set(0) })
}

// A synFrame is an Ethernet frame with a SYN that has the options which all
// systems send.
type synFrame []byte

const (
	synIP      = 14
	synTCP     = synIP + 20
	synOptions = "\x02\x04\x05\xb4\x04\x02\x08\x0a\x00\x00\x00\x01\x00\x00\x00\x00\x01\x03\x03\x07"
)

func newSYN(port uint16) synFrame {
	f := synFrame(slices.Concat(mac(ourMAC), mac(kernelMAC), []byte{8, 0}))
	f = append(f, 0x45, 0, 0, 40+byte(len(synOptions)), 0, 0, 0x40, 0, 64, 6, 0, 0)
	f = append(f, 198, 18, 0, 0, 10, 0, 0, 2)
	f = binary.BigEndian.AppendUint16(append(f, 0, 0), port)
	f = append(f, 0, 0, 0, 0, 0, 0, 0, 0, (20+byte(len(synOptions)))/4<<4, 2, 0xff, 0xff, 0, 0, 0, 0)
	return append(f, synOptions...)
}

// number makes f the i-th SYN.
func (f synFrame) number(i uint32) {
	f[synIP+13] = 18 | byte(i>>16&1)
	binary.BigEndian.PutUint16(f[synIP+14:], uint16(i))
	binary.BigEndian.PutUint16(f[synTCP:], uint16(1024+i>>17))
	binary.BigEndian.PutUint32(f[synTCP+4:], i*2654435761)
	sum := func(at int, p []byte, pseudo uint64) {
		p[at], p[at+1] = 0, 0
		binary.BigEndian.PutUint16(p[at:], ^checksum.Fold(checksum.Sum(p, pseudo)))
	}
	sum(10, f[synIP:synTCP], 0)
	sum(16, f[synTCP:], checksum.Sum(f[synIP+12:synTCP], 6+uint64(len(f)-synTCP)))
}

// memory is that of this process, in bytes.
type memory struct {
	heap     uint64 // spans in use
	resident uint64
}

func memoryInUse(t *testing.T) memory {
	t.Helper()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	statm, err := os.ReadFile("/proc/self/statm")
	must(t, err)
	var size, resident uint64
	_, err = fmt.Fscan(strings.NewReader(string(statm)), &size, &resident)
	must(t, err)
	return memory{m.HeapInuse, resident * uint64(os.Getpagesize())}
}

func (m memory) max(o memory) memory {
	return memory{max(m.heap, o.heap), max(m.resident, o.resident)}
}

func (m memory) String() string {
	return fmt.Sprintf("heap %.1f MB, resident %.1f MB", float64(m.heap)/1e6, float64(m.resident)/1e6)
}
