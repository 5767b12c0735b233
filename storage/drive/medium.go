package drive

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/filter"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
)

// IsURL says whether the name of an image is the URL of a remote one.
func IsURL(name string) bool {
	scheme, rest, ok := strings.Cut(name, "://")
	return ok && rest != "" && scheme != "" && strings.IndexFunc(scheme, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '+' || r == '-' || r == '.')
	}) < 0
}

// Traffic counts what machines read and write. It is counted from when the medium was
// inserted.
type Traffic struct{ counts *counts }

type counts struct{ reads, writes, readBytes, writtenBytes atomic.Uint64 }

// Reads and writes are the calls, and their bytes.
func (t Traffic) Reads() (calls, bytes uint64) {
	if t.counts == nil {
		return 0, 0
	}
	return t.counts.reads.Load(), t.counts.readBytes.Load()
}

// Writes are the calls that write, and their bytes.
func (t Traffic) Writes() (calls, bytes uint64) {
	if t.counts == nil {
		return 0, 0
	}
	return t.counts.writes.Load(), t.counts.writtenBytes.Load()
}

// Before lets every call through: counts is a filter.Observer.
func (c *counts) Before(context.Context, filter.Op) error { return nil }

// After counts.
func (c *counts) After(_ context.Context, op filter.Op, _ time.Duration, err error) {
	switch {
	case err != nil:
	case op.Kind == filter.Read:
		c.reads.Add(1)
		c.readBytes.Add(uint64(op.Length))
	case op.Kind == filter.Write:
		c.writes.Add(1)
		c.writtenBytes.Add(uint64(op.Length))
	}
}

// A medium is what a drive has opened.
type medium struct {
	image   imagestore.Image
	disk    *block.Disk
	path    string
	closers []func() error // in the order of calls
	traffic Traffic
}

// close closes what was opened. It may be called with nil.
func (m *medium) close(log *slog.Logger) {
	if m == nil {
		return
	}
	for _, f := range m.closers {
		if err := f(); err != nil {
			log.Warn("closing an image", "image", m.image.Name, "err", err)
		}
	}
}

// open opens what is selected.
func (d *Drive) open(ctx context.Context, s selection) (*medium, error) {
	m := &medium{traffic: Traffic{new(counts)}}
	if s.Remote != nil {
		if d.config.OpenRemote == nil {
			return nil, ErrRemoteDisabled
		}
		disk, err := d.config.OpenRemote(ctx, s.Image, s.Remote)
		if err != nil {
			return nil, errors.Join(ErrRemote, err)
		}
		size, err := disk.Size()
		if err != nil {
			return nil, errors.Join(ErrRemote, err, disk.Close())
		}
		if s.RW && s.Overlay {
			over, err := d.config.Store.OverlayOver(d.config.Name, s.Image, strconv.FormatInt(size, 16), disk)
			if err != nil {
				return nil, errors.Join(err, disk.Close())
			}
			disk = over
		}
		m.disk, m.closers = disk, []func() error{disk.Close}
		m.image = imagestore.Image{Name: s.Image, Size: size, Complete: true, Writable: !disk.ReadOnly()}
	} else {
		mount, err := d.config.Store.Mount(s.Image, s.RW && !s.Overlay)
		if err != nil {
			return nil, err
		}
		if s.RW && s.Overlay {
			if err := d.config.Store.Overlay(d.config.Name, mount); err != nil {
				return nil, errors.Join(err, mount.Close())
			}
		}
		m.disk, m.image, m.path, m.closers = mount.Disk, mount.Image, mount.Path, []func() error{mount.Close}
	}
	disk, err := filter.Observe(m.disk, m.traffic.counts)
	if err != nil {
		m.close(d.log)
		return nil, err
	}
	if !s.RW && !disk.ReadOnly() {
		if disk, err = filter.ReadOnly(disk); err != nil {
			m.close(d.log)
			return nil, err
		}
	}
	m.disk = disk
	return m, nil
}

// insert opens the selected image and gives it to the backend.
func (d *Drive) insert(s selection) {
	ctx, cancel := context.WithTimeout(context.Background(), d.config.Timeout)
	defer cancel()
	m, err := d.open(ctx, s)
	if err != nil {
		d.results <- result{event: evFailed, err: err}
		return
	}
	err = d.config.Backend.Insert(ctx, Medium{
		Name: m.image.Name, Disk: m.disk, Path: m.path, CDROM: s.CDROM, ReadOnly: m.disk.ReadOnly(),
		Ejected: func() { d.machineEjected(m) },
	})
	if err != nil {
		m.close(d.log)
		d.results <- result{event: evFailed, err: err}
		return
	}
	d.results <- result{event: evInserted, medium: m}
}

// machineEjected passes on, once for each medium, that a machine has ejected it.
func (d *Drive) machineEjected(m *medium) {
	select {
	case d.ejected <- m:
	case <-d.done:
	default: // one is on its way already
	}
}

// eject has the backend eject.
func (d *Drive) eject(m *medium, force bool) {
	ctx, cancel := context.WithTimeout(context.Background(), d.config.Timeout)
	defer cancel()
	if err := d.config.Backend.Eject(ctx, force); err != nil {
		d.results <- result{event: evLocked, err: err}
		return
	}
	if m != nil {
		if err := m.disk.Sync(); err != nil {
			d.log.Warn("syncing an image", "image", m.image.Name, "err", err)
		}
	}
	d.results <- result{event: evEjected}
}
