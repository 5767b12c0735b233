package iscsi

import (
	"net"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
)

// A command takes no memory of the target in the steady state: reads, writes whose data
// come with them, and writes whose data are asked for.
func TestAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	address := loopback(t, &Server{}, Target{}, block.NewMemory(4<<20))
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	h := say{toFull, names + " InitialR2T=Yes MaxRecvDataSegmentLength=65536", nil}.header()
	if _, err := conn.Write(appendPDU(nil, &h, say{toFull, names + " InitialR2T=Yes MaxRecvDataSegmentLength=65536", nil}.bytes(), digests{})); err != nil {
		t.Fatal(err)
	}
	r := &reader{in: conn, maxData: 1 << 20}
	data := make([]byte, 1<<20)
	next := func() {
		if _, err := r.header(&h); err != nil {
			t.Fatal(err)
		}
		if err := r.data(data[:h.dataLength()]); err != nil {
			t.Fatal(err)
		}
	}
	next()
	sn := uint32(10)
	buf := make([]byte, 0, 1<<20)
	command := func(flags byte, cdb []byte, length, immediate int) {
		c := newHeader(opCommand, flagFinal|attrSimple|flags, 77)
		c.setLUN(lun1)
		c.setWord(20, uint32(length))
		c.setCmdSN(sn)
		copy(c.cdb(), cdb)
		sn++
		if _, err := conn.Write(appendPDU(buf, &c, data[:immediate], digests{})); err != nil {
			t.Fatal(err)
		}
		for next(); h.opcode() != opResponse && h.flags()&flagStatus == 0; next() {
			if h.opcode() == opR2T {
				d := newHeader(opDataOut, flagFinal, 77)
				d.setLUN(lun1)
				d.setTTT(h.ttt())
				d.setBufferOffset(h.bufferOffset())
				if _, err := conn.Write(appendPDU(buf, &d, data[:h.desiredLength()], digests{})); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	command(0, []byte{0}, 0, 0)
	read, write, large := read10(8, 8), write10(8, 8), write10(0, 256)
	for name, f := range map[string]func(){
		"read":            func() { command(flagRead, read, 4096, 0) },
		"write":           func() { command(flagWrite, write, 4096, 4096) },
		"solicited write": func() { command(flagWrite, large, 131072, 0) },
	} {
		for range 100 {
			f()
		}
		if n := testing.AllocsPerRun(300, f); n >= 1 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if h.status() != 0 {
			t.Errorf("%s: status %d", name, h.status())
		}
	}
}
