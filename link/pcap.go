package link

import (
	"bufio"
	"io"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// snapLen is more than any frame has, in bytes; it is the default of tcpdump.
const snapLen = 262144

type pcap struct {
	buffered *bufio.Writer
	file     *pcapgo.Writer
}

// Pcap returns a sink that writes a pcap file with time stamps in nanoseconds
// to w, for tcpdump and Wireshark. It writes through a buffer, which is
// written out each second and when the link is closed; closing w is left to the
// caller.
func Pcap(w io.Writer) Sink {
	p := &pcap{buffered: bufio.NewWriterSize(w, 64<<10)}
	p.file = pcapgo.NewWriterNanos(p.buffered)
	p.file.WriteFileHeader(snapLen, layers.LinkTypeEthernet) // into the empty buffer: cannot fail
	return p
}

func (p *pcap) Record(r Record) error {
	return p.file.WritePacket(gopacket.CaptureInfo{
		Timestamp:     r.Time,
		CaptureLength: len(r.Frame),
		Length:        len(r.Frame),
	}, r.Frame)
}

func (p *pcap) Flush() error { return p.buffered.Flush() }
