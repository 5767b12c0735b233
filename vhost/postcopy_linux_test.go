package vhost

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/vhost/memory"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// A source is what a guest's memory was on the machine that it comes from: pages are
// brought from it when somebody waits for them.
type source struct {
	t      *testing.T
	vm     *vm
	faults int    // the userfaultfd of the back end
	base   uint64 // where the back end has the memory
	pages  map[uint64]string
	args   []byte
}

// refusesPostcopy says whether this process may have no userfaultfd. Then the feature is
// not offered, and what belongs to it is refused.
func refusesPostcopy(t *testing.T) bool {
	t.Helper()
	if canPostcopy() {
		return false
	}
	t.Log("this process may have no userfaultfd")
	front, _ := pair(t, &echo{}, Config{})
	if err := front.Negotiate(ringFeatures, allProtocol|ProtocolPageFault, ringFeatures); err != nil {
		t.Fatal(err)
	}
	if err := front.Set(PostcopyAdvise, nil); front.Protocol&ProtocolPageFault != 0 || !errors.Is(err, ErrRefused) {
		t.Errorf("postcopy is offered: %v", err)
	}
	return true
}

// postcopyVM is a machine that comes here while its memory stays behind: the back end has
// told where it has the memory, which has been told it in one message or by regions.
func postcopyVM(t *testing.T, features uint64, slots bool, c Config) (*vm, *source) {
	t.Helper()
	v := newVM(t)
	front, _ := pair(t, &echo{}, c)
	v.front = front
	if err := front.Negotiate(features|FeatureLogAll, allProtocol|ProtocolPageFault, features); err != nil {
		t.Fatal(err)
	}
	if front.Protocol&ProtocolPageFault == 0 {
		t.Fatal("it is not offered")
	}
	_, files, err := front.Get(PostcopyAdvise, nil)
	if err != nil || len(files) != 1 {
		t.Fatalf("%v: %v", files, err)
	}
	s := &source{t: t, vm: v, faults: files.Take(0), pages: map[uint64]string{}}
	t.Cleanup(func() { unix.Close(s.faults) })
	if err := front.Set(PostcopyListen, nil); err != nil {
		t.Fatal(err)
	}
	request, body := SetMemTable, any(MemoryTable{v.region})
	if slots {
		request, body = AddMemReg, SingleRegion{Region: v.region}
	}
	told, _, err := front.Get(request, body, v.fd)
	if err != nil {
		t.Fatal(err)
	}
	if slots { // of a card with several pairs of rings, each tells it
		again, _, err := front.Get(request, body, v.fd)
		if err != nil || again != told {
			t.Fatalf("%+v, and then %+v: %v", told, again, err)
		}
	}
	switch told := told.(type) {
	case MemoryTable:
		s.base = told[0].User
	case SingleRegion:
		s.base = told.Region.User
	}
	if s.base == 0 || s.base == v.region.User {
		t.Fatalf("it has the memory at %#x", s.base)
	}
	// Now that it is known, they may wait for pages.
	if err := front.Set(request, U64(0)); err != nil {
		t.Fatal(err)
	}
	if slots {
		if again, _, err := front.Get(request, body, v.fd); err != nil || again != told {
			t.Fatalf("%+v, and at last %+v: %v", told, again, err)
		}
		if err := front.Set(request, U64(0)); err != nil {
			t.Fatal(err)
		}
	}
	if s.args, err = unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(s.args) })
	return v, s
}

// bring waits until somebody wants a page, and brings it. It returns which one.
func (s *source) bring() uint64 {
	s.t.Helper()
	at := s.wanted()
	page := make([]byte, 4096)
	copy(page, s.pages[at])
	if _, err := unix.Pwrite(s.vm.fd, page, int64(at)); err != nil {
		s.t.Fatal(err)
	}
	const wake = 0x8010aa02 // UFFDIO_WAKE
	binary.NativeEndian.PutUint64(s.args, s.base+at)
	binary.NativeEndian.PutUint64(s.args[8:], 4096)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s.faults), wake, uintptr(memory.Address(s.args))); errno != 0 {
		s.t.Fatal(errno)
	}
	return at
}

// wanted waits until somebody wants a page.
func (s *source) wanted() uint64 {
	s.t.Helper()
	var event [32]byte // struct uffd_msg
	for {
		fds := []unix.PollFd{{Fd: int32(s.faults), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 20000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n != 1 || err != nil {
			s.t.Fatalf("nobody wants a page: %d, %v", n, err)
		}
		if n, err := unix.Read(s.faults, event[:]); n != len(event) || err != nil {
			if errors.Is(err, unix.EAGAIN) {
				continue
			}
			s.t.Fatal(n, err)
		}
		return (binary.NativeEndian.Uint64(event[16:]) - s.base) &^ 4095
	}
}

// offerMissing offers what lies in a page that has not come yet, and room in another that
// has.
func (v *vm) offerMissing(r *vmRing, page uint64, n int) {
	v.t.Helper()
	if _, err := r.Add([]virtqueue.Span{{Addr: vmBase + page, Len: uint32(n)}, {Addr: vmBase + vmData + 0x800, Len: uint32(n)}}, 1); err != nil {
		v.t.Fatal(err)
	}
	if r.Publish() {
		r.kick.Signal()
	}
}

// TestPostcopy: a device gets pages that come only when it wants them.
func TestPostcopy(t *testing.T) {
	if refusesPostcopy(t) {
		return
	}
	for _, slots := range []bool{false, true} {
		hostileRings(t, func(t *testing.T, features uint64) {
			v, s := postcopyVM(t, features, slots, Config{Report: report(t)})
			r := v.addRing(16) // its pages are there
			if _, err := unix.Pwrite(v.fd, make([]byte, 4096), vmData); err != nil {
				t.Fatal(err)
			}
			v.start(0)
			for i := range uint64(5) {
				page, text := vmData+0x10000+i*0x1000, "a page that comes late"
				s.pages[page] = text
				v.offerMissing(r, page, len(text))
				if at := s.bring(); at != page {
					t.Fatalf("the page %#x is wanted, not %#x", at, page)
				}
				if got := v.take(r, 0); got != text {
					t.Fatalf("%q", got)
				}
			}
			if err := v.front.Set(PostcopyEnd, nil); err != nil {
				t.Fatal(err)
			}
			v.offerMissing(r, vmData+0x40000, 3) // all has come, and this is zero
			if got := v.take(r, 0); got != "\x00\x00\x00" {
				t.Fatalf("%q", got)
			}
		})
	}
}

// TestPostcopyGone: a ring that waits for a page is let go when it is to stop and the page
// does not come, or the front end has gone.
func TestPostcopyGone(t *testing.T) {
	if refusesPostcopy(t) {
		return
	}
	reports := make(chan error, 10)
	c := Config{Report: func(_ int, err error) { reports <- err }, patience: 50 * time.Millisecond}
	v, s := postcopyVM(t, ringFeatures, false, c)
	r := v.addRing(16)
	v.start(0)
	v.offerMissing(r, vmData+0x10000, 4)
	s.wanted()
	if _, err := v.front.StopRing(0); err != nil {
		t.Fatal(err)
	}
	if err := <-reports; !errors.Is(err, errNoPage) {
		t.Fatal(err)
	}
	fds := openFiles(t)
	v, s = postcopyVM(t, ringFeatures, false, Config{})
	r = v.addRing(16)
	v.start(0)
	v.offerMissing(r, vmData+0x10000, 4)
	s.wanted()
	v.front.Close()
	unix.Close(s.faults)
	s.faults = -1
	v.close()
	waitFor(t, "file descriptors are left", func() bool { return openFiles(t) <= fds })
}

// TestPostcopyRefused: what does not belong into a migration is refused.
func TestPostcopyRefused(t *testing.T) {
	if refusesPostcopy(t) {
		return
	}
	v := newVM(t)
	front, _ := pair(t, &echo{}, Config{})
	if err := front.Negotiate(ringFeatures, allProtocol|ProtocolPageFault, ringFeatures); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		r    Request
		body any
	}{
		"to listen before advice": {PostcopyListen, nil},
		"an end before advice":    {PostcopyEnd, nil},
		"a region of nothing":     {AddMemReg, SingleRegion{Region: v.region}},
		"nothing to acknowledge":  {AddMemReg, U64(0)},
	} {
		if err := front.Set(c.r, c.body); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := front.SetMemory([]memory.Region{v.region}, []int{v.fd}); err != nil {
		t.Fatal(err)
	}
	_, files, err := front.Get(PostcopyAdvise, nil)
	if err != nil {
		t.Fatal(err)
	}
	files.Close()
	if err := front.Set(PostcopyListen, nil); !errors.Is(err, ErrRefused) {
		t.Errorf("with memory: %v", err)
	}
}
