package vhost

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/vhost/memory"
)

// A postcopy is a migration that has the guest run here before all of its memory has
// come (section "Migration", on postcopy). Whoever touches a page that has not come yet
// waits in the kernel, which tells the front end by a userfaultfd, which has the page
// sent, and wakes him. Whoever is to touch it waits in a system call before, so that
// nobody else waits with him (memory.Mapping.SetLate).
type postcopy struct {
	faults    int    // the userfaultfd
	args      []byte // where the arguments of its ioctls lie
	listening bool
	pending   []*memory.Mapping // regions whose addresses the front end has been told, and not yet acknowledged
	late      []*memory.Mapping // those that are registered, as long as tables have them
	ranges    [][2]uint64       // where they lie: address in this process, and length
}

// ioctls of a userfaultfd (linux/userfaultfd.h).
const (
	uffdAPI        = 0xc018aa3f
	uffdRegister   = 0xc020aa00
	uffdUnregister = 0x8010aa01
	uffdNew        = 0xaa00 // of /dev/userfaultfd

	uffdVersion      = 0xaa
	uffdMissing      = 1 // mode of registration
	uffdMissingHuge  = 1 << 4
	uffdMissingShmem = 1 << 5
)

// openPostcopy opens a userfaultfd. That takes a privilege, or a system that has been set
// up for it (vm.unprivileged_userfaultfd, /dev/userfaultfd).
func openPostcopy() (*postcopy, error) {
	faults, err := openUserfault()
	if err != nil {
		return nil, err
	}
	args, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		unix.Close(faults)
		return nil, err
	}
	p := &postcopy{faults: faults, args: args}
	features, err := p.call("UFFDIO_API", uffdAPI, uffdVersion, 0, 0)
	if err == nil && features[1]&(uffdMissingShmem|uffdMissingHuge) != uffdMissingShmem|uffdMissingHuge {
		err = errors.New("userfaultfd: not for memory that is shared")
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// openUserfault has faults of the kernel told as well, when it reads for a device.
func openUserfault() (int, error) {
	const flags = unix.O_CLOEXEC | unix.O_NONBLOCK
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, flags, 0, 0)
	if errno == 0 {
		return int(fd), nil
	}
	dev, err := unix.Open("/dev/userfaultfd", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("userfaultfd", errno)
	}
	defer unix.Close(dev)
	if fd, _, errno = unix.Syscall(unix.SYS_IOCTL, uintptr(dev), uffdNew, flags); errno != 0 {
		return -1, os.NewSyscallError("userfaultfd", errno)
	}
	return int(fd), nil
}

// canPostcopy says whether this process may have a userfaultfd, and can wait well.
func canPostcopy() bool {
	if !memory.CanAwait() {
		return false
	}
	p, err := openPostcopy()
	if err != nil {
		return false
	}
	p.close()
	return true
}

// call does an ioctl with an argument of some numbers, and returns what becomes of them.
func (p *postcopy) call(name string, number uintptr, arg ...uint64) ([]uint64, error) {
	if _, err := binary.Encode(p.args, binary.NativeEndian, arg); err != nil {
		return nil, err
	}
	// The address is that of a mapping, which nothing moves.
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(p.faults), number, uintptr(memory.Address(p.args)))
	if errno != 0 {
		return nil, os.NewSyscallError(name, errno)
	}
	_, err := binary.Decode(p.args, binary.NativeEndian, arg)
	return arg, err
}

// register has the kernel tell the front end who touches what is missing of regions.
func (p *postcopy) register(all []*memory.Mapping) error {
	for _, m := range all {
		at, n := m.Mapped()
		if _, err := p.call("UFFDIO_REGISTER", uffdRegister, at, n, uffdMissing, 0); err != nil {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
		p.ranges, p.late = append(p.ranges, [2]uint64{at, n}), append(p.late, m)
		m.SetLate(true)
	}
	return nil
}

// close has nobody wait any more.
func (p *postcopy) close() {
	if p == nil {
		return
	}
	p.unregister()
	p.drop()
	unix.Close(p.faults)
	unix.Munmap(p.args)
}

// unregister lets go whoever waits.
func (p *postcopy) unregister() {
	for _, r := range p.ranges {
		p.call("UFFDIO_UNREGISTER", uffdUnregister, r[0], r[1]) // it fails for a region that is gone
	}
	for _, m := range p.late {
		m.SetLate(false)
	}
	p.ranges, p.late = nil, nil
}

// drop forgets regions that were not acknowledged.
func (p *postcopy) drop() {
	for _, m := range p.pending {
		m.Release()
	}
	p.pending = nil
}

// doPostcopy does requests of a migration.
func (s *session) doPostcopy(r Request) (reply, error) {
	none := reply{fd: -1}
	switch {
	case r == PostcopyAdvise:
		p, err := openPostcopy()
		if err != nil {
			return none, err
		}
		fd, err := unix.FcntlInt(uintptr(p.faults), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			p.close()
			return none, err
		}
		s.postcopy.close()
		s.postcopy = p
		return reply{fd: fd, sent: true}, nil
	case s.postcopy == nil:
		return none, fmt.Errorf("%w: without %v", ErrRefused, PostcopyAdvise)
	case r == PostcopyListen:
		if s.table != nil && s.table.Len() > 0 {
			return none, fmt.Errorf("%w: there is memory already", ErrRefused)
		}
		s.postcopy.listening = true
	default: // PostcopyEnd
		s.postcopy.close()
		s.postcopy = nil
	}
	return none, nil
}

// postpones says whether regions wait for the front end's acknowledgement.
func (s *session) postpones() bool { return s.postcopy != nil && s.postcopy.listening }

// postpone maps regions, and returns them with their addresses in this process, for
// which the front end makes itself ready. They are used from acknowledged on.
func (s *session) postpone(regions []memory.Region, files Files) ([]memory.Region, error) {
	if len(regions) != len(files) || len(s.postcopy.pending)+len(regions) > memory.MaxRegions() {
		return nil, fmt.Errorf("%w: %d regions with %d file descriptors", ErrMessage, len(regions), len(files))
	}
	var told []memory.Region
	for i, r := range regions {
		at, err := s.postponed(r, files[i])
		if err != nil {
			return nil, err
		}
		r.User = at
		told = append(told, r)
	}
	return told, nil
}

// postponed maps a region, unless it is there already, and returns where that is.
func (s *session) postponed(r memory.Region, fd int) (uint64, error) {
	for _, m := range s.postcopy.pending {
		if m.Region == r {
			return m.Address(), nil
		}
	}
	if s.table != nil && s.table.Has(r) {
		return s.table.Find(r).Address(), nil
	}
	m, err := memory.Map(r, fd)
	if err != nil {
		return 0, err
	}
	s.postcopy.pending = append(s.postcopy.pending, m)
	return m.Address(), nil
}

// acknowledged begins to use the regions that were postponed, besides those of a table.
func (s *session) acknowledged(besides *memory.Table) error {
	p := s.postcopy
	defer p.drop()
	if besides != nil && len(p.pending) == 0 {
		return nil
	}
	if err := p.register(p.pending); err != nil {
		return err
	}
	table, err := memory.NewTable(p.pending...)
	if besides != nil {
		table, err = besides.With(p.pending...)
	}
	if err != nil {
		return err
	}
	return s.setTable(table)
}
