package scsi

import (
	"encoding/binary"
	"fmt"
)

// A SenseKey is the kind of an error (SPC-4 4.5.6).
type SenseKey uint8

const (
	NoSense        SenseKey = 0x0
	RecoveredError SenseKey = 0x1
	NotReady       SenseKey = 0x2
	MediumError    SenseKey = 0x3
	HardwareError  SenseKey = 0x4
	IllegalRequest SenseKey = 0x5
	UnitAttention  SenseKey = 0x6
	DataProtect    SenseKey = 0x7
	BlankCheck     SenseKey = 0x8
	CopyAborted    SenseKey = 0xa
	AbortedCommand SenseKey = 0xb
	Miscompare     SenseKey = 0xe
)

// A Code is an additional sense code and its qualifier, ASC<<8 | ASCQ (SPC-4 4.5.6
// and annex D).
type Code uint16

const (
	CodeNone                   Code = 0x0000
	CodeOperationInProgress    Code = 0x0016
	CodeWriteError             Code = 0x0c00
	CodeCopyUnitFailure        Code = 0x0d01 // third-party copies
	CodeCopyUnitNotReachable   Code = 0x0d02
	CodeCopyUnitType           Code = 0x0d03
	CodeInvalidInformationUnit Code = 0x0e03 // the length of the data that were announced
	CodeReadError              Code = 0x1100
	CodeParameterListLength    Code = 0x1a00
	CodeMiscompare             Code = 0x1d00
	CodeInvalidOpcode          Code = 0x2000
	CodeLBAOutOfRange          Code = 0x2100
	CodeInvalidField           Code = 0x2400 // in the CDB
	CodeNoUnit                 Code = 0x2500
	CodeInvalidParameter       Code = 0x2600 // in the parameter list
	CodeTooManyUnits           Code = 0x2606 // descriptors of third-party copies
	CodeUnitDescriptorType     Code = 0x2607
	CodeTooManySegments        Code = 0x2608
	CodeSegmentDescriptorType  Code = 0x2609
	CodeInexactSegment         Code = 0x260a
	CodeInlineDataLength       Code = 0x260b
	CodeInvalidRelease         Code = 0x2604 // of a persistent reservation
	CodeWriteProtected         Code = 0x2700
	CodeSoftwareWriteProtected Code = 0x2702
	CodeSpaceExhausted         Code = 0x2707
	CodeMediumChanged          Code = 0x2800 // not ready to ready
	CodePowerOn                Code = 0x2900
	CodeDeviceReset            Code = 0x2903
	CodeNexusLoss              Code = 0x2907
	CodeModeChanged            Code = 0x2a01
	CodeReservationsPreempted  Code = 0x2a03
	CodeReservationsReleased   Code = 0x2a04
	CodeRegistrationsPreempted Code = 0x2a05
	CodeCapacityChanged        Code = 0x2a09
	CodeCommandsCleared        Code = 0x2f00
	CodeSavingNotSupported     Code = 0x3900
	CodeIncompatibleFormat     Code = 0x3002 // of the medium
	CodeMediumNotPresent       Code = 0x3a00
	CodeTrayClosed             Code = 0x3a01 // and no medium
	CodeTrayOpen               Code = 0x3a02
	CodeLUNsChanged            Code = 0x3f0e
	CodeInternalFailure        Code = 0x4400
	CodeRemovalPrevented       Code = 0x5302
	CodeIllegalMode            Code = 0x6400 // for this track
	CodeRegistrationResources  Code = 0x5504
)

func (c Code) String() string { return fmt.Sprintf("%02Xh/%02Xh", uint8(c>>8), uint8(c)) }

// Sense is why a command has ended with CHECK CONDITION.
type Sense struct {
	Key  SenseKey
	Code Code

	// Information is valid with HasInformation: an LBA, as a rule.
	HasInformation bool
	Information    uint64

	// Specific are the sense key specific bytes, with SKSV: see PointTo.
	Specific [3]byte

	ILI bool // incorrect length
}

func (s Sense) Error() string {
	text := fmt.Sprintf("scsi: sense key %Xh, code %v", uint8(s.Key), s.Code)
	if s.HasInformation {
		text += fmt.Sprintf(", information %d", s.Information)
	}
	if inCDB, at, bit, ok := s.Field(); ok {
		place := "parameter list"
		if inCDB {
			place = "CDB"
		}
		if text += fmt.Sprintf(", byte %d", at); bit >= 0 {
			text += fmt.Sprintf(" bit %d", bit)
		}
		text += " of the " + place
	}
	return text
}

// PointTo makes s point to a field that is in error (SPC-4 4.5.2.4.2): the byte in the
// CDB or else in the parameter list, and the highest bit of the field in it, or a
// negative one for the byte as a whole.
func (s Sense) PointTo(inCDB bool, at, bit int) Sense {
	s.Specific = [3]byte{0x80, byte(at >> 8), byte(at)}
	if inCDB {
		s.Specific[0] |= 0x40
	}
	if bit >= 0 {
		s.Specific[0] |= 0x08 | byte(bit&7)
	}
	return s
}

// Field is what PointTo has set; bit is negative if there is none.
func (s Sense) Field() (inCDB bool, at, bit int, ok bool) {
	p := s.Specific
	if p[0]&0x80 == 0 || s.Key != IllegalRequest {
		return false, 0, 0, false
	}
	bit = -1
	if p[0]&0x08 != 0 {
		bit = int(p[0] & 7)
	}
	return p[0]&0x40 != 0, int(binary.BigEndian.Uint16(p[1:])), bit, true
}

// Append appends the sense data in descriptor format (SPC-4 4.5.2) or fixed format
// (4.5.3), at most 32 bytes. An Information that does not fit into the four bytes of
// the fixed format is left out of it.
func (s Sense) Append(p []byte, descriptor bool) []byte {
	if !descriptor {
		return s.appendFixed(p)
	}
	start := len(p)
	p = append(p, 0x72, byte(s.Key), byte(s.Code>>8), byte(s.Code), 0, 0, 0, 0)
	if s.HasInformation {
		p = append(p, 0x00, 0x0a, 0x80, 0)
		p = binary.BigEndian.AppendUint64(p, s.Information)
	}
	if s.Specific[0]&0x80 != 0 {
		p = append(p, 0x02, 0x06, 0, 0, s.Specific[0], s.Specific[1], s.Specific[2], 0)
	}
	if s.ILI {
		p = append(p, 0x05, 0x02, 0, 0x20) // block commands (SBC-3 4.18.2)
	}
	p[start+7] = byte(len(p) - start - 8)
	return p
}

func (s Sense) appendFixed(p []byte) []byte {
	var f [18]byte
	f[0] = 0x70
	f[2] = byte(s.Key)
	if s.ILI {
		f[2] |= 0x20
	}
	if s.HasInformation && s.Information <= 1<<32-1 {
		f[0] |= 0x80
		binary.BigEndian.PutUint32(f[3:], uint32(s.Information))
	}
	f[7] = byte(len(f) - 8)
	f[12], f[13] = byte(s.Code>>8), byte(s.Code)
	copy(f[15:], s.Specific[:])
	return append(p, f[:]...)
}

// ParseSense reads sense data of either format. What is cut off is taken for zero.
func ParseSense(p []byte) (s Sense, ok bool) {
	if len(p) == 0 {
		return s, false
	}
	switch p[0] & 0x7f {
	case 0x70, 0x71:
		var f [18]byte
		copy(f[:], p)
		s.Key, s.ILI = SenseKey(f[2]&0x0f), f[2]&0x20 != 0
		s.Code = Code(binary.BigEndian.Uint16(f[12:]))
		if f[0]&0x80 != 0 {
			s.HasInformation, s.Information = true, uint64(binary.BigEndian.Uint32(f[3:]))
		}
		if f[15]&0x80 != 0 {
			copy(s.Specific[:], f[15:])
		}
		return s, true
	case 0x72, 0x73:
		var h [8]byte
		copy(h[:], p)
		s.Key, s.Code = SenseKey(h[1]&0x0f), Code(binary.BigEndian.Uint16(h[2:]))
		if len(p) > 8 {
			s.parseDescriptors(p[8:min(len(p), 8+int(h[7]))])
		}
		return s, true
	}
	return s, false
}

func (s *Sense) parseDescriptors(p []byte) {
	for len(p) >= 2 && len(p) >= 2+int(p[1]) {
		d := p[:2+int(p[1])]
		p = p[len(d):]
		switch {
		case d[0] == 0x00 && len(d) >= 12 && d[2]&0x80 != 0:
			s.HasInformation, s.Information = true, binary.BigEndian.Uint64(d[4:])
		case d[0] == 0x02 && len(d) >= 7 && d[4]&0x80 != 0:
			copy(s.Specific[:], d[4:])
		case d[0] == 0x05 && len(d) >= 4:
			s.ILI = d[3]&0x20 != 0
		}
	}
}
