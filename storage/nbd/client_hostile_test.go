package nbd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// hostileHandshake is what a server says up to the transmission phase, with each style
// of headers: an export of 1 MiB with all powers and the context base:allocation, 9.
func hostileHandshake(s headerStyle) []byte {
	b := appendGreeting(nil, flagFixedNewstyle|flagNoZeroes)
	switch s {
	case headersExtended:
		b = appendOptionReply(b, optExtendedHeaders, repAck, nil)
	case headersStructured:
		b = appendOptionReply(b, optStructuredReply, repAck, nil)
	}
	if s != headersSimple {
		b = appendOptionReply(b, optSetMetaContext, repMetaContext, appendMetaContext(nil, 9, contextAllocation))
		b = appendOptionReply(b, optSetMetaContext, repAck, nil)
	}
	flags := Flags(0xffff) &^ (FlagReadOnly | FlagSendResize)
	b = appendOptionReply(b, optGo, repInfo, appendInfo(nil, info{typ: infoExport, size: 1 << 20, flags: flags}))
	return appendOptionReply(b, optGo, repAck, nil)
}

// serveHostile says all of script, whatever the client says, and closes.
func serveHostile(conn net.Conn, script ...[]byte) {
	go io.Copy(io.Discard, conn)
	for _, b := range script {
		if _, err := conn.Write(b); err != nil {
			return
		}
		time.Sleep(time.Millisecond) // until the client has sent what it sends next
	}
	conn.Close()
}

// The first request of a link has this cookie.
const firstCookie = 1 << 16

// TestClientHostile has servers that break the protocol in their first reply, to a READ
// of 8 bytes at 16, a WRITE of 8 bytes or a BLOCK_STATUS. The call fails, the error
// says why, and the client ends.
func TestClientHostile(t *testing.T) {
	simple := func(e Errno, cookie uint64, data string) []byte {
		return append(appendSimpleReply(nil, simpleReply{e, cookie}), data...)
	}
	st := func(c chunk, payload ...byte) []byte {
		if c.cookie == 0 {
			c.cookie = firstCookie
		}
		c.length = uint64(len(payload))
		return append(appendChunk(nil, c, headersStructured), payload...)
	}
	ext := func(c chunk, payload ...byte) []byte {
		c.cookie, c.length = firstCookie, uint64(len(payload))
		return append(appendChunk(nil, c, headersExtended), payload...)
	}
	data := func(off uint64, s string) []byte { return append(appendOffset(nil, off), s...) }
	hole := func(off uint64, n uint32) []byte { return appendOffsetHole(nil, off, n) }
	join := func(parts ...[]byte) (b []byte) {
		for _, p := range parts {
			b = append(b, p...)
		}
		return b
	}
	status := func(s headerStyle, id uint32, ds ...descriptor) []byte { return appendBlockStatus(nil, id, ds, s) }
	huge := func(typ chunkType, n uint64, s headerStyle) []byte {
		return appendChunk(nil, chunk{typ: typ, cookie: firstCookie, offset: 16, length: n}, s)
	}
	const done = chunkDone
	for _, c := range []struct {
		name  string
		style headerStyle
		cmd   command
		reply []byte
		want  error
	}{
		{"silence and an end", headersSimple, cmdRead, nil, io.EOF},
		{"half a reply", headersSimple, cmdRead, simple(0, firstCookie, "")[:9], io.EOF},
		{"half of the data", headersSimple, cmdRead, simple(0, firstCookie, "1234"), io.ErrUnexpectedEOF},
		{"a wrong magic", headersSimple, cmdRead, make([]byte, 64), errMagic},
		{"a request", headersSimple, cmdRead, appendRequest(nil, request{cookie: firstCookie}, headersSimple), errMagic},
		{"a chunk unasked", headersSimple, cmdRead, st(chunk{flags: done, typ: chunkOffsetData}, data(16, "12345678")...), errMagic},
		{"an unknown cookie", headersSimple, cmdRead, simple(0, firstCookie+1, "12345678"), errUnasked},
		{"a cookie of before", headersSimple, cmdRead, simple(0, 0, "12345678"), errUnasked},
		{"a cookie beyond the table", headersSimple, cmdRead, simple(0, firstCookie|0xffff, "12345678"), errUnasked},
		{"a simple reply to READ", headersStructured, cmdRead, simple(0, firstCookie, "12345678"), errUnsound},
		{"a simple reply to BLOCK_STATUS", headersStructured, cmdBlockStatus, simple(0, firstCookie, ""), errUnsound},
		{"a simple reply with extended headers", headersExtended, cmdWrite, simple(0, firstCookie, ""), errMagic},
		{"a structured reply with extended headers", headersExtended, cmdRead, st(chunk{flags: done, typ: chunkOffsetData}, data(16, "12345678")...), errMagic},
		{"data before the range", headersStructured, cmdRead, st(chunk{flags: done, typ: chunkOffsetData}, data(15, "12345678")...), errOutside},
		{"data behind the range", headersStructured, cmdRead, st(chunk{flags: done, typ: chunkOffsetData}, data(17, "12345678")...), errOutside},
		{"data at the end of all", headersStructured, cmdRead, st(chunk{flags: done, typ: chunkOffsetData}, data(1<<64-4, "12345678")...), errOutside},
		{"data longer than the range", headersStructured, cmdRead, st(chunk{flags: done, typ: chunkOffsetData}, data(16, "123456789")...), errUnsound},
		{"4 GiB of data", headersStructured, cmdRead, huge(chunkOffsetData, 1<<32-1, headersStructured), errUnsound},
		{"2^64 of data", headersExtended, cmdRead, huge(chunkOffsetData, 1<<64-1, headersExtended), errUnsound},
		{"data of nothing", headersStructured, cmdRead, st(chunk{flags: done, typ: chunkOffsetData}, data(16, "")...), errUnsound},
		{"data twice", headersStructured, cmdRead, join(st(chunk{typ: chunkOffsetData}, data(16, "1234")...), st(chunk{typ: chunkOffsetData}, data(19, "1234")...)), errTwice},
		{"a hole over data", headersStructured, cmdRead, join(st(chunk{typ: chunkOffsetData}, data(16, "1234")...), st(chunk{typ: chunkOffsetHole}, hole(16, 8)...)), errTwice},
		{"a hole outside", headersStructured, cmdRead, st(chunk{flags: done, typ: chunkOffsetHole}, hole(16, 9)...), errOutside},
		{"a hole of nothing", headersStructured, cmdRead, st(chunk{flags: done, typ: chunkOffsetHole}, hole(16, 0)...), errShort},
		{"an end too soon", headersStructured, cmdRead, st(chunk{flags: done, typ: chunkOffsetData}, data(16, "1234")...), errHoley},
		{"an end with a gap", headersStructured, cmdRead, join(st(chunk{typ: chunkOffsetData}, data(16, "123")...), st(chunk{flags: done, typ: chunkOffsetData}, data(20, "1234")...)), errHoley},
		{"nothing but an end", headersStructured, cmdRead, st(chunk{flags: done, typ: chunkNone}), errHoley},
		{"a NONE that is not the end", headersStructured, cmdRead, st(chunk{typ: chunkNone}), errUnsound},
		{"a NONE with payload", headersStructured, cmdRead, st(chunk{flags: done, typ: chunkNone}, 1), errUnsound},
		{"no end", headersStructured, cmdRead, st(chunk{typ: chunkOffsetData}, data(16, "12345678")...), io.EOF},
		{"a reply behind the end", headersStructured, cmdWrite, join(st(chunk{flags: done}), st(chunk{flags: done})), errUnasked},
		{"an unknown chunk", headersStructured, cmdRead, st(chunk{flags: done, typ: 77}), errUnsound},
		{"unknown flags", headersStructured, cmdWrite, st(chunk{flags: done | 2}), errUnsound},
		{"data for a WRITE", headersStructured, cmdWrite, st(chunk{flags: done, typ: chunkOffsetData}, data(16, "12345678")...), errUnsound},
		{"an error too short", headersStructured, cmdWrite, st(chunk{flags: done, typ: chunkError}, 0, 0), errUnsound},
		{"an error that is none", headersStructured, cmdWrite, st(chunk{flags: done, typ: chunkError}, make([]byte, 6)...), nil},
		{"an error of 4 GiB", headersStructured, cmdWrite, huge(chunkError, 1<<32-1, headersStructured), errUnsound},
		{"an error with a longer message than there is", headersStructured, cmdWrite, st(chunk{flags: done, typ: chunkError}, 0, 0, 0, 5, 255, 255), errShort},
		{"an error at another place", headersStructured, cmdWrite, st(chunk{flags: done, typ: chunkErrorOffset}, appendError(nil, chunkErrorOffset, chunkFailure{EIO, "", 1 << 40})...), errOutside},
		{"another offset", headersExtended, cmdWrite, ext(chunk{flags: done, offset: 17}), errUnsound},
		{"status of no context that was chosen", headersStructured, cmdBlockStatus, st(chunk{flags: done, typ: chunkBlockStatus}, status(headersStructured, 8, descriptor{8, 0})...), errUnsound},
		{"status twice", headersStructured, cmdBlockStatus, join(st(chunk{typ: chunkBlockStatus}, status(headersStructured, 9, descriptor{8, 0})...), st(chunk{typ: chunkBlockStatus}, status(headersStructured, 9, descriptor{8, 0})...)), errTwice},
		{"status of nothing", headersStructured, cmdBlockStatus, st(chunk{flags: done, typ: chunkBlockStatus}, status(headersStructured, 9, descriptor{0, 0})...), errShort},
		{"status missing", headersStructured, cmdBlockStatus, st(chunk{flags: done}), errHoley},
		{"status without descriptors", headersStructured, cmdBlockStatus, st(chunk{flags: done, typ: chunkBlockStatus}, 0, 0, 0, 9), errUnsound},
		{"status of 4 GiB", headersStructured, cmdBlockStatus, huge(chunkBlockStatus, 1<<32-4, headersStructured), errUnsound},
		{"status of the other headers", headersExtended, cmdBlockStatus, ext(chunk{flags: done, typ: chunkBlockStatus, offset: 16}, status(headersStructured, 9, descriptor{8, 0})...), errUnsound},
		{"status that counts wrongly", headersExtended, cmdBlockStatus, ext(chunk{flags: done, typ: chunkBlockStatusExtended, offset: 16}, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0), errUnsound},
	} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			go serveHostile(far, hostileHandshake(c.style), c.reply)
			d := clientDialers[c.style]
			client, err := d.NewClient(context.Background(), "a", near)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			start := time.Now()
			switch c.cmd {
			case cmdRead:
				var n int
				if n, err = client.ReadAt(make([]byte, 8), 16); n != 0 {
					t.Errorf("%s: %d bytes are good", c.name, n)
				}
			case cmdWrite:
				_, err = client.WriteAt(make([]byte, 8), 16)
			case cmdBlockStatus:
				err = client.Extents(16, 8, func(block.Extent) bool { return true })
			}
			if c.name == "a reply behind the end" {
				time.Sleep(time.Second)
				_, err = client.Size()
			}
			if !errors.Is(err, ErrConnectionLost) || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", c.name, err, c.want)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("%s: it took %v", c.name, took)
			}
			if _, err := client.Size(); !errors.Is(err, ErrConnectionLost) {
				t.Errorf("%s: the client goes on (%v)", c.name, err)
			}
			client.Close()
			time.Sleep(time.Second)
		})
	}
}

// TestClientHostileHandshake has servers that break the protocol before that.
func TestClientHostileHandshake(t *testing.T) {
	hello := appendGreeting(nil, flagFixedNewstyle|flagNoZeroes)
	after := func(b ...[]byte) (all []byte) {
		all = append(all, hello...)
		for _, p := range b {
			all = append(all, p...)
		}
		return all
	}
	ack := func(o option, data ...byte) []byte { return appendOptionReply(nil, o, repAck, data) }
	export := func(size uint64) []byte {
		return appendOptionReply(nil, optGo, repInfo, appendInfo(nil, info{typ: infoExport, size: size, flags: FlagHasFlags}))
	}
	blocks := func(low, mid, high uint32) []byte {
		return appendOptionReply(nil, optGo, repInfo, appendInfo(nil, info{typ: infoBlockSize, minimum: low, preferred: mid, maximum: high}))
	}
	long := appendOptionReply(nil, optGo, repInfo, nil)
	binary.BigEndian.PutUint32(long[16:], 1<<31)
	for _, c := range []struct {
		name   string
		script []byte
		want   string
	}{
		{"nothing", nil, "EOF"},
		{"half a greeting", hello[:11], "EOF"},
		{"no NBD", []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), "magic"},
		{"oldstyle", unhex(t, "4e42444d41474943 0000420281861253 0000000000001000"), "oldstyle"},
		{"wrong magic of a reply", after(make([]byte, 20)), "magic"},
		{"a reply to another option", after(ack(optStructuredReply)), "is due"},
		{"an ACK with data", after(ack(optGo, 1)), "data"},
		{"an ACK before the export", after(ack(optGo)), "without telling"},
		{"too long a reply", after(long), "bytes of data"},
		{"a reply of another kind", after(appendOptionReply(nil, optGo, repServer, appendServer(nil, "x", ""))), "answered by SERVER"},
		{"an info without a type", after(appendOptionReply(nil, optGo, repInfo, []byte{1})), "lengths"},
		{"an export too short", after(appendOptionReply(nil, optGo, repInfo, []byte{0, 0, 1})), "lengths"},
		{"a size beyond 2^63", after(export(1<<63), ack(optGo)), "impossible size"},
		{"blocks of 3 bytes", after(export(4096), blocks(3, 4096, 65536), ack(optGo)), "impossible block sizes"},
		{"blocks of 1 MiB", after(export(1<<20), blocks(1<<20, 1<<20, 1<<20), ack(optGo)), "impossible block sizes"},
		{"preferred below minimum", after(export(4096), blocks(4096, 512, 65536), ack(optGo)), "impossible block sizes"},
		{"maximum below minimum", after(export(4096), blocks(512, 512, 0), ack(optGo)), "impossible block sizes"},
		{"half a block", after(export(4097), blocks(512, 4096, 65536), ack(optGo)), "no multiple"},
		{"an end", after(export(4096)), "EOF"},
		{"no such export", after(appendOptionReply(nil, optGo, repErrUnknown, []byte("what?"))), `ERR_UNKNOWN ("what?")`},
		{"TLS wanted", after(appendOptionReply(nil, optGo, repErrTLSRequired, nil)), "ERR_TLS_REQD"},
		{"infos without end", after(bytes.Repeat(export(4096), maxReplies+1)), "without end"},
	} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			go serveHostile(far, c.script)
			client, err := (&Dialer{Simple: true}).NewClient(context.Background(), "a", near)
			if err == nil {
				client.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
			time.Sleep(time.Second)
		})
	}
	// A server that says nothing costs the timeout, or what the context has left.
	synctest.Test(t, func(t *testing.T) {
		for _, limit := range []time.Duration{time.Second, time.Hour} {
			near, far := net.Pipe()
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			start := time.Now()
			_, err := NewClient(ctx, "a", near)
			if took := time.Since(start); err == nil || took != min(limit, defaultClientHandshake) {
				t.Errorf("%v after %v", err, took)
			}
			cancel()
			far.Close()
		}
	})
}

// FuzzClient has a server that says the fuzzer's bytes, from the greeting on or behind
// a good handshake: whatever it says, calls end and nothing panics.
func FuzzClient(f *testing.F) {
	for s := range clientDialers {
		b := hostileHandshake(headerStyle(s))
		f.Add(uint8(s), false, b)
		f.Add(uint8(s), true, append(appendSimpleReply(nil, simpleReply{0, firstCookie}), make([]byte, 5000)...))
		f.Add(uint8(s), true, appendOffset(appendChunk(nil, chunk{0, chunkOffsetData, firstCookie, 0, 12}, headerStyle(s)), 0))
		f.Add(uint8(s), true, appendOffsetHole(appendChunk(nil, chunk{chunkDone, chunkOffsetHole, firstCookie, 0, 12}, headerStyle(s)), 0, 4096))
		f.Add(uint8(s), true, appendError(appendChunk(nil, chunk{chunkDone, chunkError, firstCookie, 0, 6}, headerStyle(s)), chunkError, chunkFailure{errno: EIO}))
	}
	f.Fuzz(func(t *testing.T, style uint8, shaken bool, script []byte) {
		synctest.Test(t, func(t *testing.T) {
			s := headerStyle(style % uint8(len(clientDialers)))
			near, far := net.Pipe()
			if shaken {
				go serveHostile(far, hostileHandshake(s), script)
			} else {
				go serveHostile(far, script)
			}
			d := clientDialers[s]
			client, err := d.NewClient(context.Background(), "a", near)
			if err != nil {
				time.Sleep(time.Second)
				return
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			client.ReadAtContext(ctx, make([]byte, 4096), 0)
			client.WriteAtContext(ctx, make([]byte, 10), 0, true)
			client.ExtentsContext(ctx, 0, 1<<20, func(block.Extent) bool { return true })
			client.SyncContext(ctx)
			client.Close()
			time.Sleep(time.Second)
		})
	})
}
