package link

import (
	"bufio"
	"errors"
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
	begun    bool // the header of the file is there
	ip       bool // frames are datagrams, by that header
}

// Pcap returns a sink that writes a pcap file with time stamps in nanoseconds
// to w, for tcpdump and Wireshark. It writes through a buffer, which is
// written out each second and when the link is closed; closing w is left to the
// caller. The file is of one type of link: Ethernet, or, when the first record is
// one of [Link.IP], raw IP. Records of the other kind are an error.
func Pcap(w io.Writer) Sink {
	p := &pcap{buffered: bufio.NewWriterSize(w, 64<<10)}
	p.file = pcapgo.NewWriterNanos(p.buffered)
	return p
}

// begin writes the header of the file, into the empty buffer: it cannot fail.
func (p *pcap) begin(ip bool) {
	if p.begun {
		return
	}
	p.begun, p.ip = true, ip
	kind := layers.LinkTypeEthernet
	if ip {
		kind = layers.LinkTypeRaw
	}
	p.file.WriteFileHeader(snapLen, kind)
}

var errKinds = errors.New("link: a pcap file has frames of Ethernet or raw IP, not both")

func (p *pcap) Record(r Record) error {
	p.begin(r.IP)
	if r.IP != p.ip {
		return errKinds
	}
	return p.file.WritePacket(gopacket.CaptureInfo{
		Timestamp:     r.Time,
		CaptureLength: len(r.Frame),
		Length:        len(r.Frame),
	}, r.Frame)
}

func (p *pcap) Flush() error {
	p.begin(false)
	return p.buffered.Flush()
}
