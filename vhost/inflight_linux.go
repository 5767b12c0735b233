package vhost

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/vhost/memory"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// An inflight is the memory in which rings note what is in flight, and which
// outlives this process, since the front end keeps it (section "Inflight I/O
// tracking"). Each ring has a part, which suits split and packed queues; behind those is
// the setting of a [Keeper], and whether there is one, in memory that a back end of this
// package has made.
type inflight struct {
	table *memory.Table // one region, from 0
	area  InflightArea
	kept  []byte // or nil
}

// keptLen is how long that is, keptMark says that there is one.
const (
	keptLen  = 8
	keptMark = 1 << 32
)

// partLen is how long the part of a ring is, in bytes.
func partLen(queueSize int) uint64 {
	n := max(virtqueue.InflightLen(queueSize, false), virtqueue.InflightLen(queueSize, true))
	return uint64(n+63) &^ 63
}

// mapInflight maps what the front end has, or has been given.
func mapInflight(a InflightArea, fd int) (*inflight, error) {
	need := partLen(int(a.QueueSize)) * uint64(a.Queues)
	if a.QueueSize == 0 || a.QueueSize > virtqueue.MaxSize || need == 0 || a.Size < need {
		return nil, fmt.Errorf("%w: %d bytes for what %d rings of %d have in flight", ErrRefused, a.Size, a.Queues, a.QueueSize)
	}
	parts := need
	if a.Size >= parts+keptLen {
		need += keptLen
	}
	table, err := mapOne(need, a.Offset, fd)
	if err != nil {
		return nil, err
	}
	f := &inflight{table: table, area: a}
	if need > parts && a.Offset%keptLen == 0 {
		f.kept, err = table.Slice(parts, keptLen)
	}
	return f, err
}

// keep notes the setting of a device. It runs in a guard.
func (f *inflight) keep(setting uint32) {
	if f != nil && f.kept != nil {
		memory.Store64(f.kept, 0, keptMark|uint64(setting))
	}
}

// setting is what keep has noted, if it has. It runs in a guard.
func (f *inflight) setting() (setting uint32, ok bool) {
	if f == nil || f.kept == nil {
		return 0, false
	}
	v := memory.Load64(f.kept, 0)
	return uint32(v), v>>32 == keptMark>>32
}

// mapOne maps a part of a file as a table of one region, which begins at 0.
func mapOne(size, offset uint64, fd int) (*memory.Table, error) {
	m, err := memory.Map(memory.Region{Size: size, Offset: offset}, fd)
	if err != nil {
		return nil, err
	}
	defer m.Release()
	return memory.NewTable(m)
}

// createInflight makes such memory, and the file descriptor for the front end.
func createInflight(queues, queueSize uint16) (f *inflight, fd int, err error) {
	a := InflightArea{Size: partLen(int(queueSize))*uint64(queues) + keptLen, Queues: queues, QueueSize: queueSize}
	if fd, err = memory.Create("vhost-inflight", a.Size); err != nil {
		return nil, -1, err
	}
	if f, err = mapInflight(a, fd); err != nil {
		unix.Close(fd)
		return nil, -1, err
	}
	return f, fd, nil
}

// part is that of a ring, or nil.
func (f *inflight) part(ring int) []byte {
	if f == nil || ring >= int(f.area.Queues) {
		return nil
	}
	n := partLen(int(f.area.QueueSize))
	b, err := f.table.Slice(n*uint64(ring), n)
	if err != nil {
		return nil
	}
	return b
}

func (f *inflight) close() {
	if f != nil {
		f.table.Release()
	}
}
