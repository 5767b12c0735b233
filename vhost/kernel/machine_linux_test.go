package kernel_test

import (
	"bytes"
	"fmt"
	"time"

	"github.com/seed-012105e5/gonet/vhost"
	"github.com/seed-012105e5/gonet/vhost/memory"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// A machine is a driver's: memory of this process, and rings in it.
type machine struct {
	table *memory.Table
	user  uint64
	rings int
}

const (
	base     = 0x10_0000 // of the guest's addresses
	ringRoom = 0x2_0000
	dataAt   = 0x4000 // in the room of a ring
)

func newMachine() (*machine, error) {
	m, err := memory.Own("driver", base, 8*ringRoom)
	if err != nil {
		return nil, err
	}
	defer m.Release()
	t, err := memory.NewTable(m)
	return &machine{table: t, user: m.User}, err
}

func (m *machine) close() { m.table.Release() }

// A ring is the driver's side of one.
type ring struct {
	*virtqueue.Driver
	m          *machine
	at         uint64 // of its data, in the guest
	config     virtqueue.Config
	kick, call *vhost.Event
}

// A starter is a device of the kernel's.
type starter interface {
	StartRing(i int, c vhost.RingConfig) error
}

// addRing makes ring i of a device.
func (m *machine) addRing(d starter, i, size int, features uint64) (*ring, error) {
	at := uint64(m.rings * ringRoom)
	m.rings++
	r := &ring{m: m, at: base + at + dataAt}
	r.config = virtqueue.Config{Size: size, Features: features, Descriptors: m.user + at, Driver: m.user + at + 0x1000, Device: m.user + at + 0x2000}
	if features&virtqueue.FeaturePacked != 0 {
		r.config.Base = virtqueue.NewPackedBase
	}
	var err error
	if r.Driver, err = virtqueue.NewDriver(m.table, r.config); err != nil {
		return nil, err
	}
	for _, e := range []**vhost.Event{&r.kick, &r.call} {
		if *e, err = vhost.NewEvent(); err != nil {
			return nil, err
		}
	}
	return r, d.StartRing(i, vhost.RingConfig{Config: r.config, Kick: r.kick.FD(), Call: r.call.FD()})
}

// data is n bytes of the ring's room.
func (r *ring) data(offset, n int) []byte {
	b, err := r.m.table.Slice(r.at+uint64(offset), uint64(n))
	if err != nil || len(b) != n {
		panic(fmt.Sprint("the test uses memory that it has not: ", err))
	}
	return b
}

// span is the same for the device.
func (r *ring) span(offset, n int) virtqueue.Span {
	return virtqueue.Span{Addr: r.at + uint64(offset), Len: uint32(n)}
}

// offer makes a chain available.
func (r *ring) offer(readable int, spans ...virtqueue.Span) error {
	if _, err := r.Add(spans, readable); err != nil {
		return err
	}
	if r.Publish() {
		r.kick.Signal()
	}
	return nil
}

// take waits for a chain to come back, and returns its name and how much was written.
func (r *ring) take() (id, n int, err error) {
	for {
		id, n, ok, err := r.Take()
		if ok || err != nil {
			return int(id), n, err
		}
		if r.Arm() {
			continue
		}
		r.call.SetDeadline(time.Now().Add(time.Minute))
		if err := r.call.Wait(); err != nil {
			return 0, 0, fmt.Errorf("no chain came back: %w", err)
		}
	}
}

// do has the device read parts of one chain and write to others, and returns those.
func (r *ring) do(read [][]byte, write ...int) ([][]byte, error) {
	var spans []virtqueue.Span
	var written [][]byte
	at := 0
	for _, p := range read {
		copy(r.data(at, len(p)), p)
		spans = append(spans, r.span(at, len(p)))
		at += (len(p) + 15) &^ 15
	}
	for _, n := range write {
		b := r.data(at, n)
		clear(b)
		spans, written = append(spans, r.span(at, n)), append(written, b)
		at += (n + 15) &^ 15
	}
	if err := r.offer(len(read), spans...); err != nil {
		return nil, err
	}
	if _, _, err := r.take(); err != nil {
		return nil, err
	}
	for i := range written {
		written[i] = bytes.Clone(written[i])
	}
	return written, nil
}

// pattern is n bytes that no other place has.
func pattern(n int, seed byte) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i) ^ byte(i>>8)*7 ^ seed
	}
	return p
}
