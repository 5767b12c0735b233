package subject

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// The works that show what a call of the device costs.
const (
	ReadCost  = "read frames"
	WriteCost = "write frames"
)

// writeFrames writes frames of 1514 bytes without end, of a kind that the kernel
// throws away as soon as it has got them.
func (f *fake) writeFrames() {
	b := f.out[:f.vnet+mtu+etherLen]
	copy(b[f.vnet:], []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	copy(b[f.vnet+6:], ourMAC[:])
	binary.BigEndian.PutUint16(b[f.vnet+12:], 0x88b5) // for experiments (IEEE 802, table 12)
	const batch = 1000
	for f.writeErr == nil {
		start := time.Now()
		for range batch {
			f.write(b)
		}
		f.count(batch, time.Since(start))
	}
}

// readFrames has the kernel send datagrams as long as its queue, and then
// reads them, again and again: only the reading counts.
func (f *fake) readFrames() {
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(f.addr, 9))
	c, err := net.DialUDP("udp4", nil, to)
	if err != nil {
		return
	}
	defer c.Close()
	datagram := make([]byte, mtu-ipLen-8)
	for err == nil || err == unix.EAGAIN {
		const batch = 400 // a tap's queue has 500 at least
		for range batch {
			c.Write(datagram) // what is lost is not counted
		}
		start, frames := time.Now(), 0
		for f.read(false) == nil {
			frames++
		}
		f.count(frames, time.Since(start))
		err = f.err
	}
}

func (f *fake) count(frames int, busy time.Duration) {
	f.counters.Requests.Add(uint64(frames))
	f.counters.Busy.Add(int64(busy))
}
