package vhostblk

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/internal/buffers"
	"github.com/seed-012105e5/gonet/vhost"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// A Config is how a disk is served. The zero value is a sensible one.
type Config struct {
	// ReadOnly has the guest not write. A device that is read-only is served so
	// anyway.
	ReadOnly bool

	// Serial is what the guest sees as serial number (GET_ID), at most 20 bytes of
	// ASCII.
	Serial string

	// BlockSize is the logical block size that the guest sees: 512 if it is 0, or
	// another power of two up to 4096.
	BlockSize int

	// Queues is how many rings there are for the front end to choose from: 16 if it
	// is 0, at most MaxQueues.
	Queues int

	// Requests is how many requests of a ring are under way at once at most: 64 if
	// it is 0. Those that follow wait in the ring.
	Requests int

	// Report is as in vhost.Config.
	Report func(ring int, err error)
}

// MaxQueues is how many rings there can be.
const MaxQueues = 256

const mostRequests = virtqueue.MaxSize

func (c *Config) complete() error {
	if c.BlockSize == 0 {
		c.BlockSize = sectorSize
	}
	if c.Queues == 0 {
		c.Queues = 16
	}
	if c.Requests == 0 {
		c.Requests = 64
	}
	if c.Report == nil {
		c.Report = func(int, error) {}
	}
	switch {
	case c.BlockSize < sectorSize || c.BlockSize > 4096 || c.BlockSize&(c.BlockSize-1) != 0:
		return fmt.Errorf("vhostblk: a block size of %d", c.BlockSize)
	case c.Queues < 1 || c.Queues > MaxQueues:
		return fmt.Errorf("vhostblk: %d queues", c.Queues)
	case c.Requests < 1 || c.Requests > mostRequests:
		return fmt.Errorf("vhostblk: %d requests at once", c.Requests)
	case len(c.Serial) > idLen:
		return fmt.Errorf("vhostblk: the serial number %q is longer than %d bytes", c.Serial, idLen)
	}
	return nil
}

// A Backend is a disk that front ends use, one after another.
type Backend struct {
	server *vhost.Backend
	device *device
	stop   func() // hearing of changes of the size
}

// Listen serves front ends that connect to a unix socket, which it makes, as
// vhost.Listen does. The device stays the caller's, who closes it after the back end.
func Listen(path string, dev block.Device, c Config) (*Backend, error) {
	return start(dev, c, func(d *device, c vhost.Config) (*vhost.Backend, error) { return vhost.Listen(path, d, c) })
}

// Connect serves the front end that listens to a unix socket, again and again, as
// vhost.Connect does.
func Connect(path string, dev block.Device, c Config) (*Backend, error) {
	return start(dev, c, func(d *device, c vhost.Config) (*vhost.Backend, error) { return vhost.Connect(path, d, c), nil })
}

// Serve serves one front end over a socket that belongs to it from now on.
func Serve(conn *net.UnixConn, dev block.Device, c Config) (*Backend, error) {
	return start(dev, c, func(d *device, c vhost.Config) (*vhost.Backend, error) { return vhost.Serve(conn, d, c), nil })
}

func start(dev block.Device, c Config, serve func(*device, vhost.Config) (*vhost.Backend, error)) (*Backend, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	disk, err := block.NewDisk(dev)
	if err != nil {
		return nil, err
	}
	d := &device{disk: disk, cfg: c, readOnly: c.ReadOnly || disk.ReadOnly(), vectors: disk.Vectors()}
	if i, ok := disk.Device().(block.ImmediateDevice); ok {
		d.immediate = i.Immediate()
	}
	copy(d.id[:], c.Serial)
	d.writeback.Store(true)
	server, err := serve(d, vhost.Config{Report: c.Report})
	if err != nil {
		return nil, err
	}
	b := &Backend{server: server, device: d}
	b.stop = disk.NotifyResize(func(int64) { server.ConfigChanged() })
	return b, nil
}

// Close leaves the front end, and waits until no request is under way.
func (b *Backend) Close() error {
	b.stop()
	return b.server.Close()
}

// Done is closed when the back end has ended.
func (b *Backend) Done() <-chan struct{} { return b.server.Done() }

// Stats are counters of a back end, since it began.
type Stats struct {
	Requests uint64 // that were put back
	Failed   uint64 // of those, with IOERR or UNSUPP
	Handed   uint64 // to others than the owner of the ring
	Workers  int    // that there are now
	BytesIn  uint64 // read by the guest
	BytesOut uint64 // written by the guest
	Broken   uint64 // rings that the driver's requests broke off
	Claims   uint64 // times that the device was claimed
}

type counters struct {
	requests, failed, handed, bytesIn, bytesOut, broken, claims atomic.Uint64
	workers                                                     atomic.Int64
}

// Stats are the counters as they are now.
func (b *Backend) Stats() Stats {
	c := &b.device.count
	return Stats{
		Requests: c.requests.Load(), Failed: c.failed.Load(), Handed: c.handed.Load(), Workers: int(c.workers.Load()),
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(), Broken: c.broken.Load(), Claims: c.claims.Load(),
	}
}

// A device is the disk as package vhost sees it.
type device struct {
	disk      *block.Disk
	cfg       Config
	readOnly  bool
	vectors   bool // reads and writes in the guest's memory
	immediate bool // never waits
	id        [idLen]byte
	writeback atomic.Bool // the write cache is on, as the driver has set it
	buffers   buffers.Pool
	count     counters

	claiming sync.Mutex // for the time of a lock or an unlock
	claimed  bool
}

// Features are those of the disk (vhost.Device).
func (d *device) Features() uint64 {
	f := uint64(featureAll)
	if !d.readOnly {
		return f &^ featureReadOnly
	}
	return f &^ (featureDiscard | featureWriteZeroes | featureConfigWCE)
}

// Queues is how many rings there are (vhost.Device).
func (d *device) Queues() int { return d.cfg.Queues }

// Config is the configuration space, with the size as it is now (vhost.Device).
func (d *device) Config() []byte {
	size, err := d.disk.Size()
	if err != nil {
		d.cfg.Report(-1, fmt.Errorf("the size of the disk: %w", err))
	}
	s := space{
		capacity: uint64(size) / sectorSize, sizeMax: maxSegmentSize, segMax: maxSegments, blockSize: uint32(d.cfg.BlockSize),
		writeback: d.writeback.Load(), queues: uint16(d.cfg.Queues),
		maxDiscardSectors: maxRangeSectors, maxDiscardSeg: maxRanges, discardAlignment: uint32(d.cfg.BlockSize) / sectorSize,
		maxWriteZeroesSectors: maxRangeSectors, maxWriteZeroesSeg: maxRanges, writeZeroesMayUnmap: true,
	}
	preferred := d.disk.BlockSizes().Preferred
	s.setTopology(preferred)
	if n := uint32(preferred) / sectorSize; n > s.discardAlignment {
		s.discardAlignment = n
	}
	return s.encode()
}

// SetConfig has the driver turn its write cache on or off (vhost.Device).
func (d *device) SetConfig(offset int, p []byte) error {
	if offset != writebackAt || len(p) != 1 || p[0] > 1 {
		return errors.New("vhostblk: only writeback can be set")
	}
	d.writeback.Store(p[0] == 1)
	return nil
}

// Setting is whether the write cache is on, which stays as the driver has set it whatever
// happens: front ends tell the driver what they know of it, also after a reset, and
// QEMU 7.2 resets devices of guests that it only pauses (vhost.Keeper).
func (d *device) Setting() uint32 { return uint32(bit(d.writeback.Load())) }

// Restore sets that again in another process (vhost.Keeper).
func (d *device) Restore(setting uint32) { d.writeback.Store(setting != 0) }

// durable says whether writes must be durable when they are put back: the driver has
// turned the cache off, or cannot flush it (VIRTIO 1.2 section 5.2.6.2).
func (d *device) durable(features uint64) bool {
	return features&featureFlush == 0 || features&featureConfigWCE != 0 && !d.writeback.Load()
}

// claimRetry is how often a ring looks whether another process has given the disk up.
const claimRetry = 20 * time.Millisecond

// claim waits until this process has the disk. It returns false when the ring is to
// stop before.
func (d *device) claim(q *vhost.Queue) bool {
	for told := false; ; {
		err := d.tryClaim()
		if err == nil {
			return true
		}
		if !told {
			told = true
			d.cfg.Report(q.Index(), fmt.Errorf("the ring waits: %w", err))
		}
		timer := time.NewTimer(claimRetry)
		select {
		case <-timer.C:
		case <-q.Stopped():
			timer.Stop()
			return false
		}
	}
}

func (d *device) tryClaim() error {
	d.claiming.Lock()
	defer d.claiming.Unlock()
	if d.claimed {
		return nil
	}
	if err := d.disk.Claim(); err != nil {
		return err
	}
	d.claimed = true
	d.count.claims.Add(1)
	return nil
}

// RingsStopped gives the disk up (vhost.StopObserver).
func (d *device) RingsStopped() {
	d.claiming.Lock()
	defer d.claiming.Unlock()
	if !d.claimed {
		return
	}
	d.claimed = false
	if err := d.disk.Unclaim(); err != nil {
		d.cfg.Report(-1, err)
	}
}

// Serve serves a ring (vhost.Device).
func (d *device) Serve(q *vhost.Queue) {
	if d.claim(q) {
		newRing(d, q).serve()
	}
}
