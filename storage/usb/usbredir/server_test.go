package usbredir

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/scsi"
	"github.com/seed-012105e5/gonet/storage/usb"
)

func newDevice(t testing.TB, speed usb.Speed) *usb.Device {
	t.Helper()
	disk, err := block.NewDisk(block.NewMemory(64 << 10))
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
	d, err := usb.NewDevice(usb.Config{Units: units, Speed: speed})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A guest is a peer that a test scripts.
type guest struct {
	testing.TB
	net.Conn
	wire
	id uint64
}

// connect greets a server with some capabilities, and takes what it tells of its device.
func connect(t testing.TB, s *Server, caps uint32) *guest {
	t.Helper()
	a, b := net.Pipe()
	go s.ServeConn(b)
	t.Cleanup(func() { a.Close() })
	g := &guest{TB: t, Conn: a}
	theirs, err := readHello(a)
	if err != nil {
		t.Fatal(err)
	}
	g.write(appendHello(nil, caps))
	g.caps = caps & theirs
	for _, kind := range []uint32{packetEndpointInfo, packetInterfaceInfo, packetConnect} {
		g.read(kind, 0)
	}
	return g
}

func (g *guest) write(p []byte) {
	g.Helper()
	if _, err := g.Write(p); err != nil {
		g.Fatal(err)
	}
}

// send sends a packet, and returns its id.
func (g *guest) send(kind uint32, p ...byte) uint64 {
	g.Helper()
	g.id++
	g.write(append(appendHeader(nil, kind, len(p), g.id, g.wide()), p...))
	return g.id
}

// read reads the next packet, and sees what it is.
func (g *guest) read(kind uint32, id uint64) []byte {
	g.Helper()
	var room [16]byte
	h, err := readHeader(g, &room, g.wide())
	if err != nil {
		g.Fatal(err)
	}
	p := make([]byte, h.length)
	if _, err := io.ReadFull(g, p); err != nil {
		g.Fatal(err)
	}
	if h.kind != kind || h.id != id {
		g.Fatalf("packet %d to %d, want %d to %d: % x", h.kind, h.id, kind, id, p)
	}
	return p
}

// configure chooses the configuration.
func (g *guest) configure() {
	g.Helper()
	id := g.send(packetSetConfiguration, 1)
	if p := g.read(packetEndpointInfo, 0); p[0x11] != 2 || p[0x02] != 2 || p[0x12] != 255 {
		g.Errorf("endpoints % x", p)
	}
	g.read(packetInterfaceInfo, 0)
	if p := g.read(packetConfigurationStatus, id); !bytes.Equal(p, []byte{statusOK, 1}) {
		g.Errorf("status % x", p)
	}
}

// bulk makes a bulk transfer.
func (g *guest) bulk(endpoint byte, length int, data []byte) (status byte, in []byte) {
	g.Helper()
	p := []byte{endpoint, 0, byte(length), byte(length >> 8), 0, 0, 0, 0}
	if g.caps&capLength != 0 {
		p = append(p, byte(length>>16), byte(length>>24))
	}
	a := g.read(packetBulk, g.send(packetBulk, append(p, data...)...))
	return a[1], a[g.bulkHeader():]
}

// command does a SCSI command, and returns the status of its CSW.
func (g *guest) command(length int, cdb ...byte) (byte, []byte) {
	g.Helper()
	p := make([]byte, 31)
	copy(p, "USBC")
	binary.LittleEndian.PutUint32(p[8:], uint32(length))
	p[12], p[14] = 0x80, byte(len(cdb))
	copy(p[15:], cdb)
	g.bulk(0x02, 31, p)
	var data []byte
	if length > 0 {
		_, data = g.bulk(0x81, length, nil)
	}
	_, csw := g.bulk(0x81, 13, nil)
	if len(csw) != 13 {
		g.Fatalf("CSW % x", csw)
	}
	return csw[12], data
}

func bubble(t *testing.T, speed usb.Speed, f func(t *testing.T, s *Server)) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Device: newDevice(t, speed), ErrorLog: func(_ net.Addr, err error) { t.Log(err) }}
		defer s.Close()
		f(t, s)
	})
}

// TestGuest uses a device, with all sets of capabilities.
func TestGuest(t *testing.T) {
	for _, caps := range []uint32{0, capIDs, capLength, capVersion | capMaxPacket, 0xffffffff} {
		bubble(t, usb.HighSpeed, func(t *testing.T, s *Server) {
			g := connect(t, s, caps)
			p := g.read(packetControl, g.send(packetControl, 0x80, 6, 0x80, 0, 0, 1, 0, 0, 18, 0))
			if len(p) != 28 || p[3] != statusOK || p[8] != 18 || p[11] != 1 {
				t.Errorf("device descriptor % x", p)
			}
			p = g.read(packetControl, g.send(packetControl, 0x80, 6, 0x80, 0, 0, 99, 0, 0, 18, 0))
			if len(p) != 10 || p[3] != statusStall {
				t.Errorf("unknown descriptor % x", p)
			}
			g.configure()
			if p := g.read(packetConfigurationStatus, g.send(packetGetConfiguration)); !bytes.Equal(p, []byte{statusOK, 1}) {
				t.Errorf("configuration % x", p)
			}
			for range 3 {
				g.command(0, 0, 0, 0, 0, 0, 0)
			}
			if status, p := g.command(36, 0x12, 0, 0, 0, 36, 0); status != 0 || len(p) != 36 {
				t.Errorf("INQUIRY: %d, % x", status, p)
			}
			if status, p := g.command(40<<10, 0x28, 0, 0, 0, 0, 0, 0, 0, 80, 0); status != 0 || len(p) != 40<<10 {
				t.Errorf("READ: %d, %d bytes", status, len(p))
			}
			// UAS, and back by a reset.
			id := g.send(packetSetAlternate, 0, 1)
			if p := g.read(packetEndpointInfo, 0); p[0x13] != 2 || p[0x04] != 2 {
				t.Errorf("endpoints % x", p)
			}
			g.read(packetInterfaceInfo, 0)
			if p := g.read(packetAlternateStatus, id); !bytes.Equal(p, []byte{statusOK, 0, 1}) {
				t.Errorf("setting % x", p)
			}
			if p := g.read(packetAlternateStatus, g.send(packetGetAlternate, 0)); !bytes.Equal(p, []byte{statusOK, 0, 1}) {
				t.Errorf("setting % x", p)
			}
			g.send(packetReset)
			g.configure()
			g.command(0, 0, 0, 0, 0, 0, 0)
		})
	}
}

// TestCancel cancels a transfer that waits; one that has ended is not heard of again.
func TestCancel(t *testing.T) {
	bubble(t, usb.HighSpeed, func(t *testing.T, s *Server) {
		g := connect(t, s, 0xffffffff)
		g.configure()
		id := g.send(packetBulk, 0x81, 0, 13, 0, 0, 0, 0, 0, 0, 0)
		for range 2 {
			g.write(appendHeader(nil, packetCancel, 0, id, true))
		}
		if p := g.read(packetBulk, id); p[1] != statusCanceled {
			t.Errorf("% x", p)
		}
		g.command(0, 0, 0, 0, 0, 0, 0)
	})
}

// TestStreams allocates the streams of a SuperSpeed device.
func TestStreams(t *testing.T) {
	bubble(t, usb.SuperSpeed, func(t *testing.T, s *Server) {
		g := connect(t, s, 0xffffffff)
		g.configure()
		p := g.read(packetStreamsStatus, g.send(packetAllocStreams, 4, 0, 10, 0, 32, 0, 0, 0))
		if !bytes.Equal(p, []byte{4, 0, 10, 0, 32, 0, 0, 0, statusOK}) {
			t.Errorf("% x", p)
		}
		if p := g.read(packetStreamsStatus, g.send(packetFreeStreams, 4, 0, 10, 0)); p[8] != statusOK {
			t.Errorf("% x", p)
		}
	})
}

// TestUnplug unplugs the device, and has another machine have it; a second one has to wait
// until then.
func TestUnplug(t *testing.T) {
	bubble(t, usb.HighSpeed, func(t *testing.T, s *Server) {
		g := connect(t, s, 0)
		a, b := net.Pipe()
		go s.ServeConn(b)
		if _, err := a.Read(make([]byte, 1)); err == nil {
			t.Error("two machines have the device")
		}
		s.Unplug()
		if _, err := g.Read(make([]byte, 1)); err == nil || s.Device.Attached() {
			t.Error("not unplugged")
		}
		connect(t, s, 0).configure()
	})
}

// TestHostileGuest sends what no guest sends, or nothing.
func TestHostileGuest(t *testing.T) {
	for name, p := range map[string][]byte{
		"long packet":     appendHeader(nil, packetBulk, largestPacket+1, 1, false),
		"long small one":  appendHeader(nil, packetReset, largestSmall+1, 1, false),
		"short packet":    appendHeader(nil, packetBulk, 3, 1, false),
		"isochronous":     appendHeader(nil, packetStartIso, 3, 1, false),
		"interrupt":       appendHeader(nil, packetInterrupt, 4, 1, false),
		"data with IN":    append(appendHeader(nil, packetBulk, 9, 1, false), 0x81, 0, 1, 0, 0, 0, 0, 0, 7),
		"lies of length":  append(appendHeader(nil, packetBulk, 9, 1, false), 0x02, 0, 9, 0, 0, 0, 0, 0, 7),
		"bulk on control": append(appendHeader(nil, packetBulk, 8, 1, false), 0x80, 0, 1, 0, 0, 0, 0, 0),
		"rejected":        appendHeader(nil, packetFilterReject, 0, 0, false),
	} {
		bubble(t, usb.HighSpeed, func(t *testing.T, s *Server) {
			ended := make(chan error, 1)
			s.ErrorLog = func(_ net.Addr, err error) { ended <- err }
			g := connect(t, s, 0)
			g.configure()
			g.Write(p)
			g.Write([]byte{1})
			if err := <-ended; err == nil || s.Device.Attached() {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	bubble(t, usb.HighSpeed, func(t *testing.T, s *Server) {
		a, b := net.Pipe()
		began := time.Now()
		go io.Copy(io.Discard, a)
		if err := s.ServeConn(b); err == nil || time.Since(began) != helloTimeout {
			t.Errorf("silence: %v after %v", err, time.Since(began))
		}
	})
}

// FuzzServer has a peer say what it likes after the hello.
func FuzzServer(f *testing.F) {
	configure := append(appendHeader(nil, packetSetConfiguration, 1, 1, false), 1)
	f.Add(uint32(0), configure)
	f.Add(uint32(0), append(bytes.Clone(configure), append(appendHeader(nil, packetBulk, 8, 2, false), 0x81, 0, 13, 0, 0, 0, 0, 0)...))
	f.Add(uint32(0xff), append(appendHeader(nil, packetControl, 10, 2, true), 0x80, 6, 0x80, 0, 0, 1, 0, 0, 18, 0))
	f.Add(uint32(0xff), append(appendHeader(nil, packetAllocStreams, 8, 2, true), 4, 0, 10, 0, 32, 0, 0, 0))
	f.Fuzz(func(t *testing.T, caps uint32, p []byte) {
		s := &Server{Device: newDevice(t, usb.Speed(caps%3))}
		a, b := net.Pipe()
		go io.Copy(io.Discard, a)
		go func() {
			a.Write(appendHello(nil, caps))
			a.Write(p)
			a.Close()
		}()
		s.ServeConn(b)
		if s.Device.Attached() {
			t.Error("the device is attached still")
		}
	})
}
