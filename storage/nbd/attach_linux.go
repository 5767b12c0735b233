package nbd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/netlink"
	"github.com/seed-012105e5/gonet/storage/block"
)

// Times of an attachment.
const (
	attachRetry = 100 * time.Millisecond // between attempts of all kinds
	attachBusy  = 3 * time.Second        // for how long others may look at a device that was just opened
	attachEnd   = 10 * time.Second       // that the kernel has to let go of the sockets
)

// An attaching serves the kernel. Of each socket pair the kernel has one end, and a
// [Server] serves the other, as it serves any client. It is owned by run.
type attaching struct {
	*Attachment
	disk   *block.Disk
	config AttachConfig
	kernel kernelNBD
	events *netlink.Events
	server Server

	links   int           // that are served
	offered int           // of those, so many that the kernel may not have taken
	ended   chan struct{} // one for each link that has ended
	dead    chan struct{} // the kernel may have lost a link
	resized chan int64    // the newest size
	deaf    func()        // no longer tells of it
}

// start attaches the disk.
func (a *Attachment) start(ctx context.Context, dev *os.File, disk *block.Disk, c AttachConfig) (err error) {
	index := anyIndex
	if dev != nil {
		index, err = indexOf(dev)
		dev.Close()
		if err != nil {
			return err
		}
	}
	r := &attaching{Attachment: a, disk: disk, config: c, ended: make(chan struct{}), dead: make(chan struct{}, 1), resized: make(chan int64, 1)}
	if r.kernel, err = dialKernel(); err != nil {
		return err
	}
	r.deaf = disk.NotifyResize(r.resize) // before the size is asked for
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if r.events, err = r.kernel.g.Listen(kernelGroup); err != nil {
		return err
	}
	if err := r.server.Add(Export{Device: disk, ReadOnly: c.ReadOnly}); err != nil {
		return err
	}
	if err := r.connect(ctx, index); err != nil {
		return err
	}
	go r.listen()
	go r.run(ctx)
	return nil
}

// indexOf finds the number of the device in sysfs.
func indexOf(dev *os.File) (int, error) {
	var s unix.Stat_t
	if err := unix.Fstat(int(dev.Fd()), &s); err != nil {
		return 0, err
	}
	bad := fmt.Errorf("%s is no network block device", dev.Name())
	if s.Mode&unix.S_IFMT != unix.S_IFBLK {
		return 0, bad
	}
	name, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(s.Rdev), unix.Minor(s.Rdev)))
	if err != nil {
		return 0, err
	}
	number, ok := strings.CutPrefix(filepath.Base(name), "nbd")
	index, err := strconv.Atoi(number)
	if !ok || err != nil {
		return 0, bad
	}
	return index, nil
}

// connect makes the links, and gives the kernel their other ends.
func (r *attaching) connect(ctx context.Context, index int) error {
	size, err := r.disk.Size()
	if err != nil {
		return err
	}
	request := connectRequest{index: index, size: r.whole(size), config: r.config}
	if request.size == 0 {
		return fmt.Errorf("a device of %d bytes has no sector of %d", size, r.config.SectorSize)
	}
	for range r.config.Connections {
		end, info, err := r.link(ctx)
		if err != nil {
			return err
		}
		defer end.Close() // the kernel has its own hold on it
		request.sockets = append(request.sockets, int(end.Fd()))
		request.flags = info.Flags
	}
	r.kernel.clearAbandoned(index)
	for last := time.Now().Add(attachBusy); ; {
		r.index, err = r.kernel.connect(request)
		if !errors.Is(err, unix.EBUSY) || index == anyIndex || time.Now().After(last) {
			return err
		}
		// Somebody who looks at new devices may have it open for a moment.
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(attachRetry):
		}
	}
}

// whole is the size in whole sectors.
func (r *attaching) whole(size int64) int64 { return size &^ (int64(r.config.SectorSize) - 1) }

// link makes a socket pair, serves one end, and returns the other when the handshake,
// which the kernel does not know, is over.
func (r *attaching) link(ctx context.Context) (*os.File, ExportInfo, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, ExportInfo{}, os.NewSyscallError("socketpair", err)
	}
	ours, end := os.NewFile(uintptr(fds[0]), "nbd"), os.NewFile(uintptr(fds[1]), "nbd")
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		end.Close()
		return nil, ExportInfo{}, err
	}
	r.links++
	go func() { r.server.ServeConn(conn); r.ended <- struct{}{} }()
	client, err := net.FileConn(end)
	if err == nil {
		// Simple replies are all that the kernel knows.
		var o *opened
		if o, err = open(ctx, client, (&Dialer{Simple: true}).negotiation("", false), nil, 0); err == nil {
			client.Close()
			return end, o.info, nil
		}
	}
	end.Close()
	return nil, ExportInfo{}, err
}

// listen tells of links that the kernel has lost, until the events are closed.
func (r *attaching) listen() {
	for {
		err := r.events.Next(func(command uint8, a netlink.Attributes) {
			if index, ok := a.GetUint32(attrIndex); command == kernelLinkDead && ok && int(index) != r.index {
				return
			}
			select {
			case r.dead <- struct{}{}:
			default:
			}
		})
		if err != nil {
			return
		}
	}
}

// run owns the attachment until its end. It reads what links, the kernel and users say,
// and waits for all of them at once.
func (r *attaching) run(ctx context.Context) {
	var (
		done     = ctx.Done()
		ending   bool               // the context has ended
		flushing = make(chan error) // what a flush has come to
		callers  []chan error       // who wait for it; not empty while one is under way
	)
	begin := func(reply chan error) {
		if callers = append(callers, reply); len(callers) == 1 {
			go func() { flushing <- flushKernel(r.Path()) }()
		}
	}
	for {
		var retry <-chan time.Time
		if ending && len(callers) == 0 || r.links < r.config.Connections || r.offered > 0 {
			retry = time.After(attachRetry)
		}
		select {
		case <-done:
			done, ending = nil, true
			begin(nil)
			continue
		case reply := <-r.detach:
			begin(reply)
			continue
		case err := <-flushing:
			if errors.Is(err, block.ErrInUse) {
				for _, reply := range callers {
					if reply != nil {
						reply <- err
					}
				}
				callers = nil
				continue
			}
			r.finish(errors.Join(err, r.kernel.disconnect(r.index)))
			return
		case size := <-r.resized:
			r.kernel.resize(r.index, r.whole(size), r.config.SectorSize)
			continue
		case <-r.ended: // the kernel knows of it soon
			r.links--
			r.offered = max(r.offered-1, 0)
			continue
		case <-r.dead:
		case <-retry:
			if ending && len(callers) == 0 {
				begin(nil)
			}
		}
		if r.links == r.config.Connections {
			r.reconnect.Add(int64(r.offered))
			r.offered = 0
			continue
		}
		if attached, err := r.kernel.attached(r.index); r.server.counters.disconnects.Load() > 0 || err == nil && !attached {
			r.finish(err) // by somebody else
			return
		}
		r.renew(ctx)
	}
}

// renew gives the kernel a link for one that it has lost. The server of the old one has
// ended, and so have all writes that came over it, so that none of them is done after
// what the kernel sends now. A link that the kernel has no use for yet it closes, and
// that is tried again.
func (r *attaching) renew(ctx context.Context) {
	end, _, err := r.link(context.WithoutCancel(ctx))
	if err != nil {
		return
	}
	defer end.Close()
	if r.kernel.reconnect(r.index, int(end.Fd())) == nil {
		r.offered++
	}
}

// resize keeps the newest size for run.
func (r *attaching) resize(size int64) {
	for {
		select {
		case r.resized <- size:
			return
		default:
		}
		select {
		case <-r.resized:
		default:
		}
	}
}

// finish ends what is left, and says how it has ended.
func (r *attaching) finish(err error) {
	r.close()
	r.err = err
	close(r.done)
}

// close gives the kernel's connections some time to end, and ends them.
func (r *attaching) close() {
	r.deaf()
	late := time.AfterFunc(attachEnd, func() { r.server.Close() })
	for ; r.links > 0; r.links-- {
		<-r.ended
	}
	late.Stop()
	r.server.Close()
	if r.events != nil {
		r.events.Close()
	}
	r.kernel.g.Close()
}

// flushKernel has the kernel write back what it holds of a device.
func flushKernel(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_EXCL, 0)
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("nbd: detach %s: %w", path, block.ErrInUse)
	}
	if err != nil {
		return fmt.Errorf("nbd: detach: %w", err)
	}
	err = f.Sync()
	if err != nil {
		err = fmt.Errorf("nbd: writing back what the kernel holds of %s: %w", path, err)
	}
	return errors.Join(err, f.Close())
}
