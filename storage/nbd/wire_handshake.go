package nbd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Sizes of the messages of the handshake that have one, in bytes.
const (
	greetingSize         = 18
	clientFlagsSize      = 4
	optionHeaderSize     = 16
	optionReplySize      = 20
	exportReplySize      = 10  // of EXPORT_NAME, before the zeroes
	exportReplyZeroes    = 124 // unless both ends set NO_ZEROES
	infoExportSize       = 12
	infoBlockSizeSize    = 14
	metaContextFixedSize = 4
)

// Errors of decoding. They are wrapped with what was decoded.
var (
	errMagic    = errors.New("wrong magic number")
	errOldstyle = errors.New("the server speaks only the oldstyle negotiation")
	errShort    = errors.New("lengths inside do not fit the length of the whole")
	errString   = errors.New("a string longer than 4096 bytes, not UTF-8, or with a NUL")
)

func appendGreeting(b []byte, flags uint16) []byte {
	b = binary.BigEndian.AppendUint64(b, magicGreeting)
	b = binary.BigEndian.AppendUint64(b, magicOption)
	return binary.BigEndian.AppendUint16(b, flags)
}

// parseGreeting decodes greetingSize bytes.
func parseGreeting(b []byte) (flags uint16, err error) {
	switch {
	case len(b) < greetingSize:
		return 0, fmt.Errorf("nbd: greeting: %w", errShort)
	case binary.BigEndian.Uint64(b) != magicGreeting:
		return 0, fmt.Errorf("nbd: greeting: %w", errMagic)
	case binary.BigEndian.Uint64(b[8:]) == magicOldstyle:
		return 0, fmt.Errorf("nbd: greeting: %w", errOldstyle)
	case binary.BigEndian.Uint64(b[8:]) != magicOption:
		return 0, fmt.Errorf("nbd: greeting: %w", errMagic)
	}
	return binary.BigEndian.Uint16(b[16:]), nil
}

// An optionHeader comes before length bytes of data.
type optionHeader struct {
	option option
	length uint32
}

func appendOptionHeader(b []byte, h optionHeader) []byte {
	b = binary.BigEndian.AppendUint64(b, magicOption)
	b = binary.BigEndian.AppendUint32(b, uint32(h.option))
	return binary.BigEndian.AppendUint32(b, h.length)
}

// appendOption appends an option with its data.
func appendOption(b []byte, o option, data []byte) []byte {
	return append(appendOptionHeader(b, optionHeader{o, uint32(len(data))}), data...)
}

// parseOptionHeader decodes optionHeaderSize bytes.
func parseOptionHeader(b []byte) (optionHeader, error) {
	if len(b) < optionHeaderSize {
		return optionHeader{}, fmt.Errorf("nbd: option: %w", errShort)
	}
	if binary.BigEndian.Uint64(b) != magicOption {
		return optionHeader{}, fmt.Errorf("nbd: option: %w", errMagic)
	}
	return optionHeader{option(binary.BigEndian.Uint32(b[8:])), binary.BigEndian.Uint32(b[12:])}, nil
}

// An optionReply comes before length bytes of data.
type optionReply struct {
	option option
	typ    replyType
	length uint32
}

// appendOptionReply appends a reply with its data.
func appendOptionReply(b []byte, o option, t replyType, data []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, magicOptionReply)
	b = binary.BigEndian.AppendUint32(b, uint32(o))
	b = binary.BigEndian.AppendUint32(b, uint32(t))
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

// parseOptionReply decodes optionReplySize bytes.
func parseOptionReply(b []byte) (optionReply, error) {
	if len(b) < optionReplySize {
		return optionReply{}, fmt.Errorf("nbd: reply to an option: %w", errShort)
	}
	if binary.BigEndian.Uint64(b) != magicOptionReply {
		return optionReply{}, fmt.Errorf("nbd: reply to an option: %w", errMagic)
	}
	return optionReply{
		option: option(binary.BigEndian.Uint32(b[8:])),
		typ:    replyType(binary.BigEndian.Uint32(b[12:])),
		length: binary.BigEndian.Uint32(b[16:]),
	}, nil
}

// An infoRequest is the data of INFO and GO.
type infoRequest struct {
	name  string
	infos []infoType
}

func appendInfoRequest(b []byte, r infoRequest) []byte {
	b = appendString(b, r.name)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.infos)))
	for _, i := range r.infos {
		b = binary.BigEndian.AppendUint16(b, uint16(i))
	}
	return b
}

func parseInfoRequest(b []byte) (r infoRequest, err error) {
	r.name, b, err = takeString(b)
	if err != nil {
		return infoRequest{}, fmt.Errorf("nbd: INFO or GO: %w", err)
	}
	if len(b) < 2 || len(b) != 2+2*int(binary.BigEndian.Uint16(b)) {
		return infoRequest{}, fmt.Errorf("nbd: INFO or GO: %w", errShort)
	}
	for b = b[2:]; len(b) > 0; b = b[2:] {
		r.infos = append(r.infos, infoType(binary.BigEndian.Uint16(b)))
	}
	return r, nil
}

// A metaRequest is the data of LIST_META_CONTEXT and SET_META_CONTEXT.
type metaRequest struct {
	name    string
	queries []string
}

func appendMetaRequest(b []byte, r metaRequest) []byte {
	b = appendString(b, r.name)
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.queries)))
	for _, q := range r.queries {
		b = appendString(b, q)
	}
	return b
}

func parseMetaRequest(b []byte) (r metaRequest, err error) {
	r.name, b, err = takeString(b)
	if err != nil {
		return metaRequest{}, fmt.Errorf("nbd: META_CONTEXT: %w", err)
	}
	if len(b) < 4 {
		return metaRequest{}, fmt.Errorf("nbd: META_CONTEXT: %w", errShort)
	}
	n := binary.BigEndian.Uint32(b)
	b = b[4:]
	for range n { // ends at the latest with the bytes of b
		var q string
		if q, b, err = takeString(b); err != nil {
			return metaRequest{}, fmt.Errorf("nbd: META_CONTEXT: %w", err)
		}
		r.queries = append(r.queries, q)
	}
	if len(b) != 0 {
		return metaRequest{}, fmt.Errorf("nbd: META_CONTEXT: %w", errShort)
	}
	return r, nil
}

// appendServer appends the data of a SERVER reply: an export in a list.
func appendServer(b []byte, name, description string) []byte {
	return append(appendString(b, name), description...)
}

func parseServer(b []byte) (name, description string, err error) {
	name, b, err = takeString(b)
	if err == nil {
		description, err = parseString(b)
	}
	if err != nil {
		return "", "", fmt.Errorf("nbd: SERVER: %w", err)
	}
	return name, description, nil
}

// appendMetaContext appends the data of a META_CONTEXT reply.
func appendMetaContext(b []byte, id uint32, name string) []byte {
	return append(binary.BigEndian.AppendUint32(b, id), name...)
}

func parseMetaContext(b []byte) (id uint32, name string, err error) {
	if len(b) < metaContextFixedSize {
		return 0, "", fmt.Errorf("nbd: META_CONTEXT: %w", errShort)
	}
	name, err = parseString(b[4:])
	if err != nil {
		return 0, "", fmt.Errorf("nbd: META_CONTEXT: %w", err)
	}
	return binary.BigEndian.Uint32(b), name, nil
}

// appendExportReply appends the reply to EXPORT_NAME, which has no header.
func appendExportReply(b []byte, size uint64, flags Flags, zeroes bool) []byte {
	b = binary.BigEndian.AppendUint64(b, size)
	b = binary.BigEndian.AppendUint16(b, uint16(flags))
	if zeroes {
		b = append(b, make([]byte, exportReplyZeroes)...)
	}
	return b
}

// parseExportReply decodes exportReplySize bytes.
func parseExportReply(b []byte) (size uint64, flags Flags, err error) {
	if len(b) < exportReplySize {
		return 0, 0, fmt.Errorf("nbd: EXPORT_NAME: %w", errShort)
	}
	return binary.BigEndian.Uint64(b), Flags(binary.BigEndian.Uint16(b[8:])), nil
}

// An info is the data of one INFO reply, of which typ says what fields hold.
type info struct {
	typ                         infoType
	size                        uint64 // EXPORT
	flags                       Flags  // EXPORT
	text                        string // NAME, DESCRIPTION
	minimum, preferred, maximum uint32 // BLOCK_SIZE
}

func appendInfo(b []byte, i info) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(i.typ))
	switch i.typ {
	case infoExport:
		b = binary.BigEndian.AppendUint64(b, i.size)
		b = binary.BigEndian.AppendUint16(b, uint16(i.flags))
	case infoName, infoDescription:
		b = append(b, i.text...)
	case infoBlockSize:
		b = binary.BigEndian.AppendUint32(b, i.minimum)
		b = binary.BigEndian.AppendUint32(b, i.preferred)
		b = binary.BigEndian.AppendUint32(b, i.maximum)
	}
	return b
}

// parseInfo decodes the data of an INFO reply. An unknown type is no error: a
// client ignores it.
func parseInfo(b []byte) (i info, err error) {
	if len(b) < 2 {
		return info{}, fmt.Errorf("nbd: INFO: %w", errShort)
	}
	i.typ = infoType(binary.BigEndian.Uint16(b))
	switch i.typ {
	case infoExport:
		if len(b) != infoExportSize {
			return info{}, fmt.Errorf("nbd: INFO_EXPORT: %w", errShort)
		}
		i.size = binary.BigEndian.Uint64(b[2:])
		i.flags = Flags(binary.BigEndian.Uint16(b[10:]))
	case infoName, infoDescription:
		if i.text, err = parseString(b[2:]); err != nil {
			return info{}, fmt.Errorf("nbd: INFO: %w", err)
		}
	case infoBlockSize:
		if len(b) != infoBlockSizeSize {
			return info{}, fmt.Errorf("nbd: INFO_BLOCK_SIZE: %w", errShort)
		}
		i.minimum = binary.BigEndian.Uint32(b[2:])
		i.preferred = binary.BigEndian.Uint32(b[6:])
		i.maximum = binary.BigEndian.Uint32(b[10:])
	}
	return i, nil
}

// appendString appends s after its length.
func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// takeString takes a string with its length from the front of b.
func takeString(b []byte) (s string, rest []byte, err error) {
	if len(b) < 4 || uint64(len(b)-4) < uint64(binary.BigEndian.Uint32(b)) {
		return "", nil, errShort
	}
	n := int(binary.BigEndian.Uint32(b))
	if s, err = parseString(b[4 : 4+n]); err != nil {
		return "", nil, err
	}
	return s, b[4+n:], nil
}

// parseString decodes a string that is all of b.
func parseString(b []byte) (string, error) {
	if len(b) > maxString {
		return "", errString
	}
	s := string(b)
	if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
		return "", errString
	}
	return s, nil
}
