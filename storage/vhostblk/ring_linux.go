package vhostblk

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/vhost"
	"github.com/seed-012105e5/gonet/vhost/memory"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// A task is a request under way. It belongs to the owner of the ring, or to the worker
// that he has given it to.
type task struct {
	chain   virtqueue.Chain
	req     request
	durable bool // what it writes
	status  byte
	fault   error // the guest's memory is gone
	copying func()
	out     bool // copying copies from the guest
	piece   []byte
	bufs    [][]byte // of the guest, of a piece
}

// A ring is one, while it runs. Its processes are:
//
//   - the owner, who takes requests, does those that do not wait, and puts all back;
//   - workers, started as they are needed, up to one for each task: each takes a task
//     from the channel work, does it, and gives it to done, which has room for all.
//
// So nobody but the owner waits for another, and he only when as many requests are
// under way as there may be.
type ring struct {
	*device
	q     *vhost.Queue
	spare []*task
	made  int // tasks that there are
	busy  int // of those, with workers
	work  chan *task
	done  chan *task
	trust trust
	moved int // bytes of requests that were put back and not shown

	started int // workers
	workers sync.WaitGroup
}

// Bounds on what is put back before the driver is shown it.
const (
	batchBytes    = 256 << 10
	batchRequests = 16
)

// sharedBytes is how long a request is at least that is shared.
const sharedBytes = 128 << 10

func newRing(d *device, q *vhost.Queue) *ring {
	return &ring{device: d, q: q, work: make(chan *task), done: make(chan *task, d.cfg.Requests)}
}

// serve is the owner. It reads the ring and done, writes to workers, and blocks in
// the ring's wait, for workers when all tasks are with them, and in calls of the
// device that are not expected to wait.
func (r *ring) serve() {
	defer r.end() // also when the guest's memory is gone
	for r.q.Wait() {
		r.moved = 0
		for r.collect(); r.takeOne(); r.collect() {
		}
	}
	for r.busy > 0 {
		r.returned(<-r.done)
	}
	r.q.Flush()
}

// end waits until nobody touches the guest's memory any more.
func (r *ring) end() {
	for ; r.busy > 0; r.busy-- {
		<-r.done
	}
	close(r.work)
	r.workers.Wait()
}

// collect puts back what workers have done.
func (r *ring) collect() {
	for r.busy > 0 {
		select {
		case t := <-r.done:
			r.returned(t)
		default:
			return
		}
	}
}

func (r *ring) returned(t *task) {
	r.busy--
	r.put(t)
}

// task returns one that is free, and waits for it if all are with workers.
func (r *ring) task() *task {
	if len(r.spare) == 0 && r.made == r.cfg.Requests {
		r.q.Flush()
		r.returned(<-r.done)
	}
	if n := len(r.spare) - 1; n >= 0 {
		t := r.spare[n]
		r.spare = r.spare[:n]
		return t
	}
	r.made++
	t := new(task)
	t.copying = t.copy
	return t
}

// takeOne takes a request and has it done, or returns false when there is none.
func (r *ring) takeOne() bool {
	t := r.task()
	if !r.q.Next(&t.chain) {
		r.spare = append(r.spare, t)
		return false
	}
	t.fault, t.durable = nil, false
	var err error
	switch t.status, err = t.req.parse(&t.chain, r.readOnly); {
	case err != nil:
		r.count.broken.Add(1)
		r.q.Break(fmt.Errorf("%w: %d bytes to read, %d to write", err, t.chain.ReadLen, t.chain.WriteLen))
		r.put(t)
	case t.status != statusOK || !r.share(t) && r.doHere(t):
		r.put(t)
	default:
		r.give(t)
	}
	return true
}

// share says whether a worker is to do a request that the owner could do as well: copying
// it takes far longer than handing it on, and the next request waits already, so that
// several processors copy at once.
func (r *ring) share(t *task) bool {
	return t.req.length >= sharedBytes && (t.req.kind == typeIn || t.req.kind == typeOut) && r.q.Ready()
}

// put puts a request back.
func (r *ring) put(t *task) {
	n := 0
	switch {
	case t.fault != nil:
		r.q.Break(t.fault)
	case r.q.Err() == nil:
		t.req.status[0] = t.status
		// Whatever the status, it is the last byte, and the length is that up to it.
		n = t.chain.WriteLen
		r.tell(t)
	}
	r.q.Put(&t.chain, n)
	r.spare = append(r.spare, t)
	if r.moved += max(t.req.length, batchBytes/batchRequests); r.moved >= batchBytes {
		r.q.Flush()
		r.moved = 0
	}
}

// tell counts a request that is put back.
func (r *ring) tell(t *task) {
	r.count.requests.Add(1)
	switch {
	case t.status != statusOK:
		r.count.failed.Add(1)
	case t.req.kind == typeIn:
		r.count.bytesIn.Add(uint64(t.req.length))
	case t.req.kind == typeOut:
		r.count.bytesOut.Add(uint64(t.req.length))
	}
}

// doHere does a request if that does not wait, or is not likely to.
func (r *ring) doHere(t *task) bool {
	q := &t.req
	switch q.kind {
	case typeGetID:
		r.getID(q)
		return true
	case typeOut:
		if t.durable = r.durable(r.q.Features()); t.durable {
			return false
		}
	case typeIn:
		if !r.vectors || r.immediate {
			break
		}
		_, err := r.disk.ReadVector(q.data, q.off, true)
		if errors.Is(err, block.ErrWouldWait) {
			return false
		}
		if !errors.Is(err, block.ErrNotSupported) {
			r.settle(t, err)
			return true
		}
	default:
		return false
	}
	if r.immediate {
		r.do(t)
		return true
	}
	if !r.vectors || !r.trust.ask() {
		return false
	}
	began := time.Now()
	r.do(t)
	r.trust.learn(time.Since(began), q.length)
	return true
}

// getID writes the serial number: 20 bytes, with zeroes behind it.
func (r *ring) getID(q *request) { scatter(q.data, r.id[:min(q.length, idLen)]) }

// give gives a request to a worker.
func (r *ring) give(t *task) {
	r.busy++
	r.count.handed.Add(1)
	select {
	case r.work <- t: // to one that has nothing to do
		return
	default:
	}
	if r.started < r.cfg.Requests {
		r.started++
		r.workers.Go(func() { r.serveTasks(t) })
		return
	}
	r.work <- t // there is a worker for each task
}

// serveTasks is a worker. It owns the task that it has, reads work, writes done, and
// blocks in calls of the device.
func (r *ring) serveTasks(t *task) {
	r.count.workers.Add(1)
	defer r.count.workers.Add(-1)
	for ok := true; ok; t, ok = <-r.work {
		r.do(t)
		r.done <- t
		r.q.Wake()
	}
}

// do does a request on the device.
func (r *ring) do(t *task) {
	q := &t.req
	switch q.kind {
	case typeIn, typeOut:
		r.settle(t, r.transfer(t))
	case typeFlush:
		r.settle(t, r.disk.Sync())
	case typeDiscard, typeWriteZeroes:
		r.settle(t, r.change(q))
	}
}

// settle notes how a call of the device has ended.
func (r *ring) settle(t *task, err error) {
	if err != nil && r.vectors && errors.Is(err, unix.EFAULT) {
		err = fmt.Errorf("%w: %w", memory.ErrFault, err)
	}
	if errors.Is(err, memory.ErrFault) {
		t.fault = err
	}
	t.status = statusOf(err)
}

// transfer reads or writes: in the guest's memory, or through a buffer, in pieces.
func (r *ring) transfer(t *task) (err error) {
	q := &t.req
	if r.vectors {
		if q.kind == typeIn {
			_, err = r.disk.ReadVector(q.data, q.off, false)
		} else {
			_, err = r.disk.WriteVector(q.data, q.off, t.durable)
		}
		return err
	}
	size, err := r.disk.Size()
	if err != nil {
		return err
	}
	if q.off > size || int64(q.length) > size-q.off {
		return block.ErrRange // before a part of it is written
	}
	b := r.buffers.Get(min(q.length, maxPiece))
	defer r.buffers.Put(b)
	for at := 0; at < q.length; at += maxPiece {
		if err := r.transferPiece(t, b.Bytes[:min(q.length-at, maxPiece)], at); err != nil {
			return err
		}
	}
	return nil
}

// maxPiece is how long a buffer is at most.
const maxPiece = 1 << 20

func (r *ring) transferPiece(t *task, p []byte, at int) (err error) {
	q := &t.req
	t.bufs = t.bufs[:0]
	skip, left := at, len(p)
	for _, b := range q.data {
		if skip >= len(b) {
			skip -= len(b)
			continue
		}
		b = b[skip:]
		b = b[:min(len(b), left)]
		t.bufs = append(t.bufs, b)
		skip, left = 0, left-len(b)
		if left == 0 {
			break
		}
	}
	t.piece, t.out = p, q.kind == typeOut
	if t.out {
		if err := r.q.Memory().Guard(t.copying); err != nil {
			return err
		}
		if t.durable {
			_, err = r.disk.WriteAtFUA(p, q.off+int64(at))
		} else {
			_, err = r.disk.WriteAt(p, q.off+int64(at))
		}
		return err
	}
	if _, err := r.disk.ReadAt(p, q.off+int64(at)); err != nil {
		return err
	}
	return r.q.Memory().Guard(t.copying)
}

// copy copies a piece from or to the guest.
func (t *task) copy() {
	if t.out {
		gather(t.piece, t.bufs)
	} else {
		scatter(t.bufs, t.piece)
	}
}

// change discards or writes zeroes.
func (r *ring) change(q *request) error {
	for _, s := range q.spans {
		var err error
		if q.kind == typeDiscard {
			err = r.disk.Trim(s.off, s.length)
		} else {
			var flags block.ZeroFlags
			if s.flags&flagUnmap == 0 {
				flags |= block.ZeroNoHole
			}
			if r.durable(r.q.Features()) {
				flags |= block.ZeroFUA
			}
			err = r.disk.WriteZeroes(s.off, s.length, flags)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
