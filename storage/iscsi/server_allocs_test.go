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
	u := newRawUser(t, conn, testTarget)
	command := u.command
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
		if u.h.status() != 0 {
			t.Errorf("%s: status %d", name, u.h.status())
		}
	}
}

// A rawUser is an initiator that allocates nothing.
type rawUser struct {
	t    testing.TB
	conn net.Conn
	r    *reader
	h    header // came last
	sn   uint32
	data []byte
	buf  []byte
}

// newRawUser logs in to the target.
func newRawUser(t testing.TB, conn net.Conn, target string) *rawUser {
	t.Helper()
	u := &rawUser{t: t, conn: conn, r: &reader{in: conn, maxData: 1 << 20}, sn: 10, data: make([]byte, 128<<10), buf: make([]byte, 0, 130<<10)}
	login := say{toFull, "InitiatorName=" + testInitiator + " TargetName=" + target + " InitialR2T=Yes MaxRecvDataSegmentLength=65536", nil}
	u.h = login.header()
	u.send(&u.h, login.bytes())
	u.next()
	return u
}

func (u *rawUser) send(h *header, data []byte) {
	u.t.Helper()
	if _, err := u.conn.Write(appendPDU(u.buf, h, data, digests{})); err != nil {
		u.t.Fatal(err)
	}
}

// next reads a PDU.
func (u *rawUser) next() {
	u.t.Helper()
	if _, err := u.r.header(&u.h); err != nil {
		u.t.Fatal(err)
	}
	if err := u.r.data(u.data[:u.h.dataLength()]); err != nil {
		u.t.Fatal(err)
	}
}

// command does a command of LUN 1 on length bytes, of which some come with it.
func (u *rawUser) command(flags byte, cdb []byte, length, immediate int) {
	u.t.Helper()
	c := newHeader(opCommand, flagFinal|attrSimple|flags, 77)
	c.setLUN(lun1)
	c.setWord(20, uint32(length))
	c.setCmdSN(u.sn)
	copy(c.cdb(), cdb)
	u.sn++
	u.send(&c, u.data[:immediate])
	for u.next(); u.h.opcode() != opResponse && u.h.flags()&flagStatus == 0; u.next() {
		if u.h.opcode() == opR2T {
			d := newHeader(opDataOut, flagFinal, 77)
			d.setLUN(lun1)
			d.setTTT(u.h.ttt())
			d.setBufferOffset(u.h.bufferOffset())
			u.send(&d, u.data[:u.h.desiredLength()])
		}
	}
}
