package usbip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/filter"
	"github.com/seed-012105e5/gonet/storage/scsi"
	"github.com/seed-012105e5/gonet/storage/usb"
)

func newDevice(t testing.TB, dev block.Device) *usb.Device {
	t.Helper()
	disk, err := block.NewDisk(dev)
	if err != nil {
		t.Fatal(err)
	}
	unit, err := scsi.NewUnit(scsi.UnitConfig{Disk: disk})
	if err != nil {
		t.Fatal(err)
	}
	units := scsi.NewTarget()
	if err := units.Add(0, unit); err != nil {
		t.Fatal(err)
	}
	d, err := usb.NewDevice(usb.Config{Units: units})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A host is a peer that a test scripts.
type host struct {
	testing.TB
	net.Conn
	sequence uint32
}

// connect connects to the server.
func connect(t testing.TB, s *Server) *host {
	a, b := net.Pipe()
	go s.ServeConn(b)
	t.Cleanup(func() { a.Close() })
	return &host{TB: t, Conn: a}
}

func (h *host) send(p []byte) {
	h.Helper()
	if _, err := h.Write(p); err != nil {
		h.Fatal(err)
	}
}

func (h *host) read(n int) []byte {
	h.Helper()
	p := make([]byte, n)
	if _, err := io.ReadFull(h, p); err != nil {
		h.Fatal(err)
	}
	return p
}

// attach imports a device, and returns the status of the operation.
func (h *host) attach(busID string) uint32 {
	h.Helper()
	p := appendOp(nil, opImportRequest, 0)
	at := len(p)
	p = append(p, make([]byte, busIDLength)...)
	copy(p[at:], busID)
	h.send(p)
	p = h.read(opLength)
	status := binary.BigEndian.Uint32(p[4:])
	if status == opOK {
		d := h.read(deviceLength)
		if got := string(bytes.TrimRight(d[256:288], "\x00")); got != busID {
			h.Errorf("bus ID %q", got)
		}
		if speed := binary.BigEndian.Uint32(d[296:]); speed != 3 {
			h.Errorf("speed %d", speed)
		}
	}
	return status
}

// submitHeader is USBIP_CMD_SUBMIT.
func submitHeader(sequence uint32, in bool, endpoint byte, length int, setup [8]byte) []byte {
	p := make([]byte, headerLength)
	binary.BigEndian.PutUint32(p[0:], commandSubmit)
	binary.BigEndian.PutUint32(p[4:], sequence)
	binary.BigEndian.PutUint32(p[8:], 1<<16|1)
	if in {
		p[15] = 1
	}
	p[19] = endpoint
	binary.BigEndian.PutUint32(p[24:], uint32(length))
	binary.BigEndian.PutUint32(p[32:], 0xffffffff)
	copy(p[40:], setup[:])
	return p
}

func (h *host) submit(in bool, endpoint byte, length int, data []byte, setup [8]byte) uint32 {
	h.sequence++
	h.send(append(submitHeader(h.sequence, in, endpoint, length, setup), data...))
	return h.sequence
}

// answer reads the next answer, and sees what it is.
func (h *host) answer(command, sequence uint32, in bool) (status int32, data []byte) {
	h.Helper()
	p := h.read(headerLength)
	if c, s := binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:]); c != command || s != sequence {
		h.Fatalf("answer %d to %d, want %d to %d", c, s, command, sequence)
	}
	status = int32(binary.BigEndian.Uint32(p[20:]))
	if in {
		data = h.read(int(binary.BigEndian.Uint32(p[24:])))
	}
	return status, data
}

// do makes a transfer and waits for its end.
func (h *host) do(in bool, endpoint byte, length int, data []byte, setup ...byte) (int32, []byte) {
	h.Helper()
	var s [8]byte
	copy(s[:], setup)
	return h.answer(answerSubmit, h.submit(in, endpoint, length, data, s), in)
}

// configure has the device ready for commands.
func (h *host) configure() {
	h.Helper()
	if s, _ := h.do(false, 0, 0, nil, 0, 9, 1); s != 0 {
		h.Fatalf("SET CONFIGURATION: %d", s)
	}
	for range 3 { // unit attentions
		h.command(0, false, nil, 0, 0, 0, 0, 0, 0)
	}
}

// cbw is a command block wrapper.
func cbw(length int, in bool, cdb ...byte) []byte {
	p := make([]byte, 31)
	copy(p, "USBC")
	binary.LittleEndian.PutUint32(p[8:], uint32(length))
	if in {
		p[12] = 0x80
	}
	p[14] = byte(len(cdb))
	copy(p[15:], cdb)
	return p
}

// command does a SCSI command by Bulk-Only Transport.
func (h *host) command(length int, in bool, out []byte, cdb ...byte) (status byte, data []byte) {
	h.Helper()
	h.do(false, 2, 31, cbw(length, in, cdb...))
	if length > 0 {
		_, data = h.do(in, map[bool]byte{true: 1, false: 2}[in], length, out)
	}
	_, csw := h.do(true, 1, 13, nil)
	return csw[12], data
}

// bubble runs f in virtual time, with a server that is closed then.
func bubble(t *testing.T, f func(t *testing.T, s *Server)) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{ErrorLog: func(_ net.Addr, err error) { t.Log(err) }}
		defer s.Close()
		f(t, s)
	})
}

// TestHost lists, imports and uses a device, by two hosts.
func TestHost(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		d := newDevice(t, block.NewMemory(1<<20))
		for _, id := range []string{"1-2", "1-1"} {
			if err := s.Add(id, d); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range []string{"1-1", "", "a/b", strings.Repeat("x", 32)} {
			if s.Add(id, d) == nil {
				t.Errorf("%q was added", id)
			}
		}
		h := connect(t, s)
		h.send(appendOp(nil, opListRequest, 0))
		list, err := io.ReadAll(h)
		if err != nil || len(list) != 12+2*(deviceLength+4) || list[11] != 2 || !bytes.HasPrefix(list[12+256:], []byte("1-1\x00")) {
			t.Errorf("list of %d bytes, %v", len(list), err)
		}
		if status := connect(t, s).attach("9-9"); status != opNoDevice {
			t.Errorf("of an unknown device: %d", status)
		}
		h = connect(t, s)
		if status := h.attach("1-1"); status != opOK {
			t.Fatal(status)
		}
		if status := connect(t, s).attach("1-1"); status != opBusy {
			t.Errorf("of a device in use: %d", status)
		}
		if e := s.Exports(); len(e) != 2 || e[0].Host == nil || e[1].Host != nil {
			t.Errorf("%v", e)
		}
		if _, p := h.do(true, 0, 64, nil, 0x80, 6, 0, 1, 0, 0, 64, 0); len(p) != 18 {
			t.Errorf("device descriptor % x", p)
		}
		if s, _ := h.do(true, 0, 64, nil, 0x80, 6, 0, 99, 0, 0, 64, 0); s != -int32(syscall.EPIPE) {
			t.Errorf("unknown descriptor: %d", s)
		}
		h.configure()
		text := bytes.Repeat([]byte("text"), 1024)
		if status, _ := h.command(4096, false, text, 0x2a, 0, 0, 0, 0, 1, 0, 0, 8, 0); status != 0 {
			t.Error(status)
		}
		if status, p := h.command(4096, true, nil, 0x28, 0, 0, 0, 0, 1, 0, 0, 8, 0); status != 0 || !bytes.Equal(p, text) {
			t.Errorf("%d, %d bytes", status, len(p))
		}
		// A command that fails has its data filled up with zeroes.
		if status, p := h.command(4096, true, nil, 0x28, 0, 9, 0, 0, 1, 0, 0, 8, 0); status != 1 || !bytes.Equal(p, make([]byte, 4096)) {
			t.Errorf("%d, %d bytes", status, len(p))
		}
		h.Close()
		synctest.Wait()
		if d.Attached() {
			t.Error("the device is attached still")
		}
		if status := connect(t, s).attach("1-2"); status != opOK {
			t.Errorf("attached again: %d", status)
		}
	})
}

// TestUnlink unlinks a transfer that waits, and one that has ended.
func TestUnlink(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		s.Add("1-1", newDevice(t, block.NewMemory(1<<20)))
		h := connect(t, s)
		h.attach("1-1")
		h.configure()
		unlink := func(sequence uint32, want int32) {
			t.Helper()
			h.sequence++
			p := make([]byte, headerLength)
			binary.BigEndian.PutUint32(p[0:], commandUnlink)
			binary.BigEndian.PutUint32(p[4:], h.sequence)
			binary.BigEndian.PutUint32(p[20:], sequence)
			h.send(p)
			if got, _ := h.answer(answerUnlink, h.sequence, false); got != want {
				t.Errorf("status %d, want %d", got, want)
			}
		}
		waits := h.submit(true, 1, 13, nil, [8]byte{})
		unlink(waits, -int32(syscall.ECONNRESET))
		unlink(waits, 0)
		h.command(0, false, nil, 0, 0, 0, 0, 0, 0)
	})
}

// TestUnplug unplugs a device while commands are under way, and plugs it in again.
func TestUnplug(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		slow, err := filter.Delay(newMemory(t), filter.Read, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		d := newDevice(t, slow)
		s.Add("1-1", d)
		for _, unplug := range []func(){
			func() { s.Unplug("1-1") },
			func() { s.Remove("1-1") },
		} {
			h := connect(t, s)
			if status := h.attach("1-1"); status != opOK {
				t.Fatal(status)
			}
			h.configure()
			h.do(false, 2, 31, cbw(512, true, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0))
			h.submit(true, 1, 512, nil, [8]byte{})
			synctest.Wait()
			began := time.Now()
			unplug()
			if d.Attached() {
				t.Error("attached still")
			}
			if took := time.Since(began); took > time.Minute {
				t.Errorf("it took %v", took)
			}
			if _, err := h.Read(make([]byte, 1)); err == nil {
				t.Error("the connection is open still")
			}
		}
		if status := connect(t, s).attach("1-1"); status != opNoDevice {
			t.Errorf("after Remove: %d", status)
		}
		for _, err := range []error{s.Remove("1-1"), s.Unplug("1-1")} {
			if err == nil {
				t.Error("of no device")
			}
		}
		s.Close()
		if err := s.Add("2-2", d); !errors.Is(err, ErrServerClosed) {
			t.Error(err)
		}
	})
}

func newMemory(t *testing.T) *block.Disk {
	d, err := block.NewDisk(block.NewMemory(1 << 20))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestSlowHost has a host ask for answers and not read them: the device takes no more of
// it, holds no memory without bound, and can be unplugged.
func TestSlowHost(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		d := newDevice(t, block.NewMemory(1<<20))
		s.Add("1-1", d)
		h := connect(t, s)
		h.attach("1-1")
		h.configure()
		sent := make(chan int)
		go func() {
			n := 0
			for ; ; n++ {
				if _, err := h.Write(submitHeader(uint32(n), true, 0, 64, [8]byte{0x80, 6, 0, 1, 0, 0, 64})); err != nil {
					break
				}
			}
			sent <- n
		}()
		time.Sleep(time.Hour)
		s.Unplug("1-1")
		if n := <-sent; n < 1000 || n > 10000 {
			t.Errorf("%d transfers were taken", n)
		}
	})
}

// TestSilentHost connects and says nothing.
func TestSilentHost(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		s.Timeout = 5 * time.Second
		s.MaxConns = 2
		began := time.Now()
		h := connect(t, s)
		connect(t, s)
		synctest.Wait()
		if _, err := connect(t, s).Read(make([]byte, 1)); err == nil || time.Since(began) > 0 {
			t.Error("three connections of two")
		}
		if _, err := h.Read(make([]byte, 1)); err == nil || time.Since(began) != s.Timeout {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// TestHostileHost sends what no host sends.
func TestHostileHost(t *testing.T) {
	attached := func(p []byte) func(*host) {
		return func(h *host) {
			h.attach("1-1")
			h.Write(p)
		}
	}
	with := func(at int, v uint32) []byte {
		p := submitHeader(1, false, 2, 0, [8]byte{})
		binary.BigEndian.PutUint32(p[at:], v)
		return p
	}
	for name, do := range map[string]func(*host){
		"version":     func(h *host) { h.Write([]byte{1, 6, 0x80, 5, 0, 0, 0, 0}) },
		"operation":   func(h *host) { h.Write(appendOp(nil, 0x8001, 0)) },
		"command":     attached(with(0, 9)),
		"direction":   attached(with(12, 2)),
		"endpoint":    attached(with(16, 16)),
		"length":      attached(with(24, 1<<31)),
		"isochronous": attached(with(32, 7)),
	} {
		bubble(t, func(t *testing.T, s *Server) {
			s.Add("1-1", newDevice(t, block.NewMemory(1<<20)))
			h := connect(t, s)
			do(h)
			if _, err := io.ReadAll(h); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			synctest.Wait()
			if n := s.counters.protocolErrors.Load(); n != 1 {
				t.Errorf("%s: %d protocol errors", name, n)
			}
		})
	}
	// A transfer that is too long is refused, and the connection goes on.
	bubble(t, func(t *testing.T, s *Server) {
		s.Add("1-1", newDevice(t, block.NewMemory(1<<20)))
		h := connect(t, s)
		h.attach("1-1")
		h.configure()
		if status, _ := h.do(false, 2, 17<<20, make([]byte, 17<<20)); status != -int32(syscall.ENOMEM) {
			t.Errorf("status %d", status)
		}
		if status, _ := h.command(0, false, nil, 0, 0, 0, 0, 0, 0); status != 0 {
			t.Error(status)
		}
		if !strings.Contains(s.Stats(), "transfers refused") {
			t.Error(s.Stats())
		}
	})
}
