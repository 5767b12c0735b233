package nbd

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"

	"github.com/seed-012105e5/gonet/storage/block"
)

// A served export is an Export that clients can use.
type served struct {
	Export
	disk     *block.Disk
	info     block.Info
	size     atomic.Int64 // follows the device
	stop     func()       // of the notices of its size
	contexts []MetaContext
	// immediate says that calls of the device do not wait, so that whoever reads
	// requests may make them itself.
	immediate bool
	pages     *block.Memory // takes memory of ours; nil if the device is another
}

// serve makes e ready, over the disk that another export has of the same device, if
// there is one: blocks that are read, changed and written back are safe from each
// other only within one Disk.
func serve(e Export, disk *block.Disk) (*served, error) {
	var err error
	if disk == nil {
		if disk, err = block.NewDisk(e.Device); err != nil {
			return nil, fmt.Errorf("nbd: export %q: %w", e.Name, err)
		}
	}
	x := &served{disk: disk, info: disk.Info()}
	if e.PreferredBlockSize == 0 {
		e.PreferredBlockSize = preferredBlockSize(x.info.BlockSizes, e)
	}
	if d, ok := disk.Device().(block.ImmediateDevice); ok {
		x.immediate = d.Immediate()
	}
	// A device that embeds a Memory has methods of its own for a reason.
	x.pages, _ = disk.Device().(*block.Memory)
	if source, ok := disk.Device().(ContextSource); ok {
		e.Contexts = append(source.MetaContexts(), e.Contexts...)
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	x.Export = e
	x.ReadOnly = e.ReadOnly || x.info.ReadOnly
	x.contexts = append([]MetaContext{{Name: contextAllocation}}, e.Contexts...)
	size, err := disk.Size()
	if err != nil {
		return nil, fmt.Errorf("nbd: export %q: %w", e.Name, err)
	}
	x.setSize(size)
	x.stop = disk.NotifyResize(x.setSize)
	return x, nil
}

// setSize keeps the size, rounded down to what can be addressed.
func (x *served) setSize(size int64) {
	x.size.Store(max(size, 0) &^ (int64(x.MinimumBlockSize) - 1))
}

// wholePages is the size of the pages of the device, if r writes nothing but whole ones;
// otherwise zero.
func (x *served) wholePages(r request) int {
	if x.pages == nil || r.cmd != cmdWrite || r.length == 0 {
		return 0
	}
	size := x.pages.PageSize()
	if (r.offset|r.length)&uint64(size-1) != 0 {
		return 0
	}
	return size
}

// lends says whether r can be read without a copy: what is short is copied for less.
func (x *served) lends(r request) bool {
	return x.pages != nil && r.cmd == cmdRead && r.length >= smallestLoan
}

const smallestLoan = 32 << 10

// preferredBlockSize is the device's if it is one that can be told.
func preferredBlockSize(b block.BlockSizes, e Export) uint32 {
	n := uint32(4096)
	for int64(n) < int64(max(b.Preferred, b.Minimum, int(e.MinimumBlockSize))) && n < 1<<20 {
		n *= 2
	}
	if e.MaximumRequestSize >= 512 {
		for n > e.MaximumRequestSize {
			n /= 2
		}
	}
	return n
}

// visible says whether a client may know of x.
func (x *served) visible(state *tls.ConnectionState) bool {
	if x.TLSOnly && state == nil {
		return false
	}
	return x.Visible == nil || x.Visible(state)
}

// flags are the transmission flags for a client that has negotiated so far. What
// the device lacks is offered where the client gains by it: zeroes that it need
// not send, but no TRIM that has no effect.
func (x *served) flags(style headerStyle, contexts bool) Flags {
	f := FlagHasFlags | FlagSendFlush | FlagSendFUA
	set := func(flag Flags, on bool) {
		if on {
			f |= flag
		}
	}
	set(FlagReadOnly, x.ReadOnly)
	set(FlagRotational, x.info.Rotational)
	set(FlagSendTrim, x.info.Trim && !x.ReadOnly)
	set(FlagSendWriteZeroes|FlagSendFastZero, !x.ReadOnly)
	set(FlagSendDF, style != headersSimple)
	set(FlagCanMultiConn, x.info.MultiConn && !x.NoMultiConn)
	set(FlagSendResize, x.AllowResize && x.info.Resize && !x.ReadOnly)
	set(FlagSendCache, x.info.Prefetch)
	set(FlagBlockStatusPayload, style == headersExtended && contexts)
	return f
}
