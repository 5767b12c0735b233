// Package usbhost is, for tests, a host that has a mass-storage device of a server by USB/IP
// and uses it by Bulk-Only Transport, one command at a time.
package usbhost

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// A Host has a device. It is a block.Device of 512-byte blocks, or of those that its unit
// has, for one goroutine: offsets and lengths are of whole blocks.
type Host struct {
	conn     net.Conn
	sequence uint32
	blocks   int64
	block    int64
}

// Attach imports a device over a connection, which is the host's from then on.
func Attach(conn net.Conn, busID string) (*Host, error) {
	p := make([]byte, 40) // OP_REQ_IMPORT
	binary.BigEndian.PutUint32(p, 0x0111_8003)
	copy(p[8:], busID)
	if _, err := conn.Write(p); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(conn, p[:8]); err != nil {
		return nil, err
	}
	if status := binary.BigEndian.Uint32(p[4:]); status != 0 {
		return nil, fmt.Errorf("usbhost: importing %s: status %d", busID, status)
	}
	if _, err := io.ReadFull(conn, make([]byte, 312)); err != nil {
		return nil, err
	}
	h := &Host{conn: conn}
	_, err := h.transfer(0, false, nil, 0, 0, 9, 1) // SET CONFIGURATION
	return h, err
}

// Close detaches the device.
func (h *Host) Close() error { return h.conn.Close() }

// transfer makes one, to the device or of n bytes from it, and waits for its end.
func (h *Host) transfer(endpoint byte, in bool, out []byte, n int, setup ...byte) ([]byte, error) {
	h.sequence++
	p := make([]byte, 48, 48+len(out)) // USBIP_CMD_SUBMIT
	for at, v := range map[int]uint32{0: 1, 4: h.sequence, 8: 1<<16 | 1, 16: uint32(endpoint), 24: uint32(max(n, len(out))), 32: 0xffffffff} {
		binary.BigEndian.PutUint32(p[at:], v)
	}
	if in {
		p[15] = 1
	}
	copy(p[40:], setup)
	if _, err := h.conn.Write(append(p, out...)); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(h.conn, p); err != nil {
		return nil, err
	}
	actual := binary.BigEndian.Uint32(p[24:])
	if status := int32(binary.BigEndian.Uint32(p[20:])); binary.BigEndian.Uint32(p[4:]) != h.sequence || status != 0 || int(actual) > max(n, len(out)) {
		return nil, fmt.Errorf("usbhost: a transfer has status %d and %d bytes", status, actual)
	}
	if !in {
		return nil, nil
	}
	data := make([]byte, actual)
	_, err := io.ReadFull(h.conn, data)
	return data, err
}

// Command does a SCSI command of unit 0, with data to the device or n bytes from it. Ok
// says that its status is GOOD.
func (h *Host) Command(out []byte, n int, cdb ...byte) (data []byte, ok bool, err error) {
	const bulkIn, bulkOut = 1, 2
	wrapper := make([]byte, 31)
	copy(wrapper, "USBC")
	binary.LittleEndian.PutUint32(wrapper[8:], uint32(max(n, len(out))))
	if n > 0 {
		wrapper[12] = 0x80
	}
	wrapper[14] = byte(len(cdb))
	copy(wrapper[15:], cdb)
	if _, err := h.transfer(bulkOut, false, wrapper, 0); err != nil {
		return nil, false, err
	}
	if len(out) > 0 {
		_, err = h.transfer(bulkOut, false, out, 0)
	} else if n > 0 {
		data, err = h.transfer(bulkIn, true, nil, n)
	}
	if err != nil {
		return nil, false, err
	}
	status, err := h.transfer(bulkIn, true, nil, 13)
	if err != nil || len(status) != 13 {
		return nil, false, errors.Join(err, io.ErrUnexpectedEOF)
	}
	return data, status[12] == 0, nil
}

// Type is the type of unit 0: 0 is a disk, 5 a CD-ROM.
func (h *Host) Type() (byte, error) {
	p, _, err := h.Command(nil, 36, 0x12, 0, 0, 0, 36, 0)
	if err != nil || len(p) == 0 {
		return 0, errors.Join(err, io.ErrUnexpectedEOF)
	}
	return p[0] & 0x1f, nil
}

// Ready says whether there is a medium, past what the unit has to say first.
func (h *Host) Ready() (bool, error) {
	for range 5 {
		if _, ok, err := h.Command(nil, 0, 0, 0, 0, 0, 0, 0); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// Size asks for the capacity.
func (h *Host) Size() (int64, error) {
	if ok, err := h.Ready(); !ok || err != nil {
		return 0, errors.Join(err, errors.New("usbhost: the unit is not ready"))
	}
	p, ok, err := h.Command(nil, 8, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	if err != nil || !ok || len(p) < 8 {
		return 0, errors.Join(err, errors.New("usbhost: READ CAPACITY fails"))
	}
	h.blocks, h.block = int64(binary.BigEndian.Uint32(p))+1, int64(binary.BigEndian.Uint32(p[4:]))
	return h.blocks * h.block, nil
}

// range10 is a command of 10 bytes for blocks.
func (h *Host) range10(code byte, off, n int64) ([]byte, error) {
	if h.block == 0 {
		if _, err := h.Size(); err != nil {
			return nil, err
		}
	}
	if off%h.block != 0 || n%h.block != 0 {
		return nil, fmt.Errorf("usbhost: %d bytes at %d are not of whole blocks", n, off)
	}
	cdb := make([]byte, 10)
	cdb[0] = code
	binary.BigEndian.PutUint32(cdb[2:], uint32(off/h.block))
	binary.BigEndian.PutUint16(cdb[7:], uint16(n/h.block))
	return cdb, nil
}

// ReadAt reads by one READ (10).
func (h *Host) ReadAt(p []byte, off int64) (int, error) {
	cdb, err := h.range10(0x28, off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	data, ok, err := h.Command(nil, len(p), cdb...)
	if err != nil || !ok {
		return 0, errors.Join(err, errors.New("usbhost: READ fails"))
	}
	return copy(p, data), nil
}

// WriteAt writes by one WRITE (10).
func (h *Host) WriteAt(p []byte, off int64) (int, error) {
	cdb, err := h.range10(0x2a, off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	if _, ok, err := h.Command(p, 0, cdb...); err != nil || !ok {
		return 0, errors.Join(err, errors.New("usbhost: WRITE fails"))
	}
	return len(p), nil
}

// Sync does SYNCHRONIZE CACHE (10).
func (h *Host) Sync() error {
	if _, ok, err := h.Command(nil, 0, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0); err != nil || !ok {
		return errors.Join(err, errors.New("usbhost: SYNCHRONIZE CACHE fails"))
	}
	return nil
}
