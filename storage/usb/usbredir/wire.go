package usbredir

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/seed-012105e5/gonet/storage/usb"
)

// Types of packets.
const (
	packetHello               = 0
	packetConnect             = 1
	packetDisconnect          = 2
	packetReset               = 3
	packetInterfaceInfo       = 4
	packetEndpointInfo        = 5
	packetSetConfiguration    = 6
	packetGetConfiguration    = 7
	packetConfigurationStatus = 8
	packetSetAlternate        = 9
	packetGetAlternate        = 10
	packetAlternateStatus     = 11
	packetStartIso            = 12
	packetStopIso             = 13
	packetIsoStatus           = 14
	packetStartInterrupt      = 15
	packetStopInterrupt       = 16
	packetInterruptStatus     = 17
	packetAllocStreams        = 18
	packetFreeStreams         = 19
	packetStreamsStatus       = 20
	packetCancel              = 21
	packetFilterReject        = 22
	packetFilter              = 23
	packetDisconnectAck       = 24
	packetStartBulk           = 25
	packetStopBulk            = 26
	packetBulkStatus          = 27
	packetControl             = 100
	packetBulk                = 101
	packetIso                 = 102
	packetInterrupt           = 103
)

// Capabilities, as bits.
const (
	capStreams       = 1 << 0
	capVersion       = 1 << 1 // device_connect has the version of the device
	capDisconnectAck = 1 << 3
	capMaxPacket     = 1 << 4 // ep_info has packet sizes
	capIDs           = 1 << 5 // ids have 64 bits
	capLength        = 1 << 6 // bulk packets have lengths of 32 bits
)

// Statuses.
const (
	statusOK       = 0
	statusCanceled = 1
	statusInvalid  = 2
	statusIOError  = 3
	statusStall    = 4
	statusBabble   = 6
)

const (
	helloVersion = 64 // bytes of the version text
	// largestPacket bounds what follows a header, in bytes: the longest transfer of the
	// device, and a header.
	largestPacket = 16<<20 + 16
	largestSmall  = 4096 // the same, of packets other than control and bulk
	infoEndpoints = 32
)

// A protocolError is what a peer has done wrong.
type protocolError string

func (e protocolError) Error() string { return "usbredir: " + string(e) }

// A header begins each packet.
type header struct {
	kind, length uint32
	id           uint64
}

// readHeader reads a header, with an id of 64 bits if wide. p is room for it.
func readHeader(r io.Reader, p *[16]byte, wide bool) (h header, err error) {
	n := 12
	if wide {
		n = 16
	}
	if _, err := io.ReadFull(r, p[:n]); err != nil {
		return h, err
	}
	h.kind, h.length = binary.LittleEndian.Uint32(p[0:]), binary.LittleEndian.Uint32(p[4:])
	if wide {
		h.id = binary.LittleEndian.Uint64(p[8:])
	} else {
		h.id = uint64(binary.LittleEndian.Uint32(p[8:]))
	}
	most := uint32(largestSmall)
	if h.kind == packetControl || h.kind == packetBulk {
		most = largestPacket
	}
	if h.length > most {
		return h, protocolError(fmt.Sprintf("packet %d of %d bytes", h.kind, h.length))
	}
	return h, nil
}

func appendHeader(p []byte, kind uint32, length int, id uint64, wide bool) []byte {
	p = binary.LittleEndian.AppendUint32(p, kind)
	p = binary.LittleEndian.AppendUint32(p, uint32(length))
	if wide {
		return binary.LittleEndian.AppendUint64(p, id)
	}
	return binary.LittleEndian.AppendUint32(p, uint32(id))
}

// appendHello appends the first packet of a connection.
func appendHello(p []byte, capabilities uint32) []byte {
	p = appendHeader(p, packetHello, helloVersion+4, 0, false)
	at := len(p)
	p = append(p, make([]byte, helloVersion)...)
	copy(p[at:], "GoNet usb")
	return binary.LittleEndian.AppendUint32(p, capabilities)
}

// readHello reads the peer's, and returns its capabilities.
func readHello(r io.Reader) (uint32, error) {
	var room [16]byte
	h, err := readHeader(r, &room, false)
	switch {
	case err != nil:
		return 0, err
	case h.kind != packetHello, h.length < helloVersion, (h.length-helloVersion)%4 != 0:
		return 0, protocolError(fmt.Sprintf("packet %d of %d bytes in place of hello", h.kind, h.length))
	}
	p := make([]byte, h.length)
	if _, err := io.ReadFull(r, p); err != nil {
		return 0, err
	}
	if len(p) == helloVersion {
		return 0, nil
	}
	return binary.LittleEndian.Uint32(p[helloVersion:]), nil
}

// A wire is how both ends write, by the capabilities that both have.
type wire struct{ caps uint32 }

func (w wire) wide() bool { return w.caps&capIDs != 0 }

func (w wire) bulkHeader() int {
	if w.caps&capLength != 0 {
		return 10
	}
	return 8
}

const controlHeader = 10

// appendEndpointInfo appends what endpoints alternate setting n has; nobody if it is
// negative.
func (w wire) appendEndpointInfo(p []byte, d *usb.Device, n int) []byte {
	length := 3 * infoEndpoints
	if w.caps&capMaxPacket != 0 {
		length += 2 * infoEndpoints
	}
	if w.caps&capStreams != 0 {
		length += 4 * infoEndpoints
	}
	p = appendHeader(p, packetEndpointInfo, length, 0, w.wide())
	const invalid, bulk = 255, 2
	var kinds [infoEndpoints]byte
	var sizes [infoEndpoints]uint16
	var streams [infoEndpoints]uint32
	for i := range kinds {
		kinds[i] = invalid
	}
	kinds[0], kinds[16] = 0, 0
	for _, e := range d.Endpoints(n) {
		i := e.Address&0x0f | e.Address>>7<<4
		kinds[i], sizes[i], streams[i] = bulk, uint16(e.MaxPacket), uint32(e.MaxStreams)
	}
	p = append(p, kinds[:]...)
	p = append(p, make([]byte, 2*infoEndpoints)...) // intervals, interfaces
	if w.caps&capMaxPacket != 0 {
		for _, s := range sizes {
			p = binary.LittleEndian.AppendUint16(p, s)
		}
	}
	if w.caps&capStreams != 0 {
		for _, s := range streams {
			p = binary.LittleEndian.AppendUint32(p, s)
		}
	}
	return p
}

// appendInterfaceInfo appends what the interface is in alternate setting n.
func (w wire) appendInterfaceInfo(p []byte, n int) []byte {
	p = appendHeader(p, packetInterfaceInfo, 4+4*infoEndpoints, 0, w.wide())
	p = binary.LittleEndian.AppendUint32(p, 1)
	protocol := byte(usb.ProtocolBulkOnly)
	if n == 1 {
		protocol = usb.ProtocolUAS
	}
	for _, v := range []byte{0, usb.ClassMassStorage, usb.SubclassSCSI, protocol} {
		at := len(p)
		p = append(p, make([]byte, infoEndpoints)...)
		p[at] = v
	}
	return p
}

func (w wire) appendConnect(p []byte, c usb.Config) []byte {
	length := 8
	if w.caps&capVersion != 0 {
		length = 10
	}
	p = appendHeader(p, packetConnect, length, 0, w.wide())
	speed := map[usb.Speed]byte{usb.FullSpeed: 1, usb.HighSpeed: 2, usb.SuperSpeed: 3}[c.Speed]
	p = append(p, speed, 0, 0, 0)
	p = binary.LittleEndian.AppendUint16(p, c.VendorID)
	p = binary.LittleEndian.AppendUint16(p, c.ProductID)
	if w.caps&capVersion != 0 {
		p = binary.LittleEndian.AppendUint16(p, c.Version)
	}
	return p
}

// status is that of a transfer.
func status(s usb.Status) byte {
	switch s {
	case usb.StatusOK:
		return statusOK
	case usb.StatusCanceled, usb.StatusReset:
		return statusCanceled
	case usb.StatusInvalid:
		return statusInvalid
	case usb.StatusStall:
		return statusStall
	case usb.StatusBabble:
		return statusBabble
	}
	return statusIOError
}
