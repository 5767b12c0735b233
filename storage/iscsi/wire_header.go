package iscsi

import (
	"encoding/binary"
	"fmt"
)

// An opcode says what a PDU is (RFC 7143, 11.2.1.2).
type opcode byte

// Requests, which initiators send, and responses, which targets send.
const (
	opNopOut  opcode = 0x00 // 11.18
	opCommand opcode = 0x01 // 11.3
	opTask    opcode = 0x02 // 11.5, task management function request
	opLogin   opcode = 0x03 // 11.12
	opText    opcode = 0x04 // 11.10
	opDataOut opcode = 0x05 // 11.7
	opLogout  opcode = 0x06 // 11.14
	opSNACK   opcode = 0x10 // 11.16

	opNopIn        opcode = 0x20 // 11.19
	opResponse     opcode = 0x21 // 11.4
	opTaskResponse opcode = 0x22 // 11.6
	opLoginResp    opcode = 0x23 // 11.13
	opTextResp     opcode = 0x24 // 11.11
	opDataIn       opcode = 0x25 // 11.7
	opLogoutResp   opcode = 0x26 // 11.15
	opR2T          opcode = 0x31 // 11.8
	opAsync        opcode = 0x32 // 11.9
	opReject       opcode = 0x3f // 11.17
)

var opcodeNames = map[opcode]string{
	opNopOut: "NOP-Out", opCommand: "SCSI Command", opTask: "Task Management", opLogin: "Login",
	opText: "Text", opDataOut: "Data-Out", opLogout: "Logout", opSNACK: "SNACK",
	opNopIn: "NOP-In", opResponse: "SCSI Response", opTaskResponse: "Task Management Response",
	opLoginResp: "Login Response", opTextResp: "Text Response", opDataIn: "Data-In",
	opLogoutResp: "Logout Response", opR2T: "R2T", opAsync: "Async Message", opReject: "Reject",
}

func (o opcode) String() string {
	if name := opcodeNames[o]; name != "" {
		return name
	}
	return fmt.Sprintf("opcode %#02x", byte(o))
}

// Sizes of the parts of a PDU (RFC 7143, 11.2).
const (
	headerSize     = 48
	digestSize     = 4
	maxAHS         = 255 * 4
	maxDataSegment = 1<<24 - 1
)

// reservedTag is the value of an initiator or target transfer tag that is none
// (RFC 7143, 11.2.1.8).
const reservedTag = 0xffffffff

// Flags of byte 1; what each bit means depends on the opcode.
const (
	flagFinal     = 0x80 // F (most PDUs)
	flagContinue  = 0x40 // C (Login, Text)
	flagTransit   = 0x80 // T (Login)
	flagRead      = 0x40 // R (Command)
	flagWrite     = 0x20 // W (Command)
	flagAck       = 0x40 // A (Data-In)
	flagBidiOver  = 0x10 // o (Response)
	flagBidiUnder = 0x08 // u (Response)
	flagOverflow  = 0x04 // O (Response, Data-In)
	flagUnderflow = 0x02 // U (Response, Data-In)
	flagStatus    = 0x01 // S (Data-In)
)

// A header is a basic header segment (RFC 7143, 11.2.1). Its methods are the fields,
// by the names that the RFC gives them; which of them a PDU has depends on its
// opcode, and several share their bytes.
type header [headerSize]byte

func (h *header) word(at int) uint32       { return binary.BigEndian.Uint32(h[at:]) }
func (h *header) setWord(at int, v uint32) { binary.BigEndian.PutUint32(h[at:], v) }

func (h *header) opcode() opcode  { return opcode(h[0] & 0x3f) }
func (h *header) immediate() bool { return h[0]&0x40 != 0 }
func (h *header) flags() byte     { return h[1] }
func (h *header) final() bool     { return h[1]&flagFinal != 0 }
func (h *header) ahsLength() int  { return int(h[4]) * 4 }
func (h *header) dataLength() int { return int(h[5])<<16 | int(h[6])<<8 | int(h[7]) }
func (h *header) lun() uint64     { return binary.BigEndian.Uint64(h[8:]) }
func (h *header) itt() uint32     { return h.word(16) }

func (h *header) setDataLength(n int) { h[5], h[6], h[7] = byte(n>>16), byte(n>>8), byte(n) }
func (h *header) setLUN(l uint64)     { binary.BigEndian.PutUint64(h[8:], l) }
func (h *header) setITT(t uint32)     { h.setWord(16, t) }

// Of requests and responses that carry them.
func (h *header) ttt() uint32           { return h.word(20) } // Data, NOP, Text, R2T
func (h *header) cmdSN() uint32         { return h.word(24) } // requests
func (h *header) expStatSN() uint32     { return h.word(28) } // requests
func (h *header) statSN() uint32        { return h.word(24) } // responses
func (h *header) expCmdSN() uint32      { return h.word(28) } // responses
func (h *header) maxCmdSN() uint32      { return h.word(32) } // responses
func (h *header) setTTT(v uint32)       { h.setWord(20, v) }
func (h *header) setCmdSN(v uint32)     { h.setWord(24, v) }
func (h *header) setExpStatSN(v uint32) { h.setWord(28, v) }
func (h *header) setStatSN(v uint32)    { h.setWord(24, v) }
func (h *header) setExpCmdSN(v uint32)  { h.setWord(28, v) }
func (h *header) setMaxCmdSN(v uint32)  { h.setWord(32, v) }

// SCSI Command (RFC 7143, 11.3).
func (h *header) attribute() byte        { return h[1] & 7 }
func (h *header) expectedLength() uint32 { return h.word(20) }
func (h *header) cdb() []byte            { return h[32:48] }

// Data-Out, Data-In and R2T (RFC 7143, 11.7 and 11.8).
func (h *header) dataSN() uint32             { return h.word(36) } // R2TSN of R2T
func (h *header) bufferOffset() uint32       { return h.word(40) }
func (h *header) desiredLength() uint32      { return h.word(44) } // R2T
func (h *header) residual() uint32           { return h.word(44) } // Data-In, Response
func (h *header) setDataSN(v uint32)         { h.setWord(36, v) }
func (h *header) setBufferOffset(v uint32)   { h.setWord(40, v) }
func (h *header) setDesiredLength(v uint32)  { h.setWord(44, v) }
func (h *header) setResidual(v uint32)       { h.setWord(44, v) }
func (h *header) response() byte             { return h[2] } // Response, Task Management, Logout
func (h *header) status() byte               { return h[3] } // Response, Data-In
func (h *header) setResponse(r, status byte) { h[2], h[3] = r, status }

// Task Management Function Request (RFC 7143, 11.5).
func (h *header) function() byte            { return h[1] & 0x7f }
func (h *header) referencedTag() uint32     { return h.word(20) }
func (h *header) refCmdSN() uint32          { return h.word(32) }
func (h *header) setReferencedTag(v uint32) { h.setWord(20, v) }
func (h *header) setRefCmdSN(v uint32)      { h.setWord(32, v) }

// Login (RFC 7143, 11.12 and 11.13).
func (h *header) csg() stage          { return stage(h[1] >> 2 & 3) }
func (h *header) nsg() stage          { return stage(h[1] & 3) }
func (h *header) versionMax() byte    { return h[2] }
func (h *header) versionMin() byte    { return h[3] }
func (h *header) isid() (id [6]byte)  { copy(id[:], h[8:14]); return id }
func (h *header) tsih() uint16        { return binary.BigEndian.Uint16(h[14:]) }
func (h *header) cid() uint16         { return binary.BigEndian.Uint16(h[20:]) } // Logout too
func (h *header) loginStatus() status { return status(binary.BigEndian.Uint16(h[36:])) }

func (h *header) setISID(id [6]byte)      { copy(h[8:14], id[:]) }
func (h *header) setTSIH(v uint16)        { binary.BigEndian.PutUint16(h[14:], v) }
func (h *header) setCID(v uint16)         { binary.BigEndian.PutUint16(h[20:], v) }
func (h *header) setLoginStatus(s status) { binary.BigEndian.PutUint16(h[36:], uint16(s)) }

// newHeader is a header of an opcode with the flags of byte 1.
func newHeader(o opcode, flags byte, itt uint32) (h header) {
	h[0], h[1] = byte(o), flags
	h.setITT(itt)
	return h
}

// A stage is a phase of a connection (RFC 7143, 11.12.3).
type stage byte

const (
	stageSecurity    stage = 0
	stageOperational stage = 1
	stageFull        stage = 3
)

// A status is class and detail of a Login Response (RFC 7143, 11.13.5).
type status uint16

const (
	loginSuccess        status = 0x0000
	loginMovedTemporary status = 0x0101
	loginMovedPermanent status = 0x0102
	loginInitiatorError status = 0x0200
	loginAuthentication status = 0x0201
	loginForbidden      status = 0x0202
	loginNotFound       status = 0x0203
	loginRemoved        status = 0x0204
	loginVersion        status = 0x0205
	loginTooManyConns   status = 0x0206
	loginMissing        status = 0x0207
	loginCannotInclude  status = 0x0208
	loginSessionType    status = 0x0209
	loginNoSession      status = 0x020a
	loginInvalid        status = 0x020b
	loginTargetError    status = 0x0300
	loginUnavailable    status = 0x0301
	loginOutOfResources status = 0x0302
)

var statusTexts = map[status]string{
	loginSuccess:        "success",
	loginMovedTemporary: "the target has moved temporarily",
	loginMovedPermanent: "the target has moved permanently",
	loginInitiatorError: "initiator error",
	loginAuthentication: "authentication failure",
	loginForbidden:      "authorization failure",
	loginNotFound:       "target not found",
	loginRemoved:        "target removed",
	loginVersion:        "unsupported version",
	loginTooManyConns:   "too many connections",
	loginMissing:        "missing parameter",
	loginCannotInclude:  "cannot include in session",
	loginSessionType:    "session type not supported",
	loginNoSession:      "session does not exist",
	loginInvalid:        "invalid request during login",
	loginTargetError:    "target error",
	loginUnavailable:    "service unavailable",
	loginOutOfResources: "out of resources",
}

func (s status) String() string {
	if text := statusTexts[s]; text != "" {
		return text
	}
	return fmt.Sprintf("status %#04x", uint16(s))
}
