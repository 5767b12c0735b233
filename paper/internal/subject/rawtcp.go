package subject

import (
	"encoding/binary"
	"net/netip"
)

const (
	flagFIN, flagSYN, flagRST, flagACK = 1, 2, 4, 16

	mss      = 1460
	trainLen = 44 * mss // as much as fits in an IPv4 datagram

	// scale of our window, which is always 65535 << scale: 16 MB.
	scale = 8
)

// fakeFlow is a connection of a fake host; the names are those of RFC 9293.
type fakeFlow struct {
	mac     [6]byte // of the peer
	peer    netip.AddrPort
	port    uint16 // ours
	rcvNxt  uint32
	sndUna  uint32
	sndNxt  uint32
	window  uint32 // of the peer, in bytes
	shift   uint8
	pending bool // to be acknowledged
}

// segment answers a segment.
func (f *fake) segment(frame []byte) {
	tcp := frame[etherLen+ipLen:]
	from := binary.BigEndian.Uint16(tcp)
	fl, flags := f.flows[from], tcp[13]
	switch {
	case flags&flagRST != 0:
		delete(f.flows, from)
	case flags&flagSYN != 0:
		f.open(frame, from)
	case fl == nil:
	case flags&flagFIN != 0:
		f.transmit(fl, flagRST|flagACK, 0, 0)
		delete(f.flows, from)
	default:
		f.established(fl, frame)
	}
}

// open answers a SYN.
func (f *fake) open(frame []byte, from uint16) {
	tcp := frame[etherLen+ipLen:]
	fl := &fakeFlow{
		mac: [6]byte(frame[6:]), peer: netip.AddrPortFrom(netip.AddrFrom4([4]byte(frame[26:])), from),
		port: binary.BigEndian.Uint16(tcp[2:]), rcvNxt: binary.BigEndian.Uint32(tcp[4:]) + 1,
		shift: windowScale(tcp[tcpLen:min(len(tcp), int(tcp[12]>>4)*4)]),
	}
	f.flows[from] = fl
	n := copy(f.body(), []byte{2, 4, mss >> 8, mss & 0xff, 1, 3, 3, scale})
	f.transmit(fl, flagSYN|flagACK, n, 0)
	clear(f.body()[:n])
	fl.sndNxt++
	fl.sndUna = fl.sndNxt
}

// windowScale finds the option of that name (RFC 7323 section 2.2).
func windowScale(options []byte) uint8 {
	for len(options) >= 2 {
		switch {
		case options[0] == 1:
			options = options[1:]
			continue
		case options[0] == 3 && len(options) >= 3:
			return options[2]
		case options[0] == 0 || options[1] < 2 || int(options[1]) > len(options):
			return 0
		}
		options = options[options[1]:]
	}
	return 0
}

// established takes what a segment acknowledges and carries. Nobody wants the
// text, so that of a lost segment is not missed: what follows it is acknowledged,
// and what has come is counted.
func (f *fake) established(fl *fakeFlow, frame []byte) {
	datagram := frame[etherLen:]
	tcp := datagram[ipLen:]
	fl.window = uint32(binary.BigEndian.Uint16(tcp[14:])) << fl.shift
	if ack := binary.BigEndian.Uint32(tcp[4+4:]); int32(ack-fl.sndUna) > 0 {
		fl.sndUna = ack
	}
	start, end := ipLen+int(tcp[12]>>4)*4, int(binary.BigEndian.Uint16(datagram[2:]))
	if start >= end || end > len(datagram) {
		return
	}
	payload := datagram[start:end]
	ahead := binary.BigEndian.Uint32(tcp[4:]) + uint32(len(payload)) - fl.rcvNxt
	if int32(ahead) <= 0 { // sent again: the acknowledgement was lost
		f.owe(fl)
		return
	}
	fl.rcvNxt += ahead
	f.counters.Bytes.Add(uint64(len(payload)))
	if f.work == Echo {
		f.counters.Requests.Add(1)
		n := copy(f.body(), payload)
		f.transmit(fl, flagACK, 0, n)
		fl.sndNxt += uint32(n)
		return
	}
	if f.copies {
		f.take(payload)
	}
	f.owe(fl)
}

// owe notes that fl is to be acknowledged.
func (f *fake) owe(fl *fakeFlow) {
	if !fl.pending {
		fl.pending = true
		f.pending = append(f.pending, fl)
	}
}

// take copies payload to the user's buffer, as reads of 256 KB would.
func (f *fake) take(payload []byte) {
	for len(payload) > 0 {
		n := copy(f.user[f.taken:], payload)
		payload = payload[n:]
		if f.taken += n; f.taken == len(f.user) {
			f.taken = 0
		}
	}
}

// acknowledge sends the acknowledgements that are owed.
func (f *fake) acknowledge() {
	for _, fl := range f.pending {
		fl.pending = false
		f.transmit(fl, flagACK, 0, 0)
	}
	f.pending = f.pending[:0]
}

// send sends as much as the windows of the peers take.
func (f *fake) send() {
	most := mss
	if f.offload {
		most = trainLen
	}
	for _, fl := range f.flows {
		for {
			inFlight := fl.sndNxt - fl.sndUna
			if inFlight >= fl.window {
				break
			}
			n := min(int(fl.window-inFlight), most)
			if n < most && inFlight > 0 {
				break // a larger piece fits soon
			}
			f.transmit(fl, flagACK, 0, n)
			fl.sndNxt += uint32(n)
			f.counters.Bytes.Add(uint64(n))
		}
	}
}

// resend goes back to what the peers have acknowledged.
func (f *fake) resend() {
	for _, fl := range f.flows {
		fl.sndNxt = fl.sndUna
	}
}
