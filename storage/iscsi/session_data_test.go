package iscsi

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/seed-012105e5/gonet/storage/scsi"
)

// 11.7: data come in PDUs as the initiator takes them, in bursts, the last with the
// status.
func TestDataIn(t *testing.T) {
	b := newBench(t, func(l *loginTarget, _ *sessionLimits) { l.agreed[keyMaxBurst] = 20000; l.agreed[keyFirstBurst] = 512 })
	data := pattern(40960)
	b.memory.WriteAt(data, 0)
	b.command(2, read10(0, 80), 40960, nil)
	var got []byte
	finals := []int{}
	for sn := uint32(0); len(b.out) > 0; sn++ {
		o := b.want(opDataIn)
		h := o.header
		if h.dataSN() != sn || int(h.bufferOffset()) != len(got) || h.itt() != 2 || h.dataLength() > 8192 || h.ttt() != reservedTag {
			t.Fatalf("DataSN %d at %d with %d bytes", h.dataSN(), h.bufferOffset(), h.dataLength())
		}
		got = append(got, o.data...)
		if h.final() {
			finals = append(finals, len(got))
		}
		if last := len(got) == len(data); last != (h.flags()&flagStatus != 0) || last && (h.statSN() != 1001 || h.status() != 0) {
			t.Errorf("flags %#x, StatSN %d after %d bytes", h.flags(), h.statSN(), len(got))
		}
	}
	if !bytes.Equal(got, data) || !slices.Equal(finals, []int{20000, 40000, 40960}) {
		t.Errorf("%d bytes, final after %v", len(got), finals)
	}
	b.wantEmpty()
}

// 11.4.5: residuals, of reads and writes that are longer or shorter than expected.
func TestResiduals(t *testing.T) {
	for _, c := range []struct {
		name   string
		cdb    []byte
		want   int
		flag   byte
		count  uint32
		stored int // bytes of a write
	}{
		{"read", read10(0, 2), 1024, 0, 0, 0},
		{"read of less", read10(0, 1), 1024, flagUnderflow, 512, 0},
		{"read of more", read10(0, 4), 1024, flagOverflow, 1024, 0},
		{"read of nothing", read10(0, 0), 1024, flagUnderflow, 1024, 0},
		{"read that expects nothing", read10(0, 2), 0, flagOverflow, 1024, 0},
		{"write", write10(0, 2), -1024, 0, 0, 1024},
		{"write of less", write10(0, 1), -1024, flagUnderflow, 512, 512},
		{"write of more", write10(0, 4), -1024, flagOverflow, 1024, 1024},
		{"no data", []byte{0}, -512, flagUnderflow, 512, 0},
		{"a failure", read10(1<<20, 1), 512, flagUnderflow, 512, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, nil)
			var data []byte
			if c.want < 0 {
				data = bytes.Repeat([]byte{0xee}, -c.want)
			}
			b.command(2, c.cdb, c.want, data)
			last := b.out[len(b.out)-1].header
			if last.flags()&(flagOverflow|flagUnderflow) != c.flag || last.residual() != c.count {
				t.Errorf("%v has flags %#x, residual %d, want %#x %d", last.opcode(), last.flags(), last.residual(), c.flag, c.count)
			}
			if got := bytes.Count(b.stored(0, 4096), []byte{0xee}); got != c.stored {
				t.Errorf("%d bytes are stored, want %d", got, c.stored)
			}
			b.wantEmpty()
		})
	}
}

// 11.7 and 11.8: data go out with the command, unasked, and as they are asked for, in
// all mixtures.
func TestDataOut(t *testing.T) {
	const total = 40960
	for _, immediate := range []int{0, 512, 4096} {
		for _, unsolicited := range []int{0, 512, 4096} {
			for _, r2ts := range []uint32{1, 3} {
				for _, burst := range []uint32{8192, 20480, 1 << 20} {
					t.Run(fmt.Sprint(immediate, unsolicited, r2ts, burst), func(t *testing.T) {
						b := newBench(t, func(l *loginTarget, _ *sessionLimits) {
							l.agreed[keyMaxBurst], l.agreed[keyFirstBurst], l.agreed[keyMaxOutstandingR2T] = burst, 8192, r2ts
						})
						data := pattern(total)
						h := b.request(opCommand, flagWrite|attrSimple, 2, false)
						if unsolicited == 0 {
							h[1] |= flagFinal
						}
						h.setLUN(lun1)
						h.setWord(20, total)
						copy(h.cdb(), write10(8, total/512))
						b.give(h, data[:immediate])
						sent := immediate
						for sn := uint32(0); unsolicited > 0 && sn < 2; sn++ {
							n := unsolicited / 2
							b.dataOut(2, reservedTag, sn, sent, data[sent:sent+n], sn == 1)
							sent += n
						}
						var most int
						for sn := uint32(0); len(b.out) > 0 && b.out[0].header.opcode() == opR2T; sn++ {
							most = max(most, len(b.out))
							r := b.want(opR2T).header
							if r.dataSN() != sn || int(r.bufferOffset()) != sent || r.itt() != 2 || r.lun() != lun1 || r.statSN() != 1001 ||
								int(r.desiredLength()) != min(int(burst), total-sent) {
								t.Fatalf("R2TSN %d, %d bytes at %d", r.dataSN(), r.desiredLength(), r.bufferOffset())
							}
							end := sent + int(r.desiredLength())
							for dsn := uint32(0); sent < end; dsn++ {
								n := min(5000, end-sent)
								b.dataOut(2, r.ttt(), dsn, sent, data[sent:sent+n], sent+n == end)
								sent += n
							}
						}
						if most > int(r2ts) {
							t.Errorf("%d R2Ts at once", most)
						}
						b.wantStatus(2, scsi.Good)
						if !bytes.Equal(b.stored(8*512, total), data) {
							t.Error("other data are stored")
						}
						b.wantEmpty()
					})
				}
			}
		}
	}
}

// 7.8 and 11.4.7.2: what is wrong with data makes the task fail when the sequence has
// ended, and nothing is written.
func TestBrokenData(t *testing.T) {
	part := pattern(512)
	unsolicited := func(b *bench, itt uint32) {
		h := b.request(opCommand, flagWrite|attrSimple, itt, false)
		h.setLUN(lun1)
		h.setWord(20, 1024)
		copy(h.cdb(), write10(0, 2))
		b.give(h, nil)
	}
	solicited := func(b *bench) uint32 {
		b.command(2, write10(0, 2), -1024, nil)
		return b.want(opR2T).header.ttt()
	}
	for _, c := range []struct {
		name string
		with func(l *loginTarget, limits *sessionLimits)
		do   func(b *bench)
		code scsi.Code
	}{
		{"7.9: DataSN of unsolicited data", nil, func(b *bench) {
			unsolicited(b, 2)
			b.dataOut(2, reservedTag, 1, 0, part, false)
			b.dataOut(2, reservedTag, 0, 512, part, true)
		}, codeProtocolCRC},
		{"7.9: DataSN of solicited data", nil, func(b *bench) {
			ttt := solicited(b)
			b.dataOut(2, ttt, 27, 0, part, false)
			b.dataOut(2, ttt, 1, 512, part, true)
		}, codeProtocolCRC},
		{"13.18: offset out of order", nil, func(b *bench) {
			ttt := solicited(b)
			b.dataOut(2, ttt, 0, 512, part, false)
			b.dataOut(2, ttt, 1, 0, part, true)
		}, codeProtocolCRC},
		{"11.7.1: F too early", nil, func(b *bench) { b.dataOut(2, solicited(b), 0, 0, part, true) }, codeDataAmount},
		{"11.7.1: no F", nil, func(b *bench) {
			ttt := solicited(b)
			b.dataOut(2, ttt, 0, 0, part, false)
			b.dataOut(2, ttt, 1, 512, part, false)
		}, codeProtocolCRC},
		{"11.8.4: more than was asked for", nil, func(b *bench) {
			ttt := solicited(b)
			b.dataOut(2, ttt, 0, 0, pattern(2048), true)
		}, codeProtocolCRC},
		{"13.14: more than FirstBurstLength", func(l *loginTarget, _ *sessionLimits) { l.agreed[keyFirstBurst] = 512 }, func(b *bench) {
			unsolicited(b, 2)
			b.dataOut(2, reservedTag, 0, 0, part, false)
			b.dataOut(2, reservedTag, 1, 512, part, true)
		}, codeProtocolCRC},
		{"13.14: immediate data beyond it", func(l *loginTarget, _ *sessionLimits) { l.agreed[keyFirstBurst] = 512 }, func(b *bench) {
			b.command(2, write10(0, 2), -1024, pattern(1024))
		}, codeUnexpectedData},
		{"13.11: immediate data that were declined", func(l *loginTarget, _ *sessionLimits) { l.agreed[keyImmediateData] = 0 }, func(b *bench) {
			b.command(2, write10(0, 1), -512, part)
		}, codeUnexpectedData},
		{"13.10: unsolicited data that were declined", func(l *loginTarget, _ *sessionLimits) { l.agreed[keyInitialR2T] = 1 }, func(b *bench) {
			unsolicited(b, 2)
			b.dataOut(2, reservedTag, 0, 0, part, true)
		}, codeUnexpectedData},
		{"11.3: data of a command that has none", nil, func(b *bench) { b.command(2, read10(0, 1), 512, part) }, codeUnexpectedData},
		{"7.8: the digest of data", nil, func(b *bench) {
			h := newHeader(opDataOut, flagFinal, 2)
			h.setLUN(lun1)
			h.setTTT(solicited(b))
			h.setDataLength(1024)
			b.s.receive(&h, nil, pattern(1024), true)
			b.take()
			b.wantReject(rejectDigest)
		}, codeProtocolCRC},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, c.with)
			c.do(b)
			b.wantSense(2, scsi.AbortedCommand, c.code)
			b.wantNothing()
			if !bytes.Equal(b.stored(0, 1024), make([]byte, 1024)) {
				t.Error("something is written")
			}
			b.wantEmpty()
		})
	}
}

// A command that fails before its data have come is answered after the last of them.
func TestFailureWaitsForData(t *testing.T) {
	b := newBench(t, nil)
	h := b.request(opCommand, flagWrite|attrSimple, 2, false)
	h.setLUN(lun1)
	h.setWord(20, 1024)
	copy(h.cdb(), write10(1<<20, 2))
	b.give(h, nil)
	b.dataOut(2, reservedTag, 0, 0, pattern(512), false)
	b.wantNothing()
	b.dataOut(2, reservedTag, 1, 512, pattern(512), true)
	b.wantSense(2, scsi.IllegalRequest, scsi.CodeLBAOutOfRange)
	b.dataOut(2, reservedTag, 2, 512, pattern(512), true) // too late, of nobody
	b.wantNothing()
	b.wantEmpty()
}
