package nbd

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// AttachConfig says how a device is attached to the kernel. Zero values mean what is
// said.
type AttachConfig struct {
	// Connections between the kernel and this process; 1, at most 16. Each is a queue of
	// the kernel's. A device that is not MultiConn has one.
	Connections int
	// SectorSize is the smallest part that the kernel reads and writes, and what tables
	// of partitions count in: a power of two from 512 to 4096; 512.
	SectorSize int
	ReadOnly   bool
	// Timeout is after how long without a reply, in whole seconds, the kernel sends a
	// request again over another connection. Never if zero, and there is no need: the
	// connections end in this process, and what lies behind it has time limits of its
	// own. A request that was sent again may be done twice.
	Timeout time.Duration
	// DeadTimeout is for how long, in whole seconds, the kernel keeps requests for which
	// it has no connection, before they fail; 30 s.
	DeadTimeout time.Duration
}

const (
	mostAttachConnections = 16
	defaultDeadTimeout    = 30 * time.Second
	leastSector           = 512
	mostSector            = 4096 // the page size, on most machines
)

// check says whether c is possible, and fills in what is zero.
func (c *AttachConfig) check(disk *block.Disk) error {
	if c.Connections <= 0 || !disk.MultiConn() {
		c.Connections = 1
	}
	c.Connections = min(c.Connections, mostAttachConnections)
	if c.SectorSize == 0 {
		c.SectorSize = leastSector
	}
	if n := c.SectorSize; n < leastSector || n > mostSector || n&(n-1) != 0 {
		return fmt.Errorf("nbd: sectors of %d bytes: want a power of two from 512 to 4096", n)
	}
	if c.DeadTimeout <= 0 {
		c.DeadTimeout = defaultDeadTimeout
	}
	return nil
}

// An Attachment is a device of this process that the kernel has as /dev/nbdN. It ends
// by Detach, with the context of Attach, or when another program detaches it.
type Attachment struct {
	index     int
	reconnect atomic.Int64
	detach    chan chan error // calls of Detach
	done      chan struct{}   // closed at the end, after err was set
	err       error
}

// Path is that of the block special file.
func (a *Attachment) Path() string { return fmt.Sprintf("/dev/nbd%d", a.index) }

// Reconnects is how often a connection to the kernel was made again.
func (a *Attachment) Reconnects() int64 { return a.reconnect.Load() }

// Done is closed when the kernel no longer has the device.
func (a *Attachment) Done() <-chan struct{} { return a.done }

// Wait returns when the kernel no longer has the device: nil if all that was written to
// it had been written back.
func (a *Attachment) Wait() error {
	<-a.done
	return a.err
}

// Detach has the kernel write back what it holds, and takes the device from it. It fails
// with [block.ErrInUse], and changes nothing, while the device is mounted or otherwise
// held by somebody who wants it alone. What could not be written back is an error, and
// the device is detached.
func (a *Attachment) Detach() error {
	reply := make(chan error, 1)
	select {
	case a.detach <- reply:
	case <-a.done:
		return a.err
	}
	select {
	case err := <-reply: // still attached
		return err
	case <-a.done:
		return a.err
	}
}

// Attach gives the kernel a device as /dev/nbdN: a [Client], so that a remote disk can be
// mounted, whatever network it is reached by, or any other. Dev is an open /dev/nbdN,
// which Attach closes, since the kernel takes only what nobody has open; nil is the
// first that is free. The device must stay open until the attachment has ended.
//
// When the context ends, the device is detached as by Detach, as soon as nobody holds it.
//
// It is for Linux with the module nbd (4.12 or later), and for root. A Client that
// connects again, with [ReplayUnflushed], keeps from the kernel that its server was away.
// Should this process be killed, the kernel keeps the device, and calls that need it fail
// after DeadTimeout. The next call of Attach for that device, or for any, takes it from the
// kernel (Linux 5.14 and later), unless it is mounted; so does nbd-client -d /dev/nbdN.
//
// A machine that has no memory left but what is written back to this device, and no
// memory for this process, stands still; so do not swap to it.
func Attach(ctx context.Context, dev *os.File, disk block.Device, c AttachConfig) (*Attachment, error) {
	d, err := block.NewDisk(disk)
	if err == nil {
		err = c.check(d)
	}
	if err != nil {
		if dev != nil {
			dev.Close()
		}
		return nil, err
	}
	a := &Attachment{detach: make(chan chan error), done: make(chan struct{})}
	if err := a.start(ctx, dev, d, c); err != nil {
		return nil, fmt.Errorf("nbd: attach: %w", err)
	}
	return a, nil
}
