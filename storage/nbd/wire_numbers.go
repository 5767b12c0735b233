package nbd

import (
	"fmt"
	"strings"
)

// Magic numbers.
const (
	magicGreeting        = 0x4e42444d41474943 // "NBDMAGIC"
	magicOption          = 0x49484156454f5054 // "IHAVEOPT"
	magicOptionReply     = 0x0003e889045565a9
	magicOldstyle        = 0x00420281861253
	magicRequest         = 0x25609513
	magicRequestExtended = 0x21e41c71
	magicSimpleReply     = 0x67446698
	magicStructuredReply = 0x668e33ef
	magicExtendedReply   = 0x6e8a278c
)

// Limits of the specification: strings (Conventions), and what each side must
// bear where no sizes were negotiated (Size constraints).
const (
	maxString           = 4096
	defaultMaxPayload   = 32 << 20
	maxMinimumBlockSize = 64 << 10
	maxStatusExtents    = 1 << 20 // descriptors in one chunk
)

// Handshake flags, from the server, and client flags, its answer, have the same
// two bits.
const (
	flagFixedNewstyle = 1 << 0
	flagNoZeroes      = 1 << 1
)

// Flags are the transmission flags: what an export is, and which requests its
// server takes.
type Flags uint16

const (
	FlagHasFlags           Flags = 1 << 0
	FlagReadOnly           Flags = 1 << 1
	FlagSendFlush          Flags = 1 << 2
	FlagSendFUA            Flags = 1 << 3
	FlagRotational         Flags = 1 << 4
	FlagSendTrim           Flags = 1 << 5
	FlagSendWriteZeroes    Flags = 1 << 6
	FlagSendDF             Flags = 1 << 7
	FlagCanMultiConn       Flags = 1 << 8
	FlagSendResize         Flags = 1 << 9
	FlagSendCache          Flags = 1 << 10
	FlagSendFastZero       Flags = 1 << 11
	FlagBlockStatusPayload Flags = 1 << 12
)

// Has says whether all of f2 are set.
func (f Flags) Has(f2 Flags) bool { return f&f2 == f2 }

// String lists the flags by the names of the specification, without their
// prefix.
func (f Flags) String() string {
	return bitNames(uint16(f), "HAS_FLAGS", "READ_ONLY", "SEND_FLUSH", "SEND_FUA", "ROTATIONAL", "SEND_TRIM",
		"SEND_WRITE_ZEROES", "SEND_DF", "CAN_MULTI_CONN", "SEND_RESIZE", "SEND_CACHE", "SEND_FAST_ZERO", "BLOCK_STATUS_PAYLOAD")
}

// bitNames lists the names of the bits that are set in v.
func bitNames(v uint16, names ...string) string {
	var set []string
	for i, name := range names {
		if v&(1<<i) != 0 {
			set = append(set, name)
			v &^= 1 << i
		}
	}
	if v != 0 {
		set = append(set, fmt.Sprintf("%#x", v))
	}
	return strings.Join(set, "|")
}

// An option is a request of the handshake.
type option uint32

const (
	optExportName      option = 1
	optAbort           option = 2
	optList            option = 3
	optStartTLS        option = 5
	optInfo            option = 6
	optGo              option = 7
	optStructuredReply option = 8
	optListMetaContext option = 9
	optSetMetaContext  option = 10
	optExtendedHeaders option = 11
)

func (o option) String() string {
	switch o {
	case optExportName:
		return "EXPORT_NAME"
	case optAbort:
		return "ABORT"
	case optList:
		return "LIST"
	case optStartTLS:
		return "STARTTLS"
	case optInfo:
		return "INFO"
	case optGo:
		return "GO"
	case optStructuredReply:
		return "STRUCTURED_REPLY"
	case optListMetaContext:
		return "LIST_META_CONTEXT"
	case optSetMetaContext:
		return "SET_META_CONTEXT"
	case optExtendedHeaders:
		return "EXTENDED_HEADERS"
	}
	return fmt.Sprintf("option %d", uint32(o))
}

// A replyType says what a reply to an option is. Those with the highest bit set
// are errors, and carry a message for people.
type replyType uint32

const (
	repAck         replyType = 1
	repServer      replyType = 2
	repInfo        replyType = 3
	repMetaContext replyType = 4

	repErrUnsup             replyType = 1<<31 + 1
	repErrPolicy            replyType = 1<<31 + 2
	repErrInvalid           replyType = 1<<31 + 3
	repErrPlatform          replyType = 1<<31 + 4
	repErrTLSRequired       replyType = 1<<31 + 5
	repErrUnknown           replyType = 1<<31 + 6
	repErrShutdown          replyType = 1<<31 + 7
	repErrBlockSizeRequired replyType = 1<<31 + 8
	repErrTooBig            replyType = 1<<31 + 9
	repErrExtendedRequired  replyType = 1<<31 + 10
)

func (t replyType) isError() bool { return t&(1<<31) != 0 }

func (t replyType) String() string {
	switch t {
	case repAck:
		return "ACK"
	case repServer:
		return "SERVER"
	case repInfo:
		return "INFO"
	case repMetaContext:
		return "META_CONTEXT"
	case repErrUnsup:
		return "ERR_UNSUP"
	case repErrPolicy:
		return "ERR_POLICY"
	case repErrInvalid:
		return "ERR_INVALID"
	case repErrPlatform:
		return "ERR_PLATFORM"
	case repErrTLSRequired:
		return "ERR_TLS_REQD"
	case repErrUnknown:
		return "ERR_UNKNOWN"
	case repErrShutdown:
		return "ERR_SHUTDOWN"
	case repErrBlockSizeRequired:
		return "ERR_BLOCK_SIZE_REQD"
	case repErrTooBig:
		return "ERR_TOO_BIG"
	case repErrExtendedRequired:
		return "ERR_EXT_HEADER_REQD"
	}
	return fmt.Sprintf("reply type %#x", uint32(t))
}

// An infoType is a kind of information about an export, asked for with INFO and
// GO.
type infoType uint16

const (
	infoExport      infoType = 0
	infoName        infoType = 1
	infoDescription infoType = 2
	infoBlockSize   infoType = 3
)

// A command is the type of a request of the transmission phase.
type command uint16

const (
	cmdRead        command = 0
	cmdWrite       command = 1
	cmdDisc        command = 2
	cmdFlush       command = 3
	cmdTrim        command = 4
	cmdCache       command = 5
	cmdWriteZeroes command = 6
	cmdBlockStatus command = 7
	cmdResize      command = 8
)

func (c command) String() string {
	switch c {
	case cmdRead:
		return "READ"
	case cmdWrite:
		return "WRITE"
	case cmdDisc:
		return "DISC"
	case cmdFlush:
		return "FLUSH"
	case cmdTrim:
		return "TRIM"
	case cmdCache:
		return "CACHE"
	case cmdWriteZeroes:
		return "WRITE_ZEROES"
	case cmdBlockStatus:
		return "BLOCK_STATUS"
	case cmdResize:
		return "RESIZE"
	}
	return fmt.Sprintf("command %d", uint16(c))
}

// Command flags change what a request means.
type commandFlags uint16

const (
	cmdFlagFUA        commandFlags = 1 << 0
	cmdFlagNoHole     commandFlags = 1 << 1
	cmdFlagDF         commandFlags = 1 << 2
	cmdFlagReqOne     commandFlags = 1 << 3
	cmdFlagFastZero   commandFlags = 1 << 4
	cmdFlagPayloadLen commandFlags = 1 << 5
)

func (f commandFlags) String() string {
	return bitNames(uint16(f), "FUA", "NO_HOLE", "DF", "REQ_ONE", "FAST_ZERO", "PAYLOAD_LEN")
}

// A chunkType says what a chunk of a structured or extended reply carries. Those
// with the highest bit set are errors.
type chunkType uint16

const (
	chunkNone                chunkType = 0
	chunkOffsetData          chunkType = 1
	chunkOffsetHole          chunkType = 2
	chunkBlockStatus         chunkType = 5
	chunkBlockStatusExtended chunkType = 6
	chunkError               chunkType = 1<<15 + 1
	chunkErrorOffset         chunkType = 1<<15 + 2
)

func (t chunkType) isError() bool { return t&(1<<15) != 0 }

// chunkDone is the flag of the last chunk of a reply.
const chunkDone uint16 = 1

// Flags of an extent in the context base:allocation.
const (
	contextAllocation = "base:allocation"

	stateHole = 1 << 0
	stateZero = 1 << 1
)
