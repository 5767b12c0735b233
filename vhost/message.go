package vhost

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/seed-012105e5/gonet/vhost/memory"
)

// A Message is one of the protocol, without its file descriptors, which travel
// beside it.
type Message struct {
	Request Request
	Backend bool // it belongs to the channel for requests of the back end
	Reply   bool
	Ack     bool // a reply is wanted that says whether it was done (ProtocolReplyAck)

	// Body is nil, or one of the types of this package that say so.
	Body any
}

// Payloads of messages (vhost-user, section "Payload").
type (
	// U64 is a number: features, a count, or whether all went well, which is 0.
	U64 uint64

	// VringState is a number that belongs to a ring.
	VringState struct{ Index, Num uint32 }

	// VringAddr is where a ring lies, by addresses of the front end's; Log is one
	// of the guest's.
	VringAddr struct {
		Index, Flags                    uint32
		Descriptors, Used, Avail, LogAt uint64
	}

	// MemoryTable is the regions of the guest's memory.
	MemoryTable []memory.Region

	// SingleRegion is one of them.
	SingleRegion struct {
		_      uint64
		Region memory.Region
	}

	// LogArea is a part of a file for the log of pages.
	LogArea struct{ Size, Offset uint64 }

	// IOTLB is an entry of the translation of addresses.
	IOTLB struct {
		IOVA, Size, User uint64
		Perm, Type       uint8
		_                [6]uint8
	}

	// ConfigSpace is a part of the configuration of a device.
	ConfigSpace struct {
		Offset, Flags uint32
		Data          []byte
	}

	// VringArea is a part of a file for notifications of a ring.
	VringArea struct{ Ring, Size, Offset uint64 }

	// InflightArea is a part of a file for what is in flight.
	InflightArea struct {
		Size, Offset      uint64
		Queues, QueueSize uint16
		_                 [4]uint8
	}

	// Object is the name of something shared: a UUID.
	Object [16]byte

	// Transfer says how the state of a device is moved.
	Transfer struct{ Direction, Phase uint32 }

	// MMap is a part of a file that is to appear in shared memory.
	MMap struct {
		ID                             uint8
		_                              [7]uint8
		FileOffset, Offset, Len, Flags uint64
	}

	// ShmemConfig is the sizes of shared memory, by number; those of Count are not
	// zero.
	ShmemConfig struct {
		Count uint32
		_     uint32
		Sizes [256]uint64
	}

	// Opaque is a payload that this package does not look into: that of crypto
	// sessions.
	Opaque []byte
)

// Bits of numbers in messages.
const (
	VringNoFD  = 1 << 8 // of SetVringKick and its like: no file descriptor comes with it
	VringIndex = 0xff   // of the same: which ring

	VringLog = 1 << 0 // of VringAddr: writes to the used ring are logged

	ConfigMigration = 1 << 0 // of ConfigSpace: it may change what the driver may not
)

const (
	headerLen  = 12
	maxPayload = 4096

	headerVersion = 1
	headerReply   = 1 << 2
	headerAck     = 1 << 3
)

// ErrMessage: a message breaks the rules of the protocol.
var ErrMessage = errors.New("vhost: bad message")

// A header goes before each message: type, flags and the length of the payload,
// 4 bytes each, in the order of this machine.
type header struct {
	request, flags uint32
	size           int
}

func parseHeader(b []byte) (h header, err error) {
	size := binary.NativeEndian.Uint32(b[8:])
	h = header{binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint32(b[4:]), int(size)}
	switch {
	case h.flags&3 != headerVersion:
		return h, fmt.Errorf("%w: version %d", ErrMessage, h.flags&3)
	case size > maxPayload:
		return h, fmt.Errorf("%w: %d bytes", ErrMessage, size)
	}
	return h, nil
}

// Parse reads a message, of which it is known on which channel it came, and with
// how many file descriptors. It fails with ErrMessage.
func Parse(b []byte, backend bool, fds int) (m Message, err error) {
	if len(b) < headerLen {
		return m, fmt.Errorf("%w: %d bytes", ErrMessage, len(b))
	}
	h, err := parseHeader(b)
	if err != nil {
		return m, err
	}
	m = Message{Request: Request(h.request), Backend: backend, Reply: h.flags&headerReply != 0, Ack: h.flags&headerAck != 0}
	s, ok := shapeOf(m.Request, backend)
	switch {
	case !ok:
		return m, fmt.Errorf("%w: request %d is not known", ErrMessage, h.request)
	case len(b) != headerLen+h.size:
		return m, fmt.Errorf("%w: %s has %d bytes, not %d", ErrMessage, s.name, len(b)-headerLen, h.size)
	case !m.Reply && (fds < s.minFDs || fds > s.maxFDs), m.Reply && fds > 1:
		return m, fmt.Errorf("%w: %s with %d file descriptors", ErrMessage, s.name, fds)
	}
	k := s.request
	if m.Reply {
		if k = s.reply; k == kindNone || h.size == 8 && k != kindState {
			k = kindU64 // whether it was done
		}
		if h.size == 0 {
			k = kindNone // of those that answer with a file descriptor
		}
	}
	if m.Body, err = parseBody(k, b[headerLen:]); err != nil {
		return m, fmt.Errorf("%w: %s: %w", ErrMessage, s.name, err)
	}
	return m, nil
}

var errLength = errors.New("its length")

func parseBody(k kind, b []byte) (any, error) {
	switch k {
	case kindNone:
		if len(b) != 0 {
			return nil, errLength
		}
		return nil, nil
	case kindU64:
		return fixed[U64](b)
	case kindState:
		return fixed[VringState](b)
	case kindAddr:
		return fixed[VringAddr](b)
	case kindMemory:
		return parseTable(b)
	case kindRegion:
		if len(b) == 8 { // that it was done, of postcopy
			return fixed[U64](b)
		}
		return fixed[SingleRegion](b)
	case kindLog:
		if len(b) == 8 {
			return fixed[U64](b)
		}
		return fixed[LogArea](b)
	case kindIOTLB:
		return fixed[IOTLB](b)
	case kindConfig:
		return parseConfig(b)
	case kindArea:
		return fixed[VringArea](b)
	case kindInflight:
		if len(b) == 20 { // without what C puts behind it
			b = append(b[:20:20], 0, 0, 0, 0)
		}
		return fixed[InflightArea](b)
	case kindObject:
		return fixed[Object](b)
	case kindTransfer:
		return fixed[Transfer](b)
	case kindMMap:
		return fixed[MMap](b)
	case kindShmem:
		return fixed[ShmemConfig](b)
	}
	return Opaque(b), nil
}

// fixed reads a payload that always has the same length.
func fixed[T any](b []byte) (any, error) {
	var v T
	if binary.Size(v) != len(b) {
		return nil, errLength
	}
	_, err := binary.Decode(b, binary.NativeEndian, &v)
	return v, err
}

const regionLen = 32

func parseTable(b []byte) (any, error) {
	if len(b) < 8 {
		return nil, errLength
	}
	n := binary.NativeEndian.Uint32(b)
	b = b[8:]
	// Some front ends send room for all regions that there could be.
	if n > MaxFDs || len(b)%regionLen != 0 || len(b)/regionLen < int(n) {
		return nil, fmt.Errorf("%d regions in %d bytes", n, len(b))
	}
	t := make(MemoryTable, n)
	_, err := binary.Decode(b[:regionLen*n], binary.NativeEndian, []memory.Region(t))
	return t, err
}

func parseConfig(b []byte) (any, error) {
	if len(b) < 12 {
		if len(b) == 0 {
			return ConfigSpace{}, nil // a reply that says that it cannot be had
		}
		return nil, errLength
	}
	c := ConfigSpace{Offset: binary.NativeEndian.Uint32(b), Flags: binary.NativeEndian.Uint32(b[8:]), Data: b[12:]}
	if binary.NativeEndian.Uint32(b[4:]) != uint32(len(c.Data)) {
		return nil, errLength
	}
	return c, nil
}

// Append appends the message to b. It fails when the body is none of its type.
func (m Message) Append(b []byte) ([]byte, error) {
	s, ok := shapeOf(m.Request, m.Backend)
	if !ok {
		return b, fmt.Errorf("%w: request %d is not known", ErrMessage, uint32(m.Request))
	}
	start := len(b)
	b = append(b, make([]byte, headerLen)...)
	b, err := appendBody(b, m.Body)
	if err != nil {
		return b[:start], fmt.Errorf("%w: %s: %w", ErrMessage, s.name, err)
	}
	h := b[start:]
	flags := uint32(headerVersion)
	if m.Reply {
		flags |= headerReply
	}
	if m.Ack {
		flags |= headerAck
	}
	binary.NativeEndian.PutUint32(h, uint32(m.Request))
	binary.NativeEndian.PutUint32(h[4:], flags)
	binary.NativeEndian.PutUint32(h[8:], uint32(len(h)-headerLen))
	return b, nil
}

func appendBody(b []byte, body any) ([]byte, error) {
	switch v := body.(type) {
	case nil:
		return b, nil
	case MemoryTable:
		b = binary.NativeEndian.AppendUint64(b, 0)
		binary.NativeEndian.PutUint32(b[len(b)-8:], uint32(len(v)))
		return binary.Append(b, binary.NativeEndian, []memory.Region(v))
	case ConfigSpace:
		b = binary.NativeEndian.AppendUint32(b, v.Offset)
		b = binary.NativeEndian.AppendUint32(b, uint32(len(v.Data)))
		b = binary.NativeEndian.AppendUint32(b, v.Flags)
		return append(b, v.Data...), nil
	case Opaque:
		return append(b, v...), nil
	}
	return binary.Append(b, binary.NativeEndian, body)
}
