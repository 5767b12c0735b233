package s3

import (
	"sync"

	"github.com/seed-012105e5/gonet/storage/block"
)

// An item is what the owner hands to the journal: a record, or somebody who waits
// until all before him is written, or durable.
type item struct {
	record record
	data   []byte // of the record; it is the user's, who waits
	at     int64  // on the device; 0 if there is no record
	sync   bool   // who waits does so until it is durable
	waits  *request
	err    error // what who waits is told if all is well
}

// A journal writes records to its device in the order in which they come, and makes
// them durable while it writes others. It is two goroutines: one owns what is written,
// the other calls Sync, once for all who wait. When the device has failed once, all
// that comes later fails too: what it holds is known only when it is read again.
type journal struct {
	dev    block.Device
	layout layout
	items  chan item
	syncs  chan *request
	failed chan error // of capacity 1: the first failure, for the owner
}

func newJournal(dev block.Device, l layout) *journal {
	return &journal{dev: dev, layout: l, items: make(chan item), syncs: make(chan *request, mostRequests), failed: make(chan error, 1)}
}

// start starts the goroutines. They end when items is closed.
func (j *journal) start(group *sync.WaitGroup) {
	group.Go(j.write)
	group.Go(j.sync)
}

// write owns the writes to the device. It reads items, writes syncs, and waits for
// the device.
func (j *journal) write() {
	defer close(j.syncs)
	var failed error
	var buf []byte
	for it := range j.items {
		if it.at > 0 && failed == nil {
			buf = it.record.appendTo(buf[:0], j.layout.id, it.data)
			if _, failed = j.dev.WriteAt(buf, it.at); failed != nil {
				j.fail(failed)
			}
		}
		switch {
		case it.waits == nil:
		case failed != nil:
			it.waits.finish(journalError(failed))
		case it.sync:
			j.syncs <- it.waits // which has room for all requests there are
		default:
			it.waits.finish(it.err)
		}
	}
}

// sync owns the Syncs of the device. It reads syncs, and waits for the device.
func (j *journal) sync() {
	var failed error
	var batch []*request
	for r := range j.syncs {
		batch = append(batch[:0], r)
		for more := true; more; {
			select {
			case r, ok := <-j.syncs:
				if more = ok; ok {
					batch = append(batch, r)
				}
			default:
				more = false
			}
		}
		if failed == nil {
			if failed = j.dev.Sync(); failed != nil {
				j.fail(failed)
			}
		}
		for _, r := range batch {
			if failed != nil {
				r.finish(journalError(failed))
			} else {
				r.finish(nil)
			}
		}
	}
}

// fail tells the owner.
func (j *journal) fail(err error) {
	select {
	case j.failed <- journalError(err):
	default:
	}
}

// empty makes both areas hold no records.
func (j *journal) empty() error {
	for area := range 2 {
		if _, err := j.dev.WriteAt(make([]byte, recordHeader), j.layout.start(area)); err != nil {
			return err
		}
	}
	return j.dev.Sync()
}
