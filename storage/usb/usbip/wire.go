package usbip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/seed-012105e5/gonet/storage/usb"
)

// version is that of the protocol: 1.1.1.
const version = 0x0111

// Codes of operations, before a device is imported.
const (
	opListRequest   = 0x8005
	opListReply     = 0x0005
	opImportRequest = 0x8003
	opImportReply   = 0x0003
)

// Statuses of operations, of which the protocol's text names zero and one; the others
// are those of the tools of Linux.
const (
	opOK       = 0
	opFailed   = 1
	opBusy     = 2 // the device is in use
	opNoDevice = 4
)

// Commands, once a device is imported.
const (
	commandSubmit = 1
	commandUnlink = 2
	answerSubmit  = 3
	answerUnlink  = 4
)

const (
	opLength     = 8
	busIDLength  = 32
	deviceLength = 312 // of a device in OP_REP_DEVLIST and OP_REP_IMPORT, without interfaces
	headerLength = 48
)

// A protocolError is what a peer has done wrong.
type protocolError string

func (e protocolError) Error() string { return "usbip: " + string(e) }

// readOp reads the header of an operation.
func readOp(r io.Reader) (code uint16, err error) {
	var p [opLength]byte
	if _, err := io.ReadFull(r, p[:]); err != nil {
		return 0, err
	}
	if v := binary.BigEndian.Uint16(p[0:]); v != version {
		return 0, protocolError(fmt.Sprintf("version %#04x, this is %#04x", v, version))
	}
	return binary.BigEndian.Uint16(p[2:]), nil
}

func appendOp(p []byte, code uint16, status uint32) []byte {
	p = binary.BigEndian.AppendUint16(p, version)
	p = binary.BigEndian.AppendUint16(p, code)
	return binary.BigEndian.AppendUint32(p, status)
}

// speeds are those of Linux's enum usb_device_speed.
var speeds = map[usb.Speed]uint32{usb.FullSpeed: 2, usb.HighSpeed: 3, usb.SuperSpeed: 5}

// appendDevice appends a device as both operations have it.
func appendDevice(p []byte, e *export) []byte {
	c := e.device.Config()
	at := len(p)
	p = append(p, make([]byte, deviceLength)...)
	copy(p[at:at+255], "/gonet/"+e.busID)
	copy(p[at+256:at+256+busIDLength-1], e.busID)
	q := p[at+288:]
	binary.BigEndian.PutUint32(q[0:], e.number>>16)
	binary.BigEndian.PutUint32(q[4:], e.number&0xffff)
	binary.BigEndian.PutUint32(q[8:], speeds[c.Speed])
	binary.BigEndian.PutUint16(q[12:], c.VendorID)
	binary.BigEndian.PutUint16(q[14:], c.ProductID)
	binary.BigEndian.PutUint16(q[16:], c.Version)
	copy(q[18:], []byte{0, 0, 0, 1, 1, 1}) // class by interface; configuration 1 of 1; one interface
	return p
}

// appendInterface appends the interface, as OP_REP_DEVLIST has it behind the device.
func appendInterface(p []byte) []byte {
	return append(p, usb.ClassMassStorage, usb.SubclassSCSI, usb.ProtocolBulkOnly, 0)
}

// A request is USBIP_CMD_SUBMIT or USBIP_CMD_UNLINK, without data.
type request struct {
	command   uint32
	sequence  uint32
	device    uint32
	in        bool
	endpoint  uint32
	length    uint32 // of the data to the device, or the most from it
	packets   uint32
	setup     [8]byte
	sequence2 uint32 // of the request to be unlinked
}

// parseRequest reads a header. An error is one after which the stream makes no sense.
func parseRequest(p *[headerLength]byte) (r request, err error) {
	u32 := func(at int) uint32 { return binary.BigEndian.Uint32(p[at:]) }
	r = request{command: u32(0), sequence: u32(4), device: u32(8), in: u32(12) == 1, endpoint: u32(16)}
	switch r.command {
	case commandUnlink:
		r.sequence2 = u32(20)
		return r, nil
	case commandSubmit:
	default:
		return r, protocolError(fmt.Sprintf("command %#x", r.command))
	}
	r.length, r.packets, r.setup = u32(24), u32(32), [8]byte(p[40:])
	switch {
	case u32(12) > 1:
		return r, protocolError(fmt.Sprintf("direction %d", u32(12)))
	case r.endpoint > 15:
		return r, protocolError(fmt.Sprintf("endpoint %d", r.endpoint))
	case r.length > 1<<31-1:
		return r, protocolError(fmt.Sprintf("transfer of %d bytes", r.length))
	case r.packets != 0 && r.packets != 0xffffffff: // descriptors of packets follow the data
		return r, protocolError("isochronous transfer")
	}
	return r, nil
}

// errno is the status of a transfer, as Linux has it for URBs.
func errno(s usb.Status) int32 {
	switch s {
	case usb.StatusOK:
		return 0
	case usb.StatusStall:
		return -int32(syscall.EPIPE)
	case usb.StatusInvalid:
		return -int32(syscall.ENOENT)
	case usb.StatusReset:
		return -int32(syscall.ESHUTDOWN)
	case usb.StatusBabble:
		return -int32(syscall.EOVERFLOW)
	case usb.StatusTooMuch:
		return -int32(syscall.ENOMEM)
	}
	return -int32(syscall.ECONNRESET)
}

// appendAnswer appends the header of an answer: of a transfer, or of an unlinking.
func appendAnswer(p []byte, t *usb.Transfer) []byte {
	at := len(p)
	p = append(p, make([]byte, headerLength)...)
	put := func(offset int, v uint32) { binary.BigEndian.PutUint32(p[at+offset:], v) }
	if t.Cancel {
		put(0, answerUnlink)
		put(4, uint32(t.Tag))
		if t.Status == usb.StatusOK {
			put(20, uint32(errno(usb.StatusCanceled)))
		}
		return p
	}
	put(0, answerSubmit)
	put(4, uint32(t.ID))
	put(20, uint32(errno(t.Status)))
	put(24, uint32(t.Actual))
	return p
}

// isEnd says whether a peer has gone, or the connection was closed here. A host that
// detaches has answers unread as a rule, by which its kernel resets the connection.
func isEnd(err error) bool {
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, io.ErrClosedPipe, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
