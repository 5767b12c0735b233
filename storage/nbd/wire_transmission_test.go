package nbd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
)

func TestWireRequest(t *testing.T) {
	for _, c := range []struct {
		b       string
		s       headerStyle
		r       request
		payload uint64
	}{
		{"25609513 0000 0000 0102030405060708 0000000000001000 00000200", headersSimple,
			request{0, cmdRead, 0x0102030405060708, 4096, 512}, 0},
		{"25609513 0001 0001 0102030405060708 0000000000001000 00000200", headersSimple,
			request{cmdFlagFUA, cmdWrite, 0x0102030405060708, 4096, 512}, 512},
		{"25609513 0004 0000 0102030405060708 ffffffffffffffff ffffffff", headersStructured,
			request{cmdFlagDF, cmdRead, 0x0102030405060708, 1<<64 - 1, 1<<32 - 1}, 0},
		{"25609513 0000 0002 0000000000000000 0000000000000000 00000000", headersSimple,
			request{0, cmdDisc, 0, 0, 0}, 0},
		{"25609513 0000 0003 0000000000000009 0000000000000000 00000000", headersSimple,
			request{0, cmdFlush, 9, 0, 0}, 0},
		{"25609513 0000 0004 0000000000000009 0000000000000000 00000001", headersSimple,
			request{0, cmdTrim, 9, 0, 1}, 0},
		{"25609513 0000 0005 0000000000000009 0000000000000000 00000001", headersSimple,
			request{0, cmdCache, 9, 0, 1}, 0},
		{"25609513 0012 0006 0000000000000009 0000000000000000 00000001", headersSimple,
			request{cmdFlagNoHole | cmdFlagFastZero, cmdWriteZeroes, 9, 0, 1}, 0},
		{"25609513 0008 0007 0000000000000009 0000000000000000 00000001", headersStructured,
			request{cmdFlagReqOne, cmdBlockStatus, 9, 0, 1}, 0},
		{"25609513 0000 0008 0000000000000009 0000000000100000 00000000", headersSimple,
			request{0, cmdResize, 9, 1 << 20, 0}, 0},
		{"21e41c71 0020 0001 0102030405060708 0000000000001000 0000000000000200", headersExtended,
			request{cmdFlagPayloadLen, cmdWrite, 0x0102030405060708, 4096, 512}, 512},
		{"21e41c71 0000 0006 0102030405060708 0000000000001000 0000010000000000", headersExtended,
			request{0, cmdWriteZeroes, 0x0102030405060708, 4096, 1 << 40}, 0},
		{"21e41c71 0020 0007 0102030405060708 0000000000001000 000000000000000c", headersExtended,
			request{cmdFlagPayloadLen, cmdBlockStatus, 0x0102030405060708, 4096, 12}, 12},
		// An effect length, though the command writes: the server must refuse it,
		// and nothing follows.
		{"21e41c71 0000 0001 0102030405060708 0000000000001000 0000000000000200", headersExtended,
			request{0, cmdWrite, 0x0102030405060708, 4096, 512}, 0},
	} {
		b := unhex(t, c.b)
		r, err := parseRequest(b, c.s)
		same(t, c.b, b, appendRequest(nil, c.r, c.s), r, err, c.r)
		if r.payload(c.s) != c.payload {
			t.Errorf("%s: a payload of %d bytes, want %d", c.b, r.payload(c.s), c.payload)
		}
		if len(b) != c.s.requestSize() {
			t.Errorf("%s: %d bytes", c.b, len(b))
		}
		// No style takes the request of the other, nor one cut off.
		other := headersExtended
		if c.s == headersExtended {
			other = headersStructured
		}
		if _, err := parseRequest(append(b, 0, 0, 0, 0), other); !errors.Is(err, errMagic) {
			t.Errorf("%s with the other headers: %v", c.b, err)
		}
		if _, err := parseRequest(b[:len(b)-1], c.s); !errors.Is(err, errShort) {
			t.Errorf("%s cut off: %v", c.b, err)
		}
	}
}

func TestWireSimpleReply(t *testing.T) {
	b := unhex(t, "67446698 0000001c 0102030405060708")
	want := simpleReply{ENOSPC, 0x0102030405060708}
	r, err := parseSimpleReply(b)
	same(t, "a simple reply", b, appendSimpleReply(nil, want), r, err, want)
}

func TestWireChunk(t *testing.T) {
	for _, c := range []struct {
		b string
		s headerStyle
		c chunk
	}{
		{"668e33ef 0001 0000 0102030405060708 00000000", headersStructured, chunk{flags: 1, typ: chunkNone, cookie: 0x0102030405060708}},
		{"668e33ef 0000 0001 0102030405060708 00000208", headersStructured, chunk{typ: chunkOffsetData, cookie: 0x0102030405060708, length: 520}},
		{"668e33ef 0000 0002 0102030405060708 0000000c", headersStructured, chunk{typ: chunkOffsetHole, cookie: 0x0102030405060708, length: 12}},
		{"668e33ef 0001 0005 0102030405060708 0000000c", headersStructured, chunk{flags: 1, typ: chunkBlockStatus, cookie: 0x0102030405060708, length: 12}},
		{"668e33ef 0001 8001 0102030405060708 00000006", headersStructured, chunk{flags: 1, typ: chunkError, cookie: 0x0102030405060708, length: 6}},
		{"668e33ef 0001 8002 0102030405060708 0000000e", headersStructured, chunk{flags: 1, typ: chunkErrorOffset, cookie: 0x0102030405060708, length: 14}},
		{"6e8a278c 0001 0006 0102030405060708 0000000000001000 0000000000000018", headersExtended,
			chunk{flags: 1, typ: chunkBlockStatusExtended, cookie: 0x0102030405060708, offset: 4096, length: 24}},
	} {
		b := unhex(t, c.b)
		got, err := parseChunk(b, c.s)
		same(t, c.b, b, appendChunk(nil, c.c, c.s), got, err, c.c)
		if got.done() != (c.c.flags == 1) || got.typ.isError() != strings.Contains(c.b, " 800") {
			t.Errorf("%s: done %v, error %v", c.b, got.done(), got.typ.isError())
		}
	}
}

func TestWireReplyHeader(t *testing.T) {
	for _, c := range []struct {
		b      string
		s      headerStyle
		n      int
		simple bool
	}{
		{"67446698", headersSimple, 16, true},
		{"67446698", headersStructured, 16, true},
		{"67446698", headersExtended, 0, false},
		{"668e33ef", headersSimple, 0, false},
		{"668e33ef", headersStructured, 20, false},
		{"668e33ef", headersExtended, 0, false},
		{"6e8a278c", headersStructured, 0, false},
		{"6e8a278c", headersExtended, 32, false},
		{"25609513", headersStructured, 0, false},
	} {
		n, simple, err := replyHeaderSize(unhex(t, c.b), c.s)
		if n != c.n || simple != c.simple || (err == nil) != (c.n > 0) {
			t.Errorf("%s with headers %d: %d, %v, %v", c.b, c.s, n, simple, err)
		}
	}
}

func TestWireOffsetHole(t *testing.T) {
	b := unhex(t, "0000000000001000 00000200")
	offset, length, err := parseOffsetHole(b)
	same(t, "OFFSET_HOLE", b, appendOffsetHole(nil, 4096, 512), []uint64{offset, uint64(length)}, err, []uint64{4096, 512})
	for _, bad := range []string{"", "0000000000001000 000002", "0000000000001000 00000000", "ffffffffffffffff 00000002"} {
		if _, _, err := parseOffsetHole(unhex(t, bad)); err == nil {
			t.Errorf("%s is decoded", bad)
		}
	}
}

func TestWireError(t *testing.T) {
	for _, c := range []struct {
		b string
		t chunkType
		f chunkFailure
	}{
		{"00000005 0000", chunkError, chunkFailure{errno: EIO}},
		{"00000005 0002 6f68", chunkError, chunkFailure{errno: EIO, message: "oh"}},
		{"0000001c 0000 0000000000001000", chunkErrorOffset, chunkFailure{errno: ENOSPC, offset: 4096}},
		{"0000001c 0002 6f68 0000000000001000", chunkErrorOffset, chunkFailure{errno: ENOSPC, message: "oh", offset: 4096}},
	} {
		b := unhex(t, c.b)
		f, err := parseError(b, c.t)
		same(t, c.b, b, appendError(nil, c.t, c.f), f, err, c.f)
	}
	for _, c := range []struct {
		b string
		t chunkType
	}{
		{"", chunkError}, {"00000005 00", chunkError}, {"00000005 0001", chunkError}, {"00000000 0000", chunkError},
		{"00000005 0000", chunkErrorOffset}, {"00000005 0001 0000000000001000", chunkErrorOffset},
	} {
		if f, err := parseError(unhex(t, c.b), c.t); err == nil {
			t.Errorf("%s is decoded as %+v", c.b, f)
		}
	}
	// An unknown kind of error begins like the known ones.
	if f, err := parseError(unhex(t, "00000005 0002 6f68 aabb"), 1<<15+9); err != nil || f.errno != EIO || f.message != "oh" {
		t.Errorf("an unknown kind: %+v, %v", f, err)
	}
	if got := appendError(nil, chunkError, chunkFailure{errno: EIO, message: strings.Repeat("x", 5000)}); len(got) != 6+4096 {
		t.Errorf("a message of 5000 bytes takes %d", len(got))
	}
}

func TestWireBlockStatus(t *testing.T) {
	ds := []descriptor{{65536, 0}, {4096, stateHole | stateZero}}
	for _, c := range []struct {
		b  string
		s  headerStyle
		ds []descriptor
	}{
		{"00000001 00010000 00000000 00001000 00000003", headersStructured, ds},
		{"00000001 00000002 0000000000010000 0000000000000000 0000000000001000 0000000000000003", headersExtended, ds},
		{"00000001 00000001 0000010000000000 8000000000000003", headersExtended, []descriptor{{1 << 40, 1<<63 | 3}}},
	} {
		b := unhex(t, c.b)
		id, got, err := parseBlockStatus(b, nil, c.s)
		same(t, c.b, b, appendBlockStatus(nil, 1, c.ds, c.s), got, err, c.ds)
		if id != 1 {
			t.Errorf("%s: context %d", c.b, id)
		}
	}
	for _, c := range []struct {
		b string
		s headerStyle
	}{
		{"", headersStructured},
		{"00000001", headersStructured},
		{"00000001 00010000 000000", headersStructured},
		{"00000001 00000000 00000000", headersStructured}, // an extent of length 0
		{"00000001 00000000", headersExtended},
		{"00000001 00000002 0000000000010000 0000000000000000", headersExtended},
		{"00000001 00000001 0000000000000000 0000000000000000", headersExtended},
	} {
		if _, got, err := parseBlockStatus(unhex(t, c.b), nil, c.s); err == nil {
			t.Errorf("%s is decoded as %+v", c.b, got)
		}
	}
}

func TestWireBlockStatusPayload(t *testing.T) {
	b := unhex(t, "0000010000000000 00000001 00000007")
	effect, ids, err := parseBlockStatusPayload(b, nil)
	same(t, "payload of BLOCK_STATUS", b, appendBlockStatusPayload(nil, 1<<40, []uint32{1, 7}), ids, err, []uint32{1, 7})
	if effect != 1<<40 {
		t.Errorf("effect length %d", effect)
	}
	for _, bad := range []string{"", "00000100000000", "0000010000000000 000000"} {
		if _, _, err := parseBlockStatusPayload(unhex(t, bad), nil); err == nil {
			t.Errorf("%s is decoded", bad)
		}
	}
}

func TestWireErrno(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Errno
	}{
		{nil, 0},
		{syscall.EPERM, EPERM}, {syscall.EROFS, EPERM}, {syscall.EACCES, EPERM}, {block.ErrReadOnly, EPERM},
		{syscall.EIO, EIO}, {io.ErrUnexpectedEOF, EIO}, {errors.New("anything"), EIO}, {syscall.EBADF, EIO}, {Errno(9999), EIO},
		{syscall.ENOMEM, ENOMEM},
		{block.ErrRange, EINVAL}, {block.ErrAlignment, EINVAL},
		{syscall.ENOSPC, ENOSPC}, {syscall.EDQUOT, ENOSPC}, {syscall.EFBIG, ENOSPC}, {block.ErrNoSpace, ENOSPC},
		{syscall.EOVERFLOW, EOVERFLOW},
		{block.ErrNotSupported, ENOTSUP}, {syscall.EOPNOTSUPP, ENOTSUP},
		{block.ErrClosed, ESHUTDOWN},
		{fmt.Errorf("of another server: %w", ENOTSUP), ENOTSUP},
		{&block.MediumError{Op: "write", Off: 1, Err: syscall.ENOSPC}, ENOSPC},
	} {
		if got := errnoOf(c.err); got != c.want {
			t.Errorf("%v is told as %d, want %d", c.err, got, c.want)
		}
	}
	for _, n := range errnos {
		if n.text != "" && (!errors.Is(n.wire, n.sys) || errnoOf(n.wire) != n.wire) {
			t.Errorf("%v is not %v", n.wire, n.sys)
		}
	}
	if errors.Is(ENOSPC, syscall.EIO) || errors.Is(Errno(0), syscall.EIO) {
		t.Error("an errno is another")
	}
}

func TestWireNames(t *testing.T) {
	if got := (FlagHasFlags | FlagSendFUA | 1<<15).String(); got != "HAS_FLAGS|SEND_FUA|0x8000" {
		t.Error(got)
	}
	if got := (cmdFlagFUA | cmdFlagPayloadLen).String(); got != "FUA|PAYLOAD_LEN" {
		t.Error(got)
	}
	if got := fmt.Sprint(cmdBlockStatus, command(99), option(4), replyType(9)); got != "BLOCK_STATUS command 99 option 4 reply type 0x9" {
		t.Error(got)
	}
}

// FuzzWireTransmission feeds all decoders of the transmission phase, with each
// style of headers.
func FuzzWireTransmission(f *testing.F) {
	for _, s := range []headerStyle{headersSimple, headersStructured, headersExtended} {
		f.Add(appendRequest(nil, request{cmdFlagFUA, cmdWrite, 1, 2, 3}, s))
		f.Add(appendChunk(nil, chunk{chunkDone, chunkOffsetData, 1, 2, 3}, s))
		f.Add(appendBlockStatus(nil, 1, []descriptor{{1, 2}, {3, 4}}, s))
	}
	f.Add(appendSimpleReply(nil, simpleReply{EIO, 1}))
	f.Add(appendOffsetHole(nil, 1, 2))
	f.Add(appendError(nil, chunkErrorOffset, chunkFailure{EIO, "x", 1}))
	f.Add(appendBlockStatusPayload(nil, 1, []uint32{1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		again := func(name string, err error, encoded []byte, n int) {
			if err == nil && !bytes.Equal(encoded, b[:n]) {
				t.Errorf("%s: %x is encoded again as %x", name, b[:n], encoded)
			}
		}
		for _, s := range []headerStyle{headersSimple, headersStructured, headersExtended} {
			r, err := parseRequest(b, s)
			again("request", err, appendRequest(nil, r, s), min(len(b), s.requestSize()))
			c, err := parseChunk(b, s)
			again("chunk", err, appendChunk(nil, c, s), min(len(b), s.chunkSize()))
			id, ds, err := parseBlockStatus(b, nil, s)
			again("BLOCK_STATUS", err, appendBlockStatus(nil, id, ds, s), len(b))
			replyHeaderSize(b, s)
		}
		sr, err := parseSimpleReply(b)
		again("simple reply", err, appendSimpleReply(nil, sr), min(len(b), simpleReplySize))
		offset, length, err := parseOffsetHole(b)
		again("OFFSET_HOLE", err, appendOffsetHole(nil, offset, length), len(b))
		effect, ids, err := parseBlockStatusPayload(b, nil)
		again("payload", err, appendBlockStatusPayload(nil, effect, ids), len(b))
		for _, typ := range []chunkType{chunkError, chunkErrorOffset} {
			if ef, err := parseError(b, typ); err == nil {
				if back, err := parseError(appendError(nil, typ, ef), typ); err != nil || !reflect.DeepEqual(back, ef) {
					t.Errorf("%+v comes back as %+v, %v", ef, back, err)
				}
			}
		}
	})
}
