package vhostblk

import (
	"encoding/binary"
	"math/bits"
)

// Features of block devices (VIRTIO 1.2 section 5.2.3).
const (
	featureSizeMax     = 1 << 1
	featureSegMax      = 1 << 2
	featureReadOnly    = 1 << 5
	featureBlockSize   = 1 << 6
	featureFlush       = 1 << 9
	featureTopology    = 1 << 10
	featureConfigWCE   = 1 << 11
	featureMQ          = 1 << 12
	featureDiscard     = 1 << 13
	featureWriteZeroes = 1 << 14

	featureAll = featureSizeMax | featureSegMax | featureReadOnly | featureBlockSize | featureFlush | featureTopology |
		featureConfigWCE | featureMQ | featureDiscard | featureWriteZeroes
)

// A space is the configuration space: struct virtio_blk_config, without what is
// behind write_zeroes_may_unmap (VIRTIO 1.2 section 5.2.4).
type space struct {
	capacity              uint64 // in sectors of 512 bytes
	sizeMax, segMax       uint32
	blockSize             uint32 // logical
	physicalExp           uint8  // logical blocks in a physical one, as a power of two
	minIO                 uint16 // in logical blocks
	optIO                 uint32 // in logical blocks
	writeback             bool
	queues                uint16
	maxDiscardSectors     uint32
	maxDiscardSeg         uint32
	discardAlignment      uint32 // in sectors
	maxWriteZeroesSectors uint32
	maxWriteZeroesSeg     uint32
	writeZeroesMayUnmap   bool
}

const (
	spaceLen    = 60
	writebackAt = 32
)

// encode writes it.
func (s *space) encode() []byte {
	p := make([]byte, spaceLen)
	le := binary.LittleEndian
	le.PutUint64(p, s.capacity)
	for at, v := range map[int]uint32{
		8: s.sizeMax, 12: s.segMax, 20: s.blockSize, 28: s.optIO,
		36: s.maxDiscardSectors, 40: s.maxDiscardSeg, 44: s.discardAlignment, 48: s.maxWriteZeroesSectors, 52: s.maxWriteZeroesSeg,
	} {
		le.PutUint32(p[at:], v)
	}
	p[24] = s.physicalExp
	le.PutUint16(p[26:], s.minIO)
	p[writebackAt] = bit(s.writeback)
	le.PutUint16(p[34:], s.queues)
	p[56] = bit(s.writeZeroesMayUnmap)
	return p
}

// decode reads one of spaceLen bytes.
func decodeSpace(p []byte) space {
	le := binary.LittleEndian
	return space{
		capacity: le.Uint64(p), sizeMax: le.Uint32(p[8:]), segMax: le.Uint32(p[12:]), blockSize: le.Uint32(p[20:]),
		physicalExp: p[24], minIO: le.Uint16(p[26:]), optIO: le.Uint32(p[28:]), writeback: p[writebackAt] != 0, queues: le.Uint16(p[34:]),
		maxDiscardSectors: le.Uint32(p[36:]), maxDiscardSeg: le.Uint32(p[40:]), discardAlignment: le.Uint32(p[44:]),
		maxWriteZeroesSectors: le.Uint32(p[48:]), maxWriteZeroesSeg: le.Uint32(p[52:]), writeZeroesMayUnmap: p[56] != 0,
	}
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// setTopology says that reads and writes of preferred bytes suit the disk best.
func (s *space) setTopology(preferred int) {
	if n := uint32(preferred) / s.blockSize; n > 1 && n < 1<<15 {
		s.physicalExp = uint8(bits.Len32(n) - 1)
		s.minIO = 1 << s.physicalExp
		s.optIO = uint32(s.minIO)
	}
}
