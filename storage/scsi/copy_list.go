package scsi

import "encoding/binary"

// Bounds of third-party copies, which RECEIVE COPY OPERATING PARAMETERS tells.
const (
	maxCopyUnits       = 16   // CSCD descriptors of one command
	maxCopySegments    = 64   // segment descriptors of one command
	maxCopyDescriptors = 4096 // bytes of both
	maxCopies          = 16   // list identifiers of one nexus at one unit

	copyHeader  = 16 // of the parameter list
	unitLength  = 32 // of a CSCD descriptor
	blockLength = 28 // of a segment descriptor from blocks to blocks
)

// Descriptor types that are taken (SPC-4 6.4.5, 6.4.6).
const (
	unitDescriptor    = 0xe4 // a unit by its designator
	segmentDescriptor = 0x02 // from a block device to a block device
	ownUnit           = 0xffff
)

// A copyList is the parameter list of EXTENDED COPY(LID1), SPC-4 6.5.
type copyList struct {
	id       byte
	usage    byte // LIST ID USAGE
	units    []copyUnit
	segments []copySegment
}

// LIST ID USAGE (SPC-4 6.4.3.2).
const (
	usageHold    = 0x0
	usageDiscard = 0x2
	usageNone    = 0x3
)

// A copyUnit names a unit by its NAA designator.
type copyUnit struct {
	name      uint64
	blockSize int // 0 if it is not said
	at        int // in the list
}

// A copySegment is blocks to copy. The numbers are those of units in the list, or ownUnit.
type copySegment struct {
	from, to       int
	fromLBA, toLBA uint64
	blocks         int
	ofTo           bool // DC: blocks counts those of the destination
}

// parseCopyList reads and checks a parameter list that has at least its header.
func parseCopyList(p []byte) (l copyList, s Sense) {
	units, segments := int(binary.BigEndian.Uint16(p[2:])), uint64(binary.BigEndian.Uint32(p[8:]))
	inline := binary.BigEndian.Uint32(p[12:])
	illegal := func(c Code) Sense { return Sense{Key: IllegalRequest, Code: c} }
	l.id, l.usage = p[0], p[1]>>3&3
	switch {
	case l.usage == 0x1, l.usage == usageNone && l.id != 0:
		return l, inList(1, 4)
	case uint64(units)+segments > maxCopyDescriptors:
		return l, illegal(CodeParameterListLength)
	case units/unitLength > maxCopyUnits:
		return l, illegal(CodeTooManyUnits)
	case inline > 0:
		return l, illegal(CodeInlineDataLength)
	case copyHeader+units+int(segments) != len(p), units%unitLength != 0:
		return l, illegal(CodeParameterListLength)
	}
	at := copyHeader
	for ; at < copyHeader+units; at += unitLength {
		u, s := parseCopyUnit(p[at:at+unitLength], at)
		if s.Key != NoSense {
			return l, s
		}
		l.units = append(l.units, u)
	}
	for at < len(p) {
		if len(l.segments) == maxCopySegments {
			return l, illegal(CodeTooManySegments)
		}
		g, n, s := parseCopySegment(p[at:], at)
		if s.Key != NoSense {
			return l, s
		}
		l.segments = append(l.segments, g)
		at += n
	}
	return l, s
}

// parseCopyUnit reads a CSCD descriptor (SPC-4 6.4.5.6). LU ID TYPE is not looked at, nor is
// NUL.
func parseCopyUnit(d []byte, at int) (u copyUnit, s Sense) {
	u.at = at
	switch {
	case d[0] != unitDescriptor:
		s = Sense{Key: IllegalRequest, Code: CodeUnitDescriptorType}
	case d[1]&0x1f != byte(Disk):
		s = inList(at+1, 4)
	case d[4]&0x0f != 0x01 || d[5]&0x3f != ofUnit|0x03: // binary, NAA of a unit
		s = inList(at+4, -1)
	case d[7] != 8:
		s = inList(at+7, -1)
	}
	u.name = binary.BigEndian.Uint64(d[8:])
	u.blockSize = int(binary.BigEndian.Uint32(d[28:]) & 0xffffff)
	return u, s
}

// parseCopySegment reads the first segment descriptor of p (SPC-4 6.4.6.4), whose length is n.
func parseCopySegment(p []byte, at int) (g copySegment, n int, s Sense) {
	switch {
	case p[0] != segmentDescriptor:
		return g, 0, Sense{Key: IllegalRequest, Code: CodeSegmentDescriptorType}
	case len(p) < blockLength:
		return g, 0, Sense{Key: IllegalRequest, Code: CodeParameterListLength}
	case binary.BigEndian.Uint16(p[2:]) != blockLength-4:
		return g, 0, inList(at+2, -1)
	}
	return copySegment{
		from: int(binary.BigEndian.Uint16(p[4:])), to: int(binary.BigEndian.Uint16(p[6:])),
		ofTo: p[1]&0x02 != 0, blocks: int(binary.BigEndian.Uint16(p[10:])),
		fromLBA: binary.BigEndian.Uint64(p[12:]), toLBA: binary.BigEndian.Uint64(p[20:]),
	}, blockLength, s
}
