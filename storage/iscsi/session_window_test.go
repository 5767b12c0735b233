package iscsi

import (
	"bytes"
	"slices"
	"testing"

	"github.com/seed-012105e5/gonet/storage/scsi"
)

// 4.2.2.1: the window of CmdSN.
func TestCmdSN(t *testing.T) {
	ready := func(b *bench, sn, itt uint32) {
		h := newHeader(opCommand, flagFinal|attrSimple, itt)
		h.setLUN(lun1)
		h.setCmdSN(sn)
		b.give(h, nil)
	}
	b := newBench(t, nil)
	first := b.cmdSN
	ready(b, first-1, 2) // before the window
	ready(b, first+8, 3) // behind it
	b.wantNothing()
	ready(b, first+2, 4) // early
	ready(b, first+1, 5)
	ready(b, first+1, 6) // twice
	b.wantNothing()
	ready(b, first, 7)
	for i, itt := range []uint32{7, 5, 4} {
		o := b.wantStatus(itt, scsi.Good)
		if o.header.expCmdSN() != first+3 || o.header.statSN() != 1001+uint32(i) {
			t.Errorf("ExpCmdSN %d, StatSN %d", o.header.expCmdSN()-first, o.header.statSN())
		}
	}
	b.wantNothing()
	if n := b.counters.outsideWindow.Load(); n != 3 {
		t.Errorf("%d were outside", n)
	}
	b.wantEmpty()
}

// The window closes while commands are under way, also around the wrap of CmdSN, and
// never goes back.
func TestWindowCloses(t *testing.T) {
	b := newBench(t, func(l *loginTarget, _ *sessionLimits) { l.cmdSN = 1<<32 - 4 })
	b.cmdSN = 1<<32 - 4
	b.command(1, []byte{0}, 0, nil)
	b.out = nil
	b.hold = true
	last := b.s.maxCmdSN()
	for i := range uint32(8) {
		b.command(10+i, read10(0, 1), 512, nil)
		if b.s.maxCmdSN() != last {
			t.Fatalf("after %d the window ends at %d", i, b.s.maxCmdSN())
		}
	}
	b.command(30, read10(0, 1), 512, nil) // has no room
	if len(b.ready) != 8 || b.s.maxCmdSN() != b.s.expCmdSN-1 {
		t.Fatalf("%d are ready, the window has %d", len(b.ready), b.s.maxCmdSN()-b.s.expCmdSN+1)
	}
	b.hold = false
	b.run()
	for i := range uint32(8) {
		o := b.want(opDataIn)
		if last++; o.header.maxCmdSN() != last {
			t.Errorf("after %d responses MaxCmdSN is %d, want %d", i, o.header.maxCmdSN(), last)
		}
	}
	b.wantEmpty()
}

// 4.2.2.1: immediate commands need no room in the window, but are bounded.
func TestImmediateCommands(t *testing.T) {
	b := newBench(t, nil)
	b.hold = true
	for i := range uint32(3) {
		h := b.request(opCommand, flagFinal|flagRead|attrSimple, 10+i, true)
		h.setLUN(lun1)
		h.setWord(20, 512)
		copy(h.cdb(), read10(0, 1))
		b.give(h, nil)
	}
	b.wantReject(rejectImmediate)
	b.hold = false
	b.run()
	b.want(opDataIn)
	b.want(opDataIn)
	b.wantEmpty()
}

// 8.6 of SAM-4: what ORDERED and HEAD OF QUEUE may overtake.
func TestTaskAttributes(t *testing.T) {
	b := newBench(t, nil)
	b.hold = true
	give := func(itt uint32, attribute byte) {
		h := b.request(opCommand, flagFinal|flagRead|attribute, itt, false)
		h.setLUN(lun1)
		h.setWord(20, 512)
		copy(h.cdb(), read10(0, 1))
		b.give(h, nil)
	}
	order := func() (tags []uint32) {
		for _, t := range b.ready {
			tags = append(tags, t.itt)
		}
		return tags
	}
	give(10, attrSimple)
	give(11, attrUntagged)
	give(12, attrOrdered)
	give(13, attrSimple)
	give(14, attrHead)
	if got := order(); !slices.Equal(got, []uint32{10, 11, 14}) {
		t.Fatalf("%v may run", got)
	}
	done := func(want ...uint32) {
		t.Helper()
		b.run()
		if got := order(); !slices.Equal(got, want) {
			t.Fatalf("%v may run, want %v", got, want)
		}
	}
	done(12)
	done(13)
	done()
	b.wantEmpty()
}

// Memory is bounded: what has no room waits for it.
func TestMemory(t *testing.T) {
	b := newBench(t, func(l *loginTarget, limits *sessionLimits) {
		limits.memory = 128 << 10
		l.agreed[keyFirstBurst] = 4096
		l.peerRecv = 1 << 20
	})
	b.hold = true
	for i := range uint32(3) {
		b.command(10+i, read10(0, 128), 64<<10, nil)
	}
	if len(b.ready) != 2 || len(b.s.starved) != 1 {
		t.Fatalf("%d are ready, %d wait", len(b.ready), len(b.s.starved))
	}
	data := pattern(64 << 10)
	b.command(20, write10(0, 128), -64<<10, data[:4096])
	b.wantNothing()
	b.hold = false
	b.run()
	for range 3 {
		b.want(opDataIn)
	}
	r := b.want(opR2T).header
	if r.bufferOffset() != 4096 {
		t.Fatalf("R2T at %d", r.bufferOffset())
	}
	b.dataOut(20, r.ttt(), 0, 4096, data[4096:], true)
	b.wantStatus(20, scsi.Good)
	if !bytes.Equal(b.stored(0, 64<<10), data) {
		t.Error("other data are stored")
	}
	b.wantEmpty()
}
