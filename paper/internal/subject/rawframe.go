package subject

import (
	"encoding/binary"

	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/ip"
)

const (
	etherLen, ipLen, tcpLen = 14, 20, 20
	headersLen              = etherLen + ipLen + tcpLen

	protocolTCP, protocolUDP = 6, 17
)

// receive answers a frame behind its virtio-net header.
func (f *fake) receive(b []byte) {
	if len(b) < f.vnet+etherLen+ipLen+8 {
		return
	}
	frame := b[f.vnet:]
	switch kind := binary.BigEndian.Uint16(frame[12:]); {
	case kind == 0x0806:
		f.answerARP(b, frame)
	case kind != 0x0800 || [4]byte(frame[30:]) != f.addr.As4() || frame[14] != 0x45:
	case frame[23] == protocolUDP && f.work == UDPEcho:
		f.answerUDP(b, frame)
	case frame[23] == protocolTCP && len(frame) >= headersLen:
		f.segment(frame)
	}
}

// answerARP turns a request for our address into its reply (RFC 826).
func (f *fake) answerARP(b, frame []byte) {
	if len(frame) < 42 || [4]byte(frame[38:]) != f.addr.As4() || frame[21] != 1 {
		return
	}
	copy(frame[0:], frame[6:12])
	copy(frame[6:], ourMAC[:])
	frame[21] = 2
	copy(frame[32:42], frame[22:32])
	copy(frame[22:], ourMAC[:])
	ours := f.addr.As4()
	copy(frame[28:], ours[:])
	f.write(b)
}

// answerUDP sends a datagram back as it is. The addresses and ports change
// places, so that no checksum changes; nor does the virtio-net header.
func (f *fake) answerUDP(b, frame []byte) {
	swap(frame[0:6], frame[6:12])
	swap(frame[26:30], frame[30:34])
	swap(frame[34:36], frame[36:38])
	f.counters.Requests.Add(1)
	f.write(b)
}

func swap(a, b []byte) {
	for i := range a {
		a[i], b[i] = b[i], a[i]
	}
}

// body is where the options and the payload of a segment to be sent go.
func (f *fake) body() []byte { return f.out[f.vnet+headersLen:] }

// transmit puts headers before the options and the payload in the body, and
// sends them.
func (f *fake) transmit(fl *fakeFlow, flags byte, optionsLen, payloadLen int) {
	b := f.out[:f.vnet+headersLen+optionsLen+payloadLen]
	frame := b[f.vnet:]
	copy(frame[0:], fl.mac[:])
	copy(frame[6:], ourMAC[:])
	binary.BigEndian.PutUint16(frame[12:], 0x0800)

	datagram := frame[etherLen:]
	clear(datagram[:ipLen+tcpLen])
	datagram[0], datagram[6], datagram[8], datagram[9] = 0x45, 0x40, 64, protocolTCP
	binary.BigEndian.PutUint16(datagram[2:], uint16(len(datagram)))
	ours, theirs := f.addr.As4(), fl.peer.Addr().As4()
	copy(datagram[12:], ours[:])
	copy(datagram[16:], theirs[:])
	binary.BigEndian.PutUint16(datagram[10:], checksum.Of(datagram[:ipLen]))

	tcp := datagram[ipLen:]
	binary.BigEndian.PutUint16(tcp[0:], fl.port)
	binary.BigEndian.PutUint16(tcp[2:], fl.peer.Port())
	binary.BigEndian.PutUint32(tcp[4:], fl.sndNxt)
	binary.BigEndian.PutUint32(tcp[8:], fl.rcvNxt)
	tcp[12], tcp[13] = byte(tcpLen+optionsLen)/4<<4, flags
	binary.BigEndian.PutUint16(tcp[14:], 0xffff)
	pseudo := ip.PseudoSum(f.addr, fl.peer.Addr(), protocolTCP, len(tcp))
	if f.offload {
		binary.BigEndian.PutUint16(tcp[16:], checksum.Fold(pseudo))
		leaveToDevice(b, payloadLen)
	} else {
		binary.BigEndian.PutUint16(tcp[16:], ^checksum.Fold(checksum.Sum(f.summed(tcp), pseudo)))
	}
	f.write(b)
}

// summed is the part of a segment that is not known to be zeros.
func (f *fake) summed(tcp []byte) []byte {
	if f.work == Source {
		return tcp[:int(tcp[12]>>4)*4]
	}
	return tcp
}

// leaveToDevice writes a virtio-net header that has the device complete the
// checksum, and cut what is longer than a segment.
func leaveToDevice(b []byte, payloadLen int) {
	const needsChecksum, tcpTrain = 1, 1
	clear(b[:vnetLen])
	b[0] = needsChecksum
	binary.LittleEndian.PutUint16(b[6:], etherLen+ipLen) // where to sum from
	binary.LittleEndian.PutUint16(b[8:], 16)             // and where to put it
	if payloadLen > mss {
		b[1] = tcpTrain
		binary.LittleEndian.PutUint16(b[2:], headersLen)
		binary.LittleEndian.PutUint16(b[4:], mss)
	}
}
