package iscsi

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/internal/buffers"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// testUnit is a unit over memory.
func testUnit(t testing.TB, size int64) (*scsi.Unit, *block.Memory) {
	t.Helper()
	m := block.NewMemory(size)
	d, err := block.NewDisk(m)
	if err != nil {
		t.Fatal(err)
	}
	u, err := scsi.NewUnit(scsi.UnitConfig{Disk: d})
	if err != nil {
		t.Fatal(err)
	}
	return u, m
}

// A bench drives a session by hand: PDUs go in, tasks are executed when the test says,
// and what came out is kept.
type bench struct {
	t        testing.TB
	s        *session
	target   *scsi.Target
	memory   *block.Memory
	counters serverCounters
	cmdSN    uint32
	hold     bool // execute nothing
	ready    []*task
	out      []output
}

// newBench has a session with one unit, LUN 1, that has been told of its power on.
func newBench(t testing.TB, with func(l *loginTarget, limits *sessionLimits)) *bench {
	b := &bench{t: t, target: scsi.NewTarget(), cmdSN: 100}
	u, m := testUnit(t, 4<<20)
	b.memory = m
	if err := b.target.Add(1, u); err != nil {
		t.Fatal(err)
	}
	l := newTestLogin(&testKeeper{})
	l.target, l.cid, l.cmdSN, l.statSN, l.peerRecv, l.ownRecv = testTarget, 7, b.cmdSN, 1000, 8192, 262144
	l.agreed[keyInitialR2T] = 0
	l.agreed[keyMaxOutstandingR2T] = 1
	limits := sessionLimits{window: 8, immediates: 2, functions: 2, memory: 1 << 20}
	if with != nil {
		with(l, &limits)
	}
	b.s = newSession(l, limits)
	b.s.buffers, b.s.counters = &buffers.Pool{}, &b.counters
	b.s.targets = func(name string) ([]pair, bool) {
		var list []pair
		for i := range 300 {
			list = append(list, pair{"TargetName", fmt.Sprint("iqn.2026-01.org.example:", i)})
		}
		if name == testTarget {
			return []pair{{"TargetName", name}, {"TargetAddress", "192.0.2.1:3260,1"}}, true
		}
		return list, name == "All"
	}
	b.s.nexus = b.target.Attach(scsi.NexusConfig{Initiator: scsi.InitiatorPort{Name: testInitiator}})
	b.command(1, []byte{0}, 0, nil) // TEST UNIT READY takes the unit attention
	b.out = nil
	return b
}

// take does what a process does after a turn.
func (b *bench) take() {
	for len(b.s.ready) > 0 || len(b.s.out) > 0 {
		b.ready = append(b.ready, b.s.ready...)
		b.s.ready = nil
		out := b.s.out
		b.s.out = nil
		for _, o := range out {
			o.data = bytes.Clone(o.data)
			b.out = append(b.out, o)
		}
		for _, o := range out {
			if o.task != nil {
				b.s.recycle(o.task)
			}
		}
		if !b.hold {
			b.run()
		}
	}
}

// run executes what is ready.
func (b *bench) run() {
	ready := b.ready
	b.ready = nil
	for _, t := range ready {
		t.execute(context.Background())
		b.s.finish(t)
	}
	b.take()
}

// give gives the session a PDU.
func (b *bench) give(h header, data []byte) {
	b.t.Helper()
	h.setDataLength(len(data))
	if err := b.s.receive(&h, nil, data, false); err != nil {
		b.t.Fatal(err)
	}
	b.take()
}

// request makes a request with the next CmdSN, or an immediate one.
func (b *bench) request(o opcode, flags byte, itt uint32, immediate bool) header {
	h := newHeader(o, flags, itt)
	h.setTTT(reservedTag)
	h.setCmdSN(b.cmdSN)
	if immediate {
		h[0] |= 0x40
	} else {
		b.cmdSN++
	}
	return h
}

const lun1 = 1 << 48

// command gives a command of LUN 1 that reads (want > 0) or writes data of -want bytes
// whole with the command.
func (b *bench) command(itt uint32, cdb []byte, want int, data []byte) {
	b.t.Helper()
	flags := byte(flagFinal | attrSimple)
	switch {
	case want > 0:
		flags |= flagRead
	case want < 0:
		flags |= flagWrite
	}
	h := b.request(opCommand, flags, itt, false)
	h.setLUN(lun1)
	h.setWord(20, uint32(max(want, -want)))
	copy(h.cdb(), cdb)
	b.give(h, data)
}

func cdb10(op byte, lba, blocks int) []byte {
	c := make([]byte, 10)
	c[0] = op
	binary.BigEndian.PutUint32(c[2:], uint32(lba))
	binary.BigEndian.PutUint16(c[7:], uint16(blocks))
	return c
}

func read10(lba, blocks int) []byte  { return cdb10(0x28, lba, blocks) }
func write10(lba, blocks int) []byte { return cdb10(0x2a, lba, blocks) }

// dataOut gives data of a task.
func (b *bench) dataOut(itt, ttt, sn uint32, at int, data []byte, final bool) {
	b.t.Helper()
	h := newHeader(opDataOut, 0, itt)
	if final {
		h[1] = flagFinal
	}
	if ttt != reservedTag {
		h.setLUN(lun1)
	}
	h.setTTT(ttt)
	h.setDataSN(sn)
	h.setBufferOffset(uint32(at))
	b.give(h, data)
}

// want takes the next PDU that came out.
func (b *bench) want(o opcode) *output {
	b.t.Helper()
	if len(b.out) == 0 {
		b.t.Fatalf("nothing came, want %v", o)
	}
	out := &b.out[0]
	b.out = b.out[1:]
	if out.header.opcode() != o {
		b.t.Fatalf("%v came, want %v", out.header.opcode(), o)
	}
	return out
}

func (b *bench) wantNothing() {
	b.t.Helper()
	if len(b.out) > 0 {
		b.t.Fatalf("%v came, want nothing", b.out[0].header.opcode())
	}
}

// wantStatus takes a SCSI Response.
func (b *bench) wantStatus(itt uint32, status scsi.Status) *output {
	b.t.Helper()
	o := b.want(opResponse)
	if o.header.itt() != itt || scsi.Status(o.header.status()) != status {
		b.t.Fatalf("task %d has %v, want task %d with %v; sense %x", o.header.itt(), scsi.Status(o.header.status()), itt, status, o.data)
	}
	return o
}

// wantSense takes a SCSI Response with CHECK CONDITION.
func (b *bench) wantSense(itt uint32, key scsi.SenseKey, code scsi.Code) {
	b.t.Helper()
	o := b.wantStatus(itt, scsi.CheckCondition)
	if int(binary.BigEndian.Uint16(o.data)) != len(o.data)-2 {
		b.t.Fatalf("11.4.7: SenseLength of %x", o.data)
	}
	sense, ok := scsi.ParseSense(o.data[2:])
	if !ok || sense.Key != key || sense.Code != code {
		b.t.Fatalf("sense %v, want %v %v", sense, key, code)
	}
}

func (b *bench) wantReject(reason byte) {
	b.t.Helper()
	if o := b.want(opReject); o.header[2] != reason || len(o.data) != headerSize {
		b.t.Fatalf("reject %d with %d bytes, want reason %d", o.header[2], len(o.data), reason)
	}
}

// wantEmpty says that nothing of any task is left.
func (b *bench) wantEmpty() {
	b.t.Helper()
	s := b.s
	if len(s.tasks) != 0 || s.active != 0 || s.immediates != 0 || s.ordered != 0 || s.blocked != 0 || s.memory != 0 ||
		len(s.starved) != 0 || len(s.functions) != 0 || len(s.held) != 0 {
		b.t.Fatalf("tasks %d, active %d, immediate %d, ordered %d, blocked %d, memory %d, starved %d, functions %d, held %d",
			len(s.tasks), s.active, s.immediates, s.ordered, s.blocked, s.memory, len(s.starved), len(s.functions), len(s.held))
	}
	if s.maxCmdSN() != s.expCmdSN+uint32(s.limits.window)-1 {
		b.t.Fatalf("the window is %d", s.maxCmdSN()-s.expCmdSN+1)
	}
}

func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*7 + i>>8)
	}
	return p
}

func (b *bench) stored(at, n int) []byte {
	p := make([]byte, n)
	if _, err := b.memory.ReadAt(p, int64(at)); err != nil {
		b.t.Fatal(err)
	}
	return p
}
