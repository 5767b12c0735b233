package scsi

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
)

// TransportIDs of iSCSI (SPC-4 7.6.4.6): a header of four bytes, a name that ends with a
// zero, filled up to a multiple of four bytes. In format 01b an initiator port is named, ",i,0x"
// and the ISID after the name of the device; in format 00b a device with all its ports.
const (
	transportHeader = 4
	transportLeast  = 20 // of ADDITIONAL LENGTH
	portSeparator   = ",i,0x"
)

// transportID writes the TransportID of a port. Of transports other than iSCSI it names the
// protocol alone, in 24 bytes.
func (r *reply) transportID(p InitiatorPort) {
	if p.Protocol != ProtocolISCSI {
		r.bytes(byte(p.Protocol))
		r.zeroes(23)
		return
	}
	name := p.Name + portSeparator + hex.EncodeToString(p.ISID[:])
	length := max((len(name)+4)&^3, transportLeast)
	r.bytes(0x40|byte(ProtocolISCSI), 0)
	r.u16(length)
	r.text(name, len(name))
	r.zeroes(length - len(name))
}

// parseTransportID reads the first TransportID of p. n is its length. device says that it names
// all ports of a device.
func parseTransportID(p []byte) (port InitiatorPort, device bool, n int, ok bool) {
	if len(p) < transportHeader || p[0]&0x3f != byte(ProtocolISCSI) || p[0]&0x80 != 0 {
		return port, false, 0, false
	}
	length := int(binary.BigEndian.Uint16(p[2:]))
	n = transportHeader + length
	if length < transportLeast || length%4 != 0 || len(p) < n {
		return port, false, 0, false
	}
	text, _, ended := strings.Cut(string(p[transportHeader:n]), "\x00")
	if !ended || text == "" {
		return port, false, 0, false
	}
	port.Protocol = ProtocolISCSI
	if p[0]&0x40 == 0 {
		port.Name = text
		return port, true, n, !strings.Contains(text, portSeparator)
	}
	name, isid, found := strings.Cut(text, portSeparator)
	bytes, err := hex.DecodeString(isid)
	if !found || err != nil || len(bytes) != len(port.ISID) || name == "" || len(name) > 223 { // RFC 7143 4.2.7.1
		return port, false, 0, false
	}
	port.Name = name
	copy(port.ISID[:], bytes)
	return port, false, n, true
}
