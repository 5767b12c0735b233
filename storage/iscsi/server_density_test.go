package iscsi

import (
	"fmt"
	"net"
	"runtime"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// Bounds of what things cost that are there and do nothing, in bytes. Measured on amd64:
// 2.3 KB and 22 KB. A buffer that is not given back is noticed.
const (
	mostForUnit    = 3 << 10  // a target with one unit, whose device costs nothing
	mostForSession = 30 << 10 // with both ends of its connection, and some 14 KB of stacks
)

// emptyDevice costs nothing itself.
type emptyDevice int64

func (emptyDevice) ReadAt(p []byte, _ int64) (int, error)  { return len(p), nil }
func (emptyDevice) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (d emptyDevice) Size() (int64, error)                 { return int64(d), nil }
func (emptyDevice) Sync() error                            { return nil }

// memoryInUse is what the heap and the stacks take when all that can go has gone.
func memoryInUse() int64 {
	for range 3 { // pools are emptied by the second
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// TestDensity has a process serve a thousand targets, and measures what one takes, and
// what a session takes that has worked and now rests.
func TestDensity(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes memory too")
	}
	const targets, sessions = 1000, 200
	server := &Server{}
	before := memoryInUse()
	for i := range targets {
		disk, err := block.NewDisk(emptyDevice(1 << 20))
		if err != nil {
			t.Fatal(err)
		}
		unit, err := scsi.NewUnit(scsi.UnitConfig{Disk: disk, Serial: fmt.Sprint(i)})
		if err != nil {
			t.Fatal(err)
		}
		units, err := server.Add(Target{Name: fmt.Sprintf("iqn.2026-01.org.example:d%d", i)})
		if err != nil {
			t.Fatal(err)
		}
		if err := units.Add(1, unit); err != nil {
			t.Fatal(err)
		}
	}
	each := (memoryInUse() - before) / targets
	t.Logf("a target with a unit: %d bytes", each)
	if each > mostForUnit {
		t.Errorf("a target with a unit takes %d bytes, more than %d", each, mostForUnit)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l)
	defer server.Close()
	work := func(i int) net.Conn {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		u := newRawUser(t, conn, fmt.Sprintf("iqn.2026-01.org.example:d%d", i))
		for range 2 {
			u.command(0, []byte{0}, 0, 0) // TEST UNIT READY takes the unit attention
			u.command(flagRead, read10(0, 128), 64<<10, 0)
			u.command(flagWrite, write10(0, 8), 4096, 4096)
			u.command(flagWrite, write10(0, 128), 64<<10, 0)
		}
		return conn
	}
	work(sessions).Close()
	before = memoryInUse()
	for i := range sessions {
		defer work(i).Close()
	}
	each = (memoryInUse() - before) / sessions
	t.Logf("a session at rest: %d bytes", each)
	if each > mostForSession {
		t.Errorf("a session at rest takes %d bytes, more than %d", each, mostForSession)
	}
	runtime.KeepAlive(server)
}
