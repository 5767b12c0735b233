package iscsi

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// A Device is a logical unit of a session as a block.Device, with the powers that the
// unit says it has. Commands that find the connection lost are sent again when there is
// another one: they read or write the same whenever they are done. What a unit with a
// volatile cache forgets when it loses its power is not sent again: only what a Sync has
// made durable is safe then, as with any disk.
type Device struct {
	client *Client
	lun    int
	facts
}

// facts are what a unit says of itself.
type facts struct {
	blockSize int64
	blocks    uint64
	readOnly  bool
	fua       bool // DPOFUA
	unmap     bool // LBPU
	unmapMost uint64
	same      bool // WRITE SAME (16)
	sameUnmap bool // LBPWS
	zeroes    bool // LBPRZ: unmapped blocks read as zeroes
	sameMost  uint64
	extents   bool // GET LBA STATUS
	most      int  // bytes of a transfer
	rotates   bool
}

// Attempts of a command, and the longest transfer of units that name none.
const (
	maxAttempts     = 64
	defaultTransfer = 1 << 20
	maxBusyPause    = time.Second
)

// Open makes a device of a unit.
func (c *Client) Open(ctx context.Context, lun int) (*Device, error) {
	d := &Device{client: c, lun: lun}
	if err := d.ask(ctx); err != nil {
		return nil, fmt.Errorf("iscsi: LUN %d: %w", lun, err)
	}
	return d, nil
}

// do does a command until it has an end that is its own: unit attentions are told once,
// and a full queue or a lost connection passes.
func (d *Device) do(ctx context.Context, cdb, out, in []byte) (Result, error) {
	pause := time.Millisecond
	for attempt := 1; ; attempt++ {
		r, err := d.client.Command(ctx, d.lun, cdb, out, in)
		sense, _ := scsi.ParseSense(r.Sense)
		last := attempt == maxAttempts
		switch {
		case errors.Is(err, errLost) && ctx.Err() != nil:
			return r, ctx.Err()
		case errors.Is(err, errLost) && !last:
			continue // current waits for another link
		case err != nil:
			return r, err
		case r.Status == scsi.Good || r.Status == scsi.ConditionMet:
			return r, nil
		case last:
		case r.Status == scsi.CheckCondition && (sense.Key == scsi.UnitAttention || sense.Key == scsi.AbortedCommand):
			continue
		case r.Status == scsi.Busy || r.Status == scsi.TaskSetFull || r.Status == scsi.TaskAborted:
			select {
			case <-time.After(pause):
				pause = min(2*pause, maxBusyPause)
				continue
			case <-ctx.Done():
				return r, ctx.Err()
			}
		}
		return r, &StatusError{Status: r.Status, Sense: sense}
	}
}

// A StatusError is the end of a command that has failed.
type StatusError struct {
	Status scsi.Status
	Sense  scsi.Sense // of CHECK CONDITION
}

func (e *StatusError) Error() string {
	if e.Status == scsi.CheckCondition {
		return "iscsi: " + e.Sense.Error()
	}
	return "iscsi: " + e.Status.String()
}

// Unwrap is what a device would say.
func (e *StatusError) Unwrap() error {
	switch {
	case e.Status == scsi.ReservationConflict:
		return syscall.EBUSY
	case e.Sense.Code == scsi.CodeSpaceExhausted:
		return block.ErrNoSpace
	case e.Sense.Key == scsi.DataProtect:
		return block.ErrReadOnly
	case e.Sense.Code == scsi.CodeLBAOutOfRange:
		return block.ErrRange
	}
	return syscall.EIO
}

// refused says that a unit does not know a command or what it asks.
func refused(err error) bool {
	var e *StatusError
	return errors.As(err, &e) && e.Sense.Key == scsi.IllegalRequest
}

// ask finds the facts.
func (d *Device) ask(ctx context.Context) error {
	if _, err := d.do(ctx, []byte{0, 0, 0, 0, 0, 0}, nil, nil); err != nil && !refused(err) { // TEST UNIT READY
		return err
	}
	capacity := make([]byte, 32)
	r, err := d.do(ctx, serviceIn(0x10, 0, len(capacity)), nil, capacity) // READ CAPACITY (16)
	switch {
	case err == nil && r.N >= 12:
		d.blocks = binary.BigEndian.Uint64(capacity) + 1
		d.blockSize = int64(binary.BigEndian.Uint32(capacity[8:]))
		d.zeroes = capacity[14]&0x40 != 0
	case err == nil || refused(err):
		if _, err = d.do(ctx, []byte{0x25, 9: 0}, nil, capacity[:8]); err != nil { // READ CAPACITY (10)
			return err
		}
		d.blocks = uint64(binary.BigEndian.Uint32(capacity)) + 1
		d.blockSize = int64(binary.BigEndian.Uint32(capacity[4:]))
	default:
		return err
	}
	if d.blockSize < 512 || d.blockSize > 64<<10 || d.blockSize&(d.blockSize-1) != 0 || d.blocks == 0 || d.blocks > 1<<62/uint64(d.blockSize) {
		return fmt.Errorf("%d blocks of %d bytes", d.blocks, d.blockSize)
	}
	d.most = defaultTransfer
	if err := d.askPages(ctx); err != nil {
		return err
	}
	return d.askMode(ctx)
}

// page reads a page of vital product data, or nothing where there is none.
func (d *Device) page(ctx context.Context, code byte) ([]byte, error) {
	p := make([]byte, 252)
	r, err := d.do(ctx, []byte{0x12, 1, code, 0, byte(len(p)), 0}, nil, p)
	if refused(err) {
		return nil, nil
	}
	if err != nil || r.N < 4 || p[1] != code {
		return nil, err
	}
	return p[:min(r.N, 4+int(binary.BigEndian.Uint16(p[2:])))], nil
}

// askPages asks for the pages of SPC-4 7.8 and SBC-3 6.5 that tell of limits and powers.
func (d *Device) askPages(ctx context.Context) error {
	supported, err := d.page(ctx, 0x00)
	if err != nil {
		return err
	}
	for i := 4; i < len(supported); i++ {
		code := supported[i]
		if code < 0xb0 || code > 0xb2 {
			continue
		}
		p, err := d.page(ctx, code)
		if err != nil {
			return err
		}
		d.learn(code, p)
	}
	return nil
}

func (d *Device) learn(code byte, p []byte) {
	switch {
	case code == 0xb0 && len(p) >= 12: // block limits
		if n := int64(binary.BigEndian.Uint32(p[8:])); n > 0 {
			d.most = int(min(n*d.blockSize, defaultTransfer))
		}
		if len(p) >= 28 {
			d.unmapMost = uint64(binary.BigEndian.Uint32(p[20:]))
		}
		if len(p) >= 44 {
			d.sameMost = binary.BigEndian.Uint64(p[36:])
		}
	case code == 0xb1 && len(p) >= 6: // characteristics
		d.rotates = binary.BigEndian.Uint16(p[4:]) > 1
	case code == 0xb2 && len(p) >= 6: // thin provisioning
		d.unmap, d.sameUnmap = p[5]&0x80 != 0, p[5]&0x40 != 0
		d.same, d.extents = true, true // until one is refused
	}
}

// askMode asks for the parameters that tell of write protection and FUA.
func (d *Device) askMode(ctx context.Context) error {
	p := make([]byte, 192)
	r, err := d.do(ctx, []byte{0x1a, 0, 0x3f, 0, byte(len(p)), 0}, nil, p) // MODE SENSE (6), all pages
	if refused(err) {
		return nil
	}
	if err == nil && r.N >= 4 {
		d.readOnly, d.fua = p[2]&0x80 != 0, p[2]&0x10 != 0
	}
	return err
}

// serviceIn is a SERVICE ACTION IN (16).
func serviceIn(action byte, lba uint64, length int) []byte {
	c := []byte{0x9e, action, 15: 0}
	binary.BigEndian.PutUint64(c[2:], lba)
	binary.BigEndian.PutUint32(c[10:], uint32(length))
	return c
}

// LUNs are the numbers of the units that this side may use.
func (c *Client) LUNs(ctx context.Context) ([]int, error) {
	d := &Device{client: c}
	in := make([]byte, 8+8*512)
	cdb := []byte{0xa0, 11: 0} // REPORT LUNS
	binary.BigEndian.PutUint32(cdb[6:], uint32(len(in)))
	r, err := d.do(ctx, cdb, nil, in)
	if err != nil {
		return nil, err
	}
	if r.N < 8 {
		return nil, formatErrorf("a list of LUNs of %d bytes", r.N)
	}
	var all []int
	end := min(uint64(r.N), 8+uint64(binary.BigEndian.Uint32(in)))
	for at := uint64(8); at+8 <= end; at += 8 {
		if n, ok := scsi.LUN(binary.BigEndian.Uint64(in[at:])).Number(); ok {
			all = append(all, n)
		}
	}
	return all, nil
}
