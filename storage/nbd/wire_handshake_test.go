package nbd

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
)

// unhex decodes bytes written as the specification orders the fields of a
// message, with spaces between them.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// same checks one message both ways: that it is encoded as the bytes, and that
// the bytes are decoded to it.
func same[T any](t *testing.T, name string, want []byte, encoded []byte, decoded T, err error, message T) {
	t.Helper()
	if !bytes.Equal(encoded, want) {
		t.Errorf("%s is encoded as\n%x, want\n%x", name, encoded, want)
	}
	if err != nil {
		t.Errorf("%s is not decoded: %v", name, err)
	} else if !reflect.DeepEqual(decoded, message) {
		t.Errorf("%s is decoded as %+v, want %+v", name, decoded, message)
	}
}

func TestWireGreeting(t *testing.T) {
	b := unhex(t, "4e42444d41474943 49484156454f5054 0003")
	flags, err := parseGreeting(b)
	same(t, "the greeting", b, appendGreeting(nil, flagFixedNewstyle|flagNoZeroes), flags, err, uint16(3))
	for _, bad := range []string{
		"",
		"4e42444d41474943 49484156454f5054 00",
		"4e42444d41474944 49484156454f5054 0003",
		"4e42444d41474943 0000420281861253 0003", // oldstyle
		"4e42444d41474943 49484156454f5055 0003",
	} {
		if _, err := parseGreeting(unhex(t, bad)); err == nil {
			t.Errorf("%s is taken for a greeting", bad)
		}
	}
}

func TestWireOption(t *testing.T) {
	for _, c := range []struct {
		b string
		h optionHeader
	}{
		{"49484156454f5054 00000001 00000004", optionHeader{optExportName, 4}},
		{"49484156454f5054 00000002 00000000", optionHeader{optAbort, 0}},
		{"49484156454f5054 00000003 00000000", optionHeader{optList, 0}},
		{"49484156454f5054 00000005 00000000", optionHeader{optStartTLS, 0}},
		{"49484156454f5054 00000006 00000006", optionHeader{optInfo, 6}},
		{"49484156454f5054 00000007 ffffffff", optionHeader{optGo, 1<<32 - 1}},
		{"49484156454f5054 00000008 00000000", optionHeader{optStructuredReply, 0}},
		{"49484156454f5054 00000009 00000000", optionHeader{optListMetaContext, 0}},
		{"49484156454f5054 0000000a 00000000", optionHeader{optSetMetaContext, 0}},
		{"49484156454f5054 0000000b 00000000", optionHeader{optExtendedHeaders, 0}},
	} {
		b := unhex(t, c.b)
		h, err := parseOptionHeader(b)
		same(t, c.h.option.String(), b, appendOptionHeader(nil, c.h), h, err, c.h)
	}
	if _, err := parseOptionHeader(unhex(t, "0003e889045565a9 00000001 00000004")); err == nil {
		t.Error("a wrong magic number is taken")
	}
}

func TestWireOptionReply(t *testing.T) {
	for _, c := range []struct {
		b string
		r optionReply
	}{
		{"0003e889045565a9 00000007 00000001 00000000", optionReply{optGo, repAck, 0}},
		{"0003e889045565a9 00000003 00000002 00000002", optionReply{optList, repServer, 2}},
		{"0003e889045565a9 00000007 00000003 00000002", optionReply{optGo, repInfo, 2}},
		{"0003e889045565a9 0000000a 00000004 00000002", optionReply{optSetMetaContext, repMetaContext, 2}},
		{"0003e889045565a9 0000004d 80000001 00000002", optionReply{77, repErrUnsup, 2}},
		{"0003e889045565a9 00000003 80000002 00000002", optionReply{optList, repErrPolicy, 2}},
		{"0003e889045565a9 00000003 80000003 00000002", optionReply{optList, repErrInvalid, 2}},
		{"0003e889045565a9 00000003 80000004 00000002", optionReply{optList, repErrPlatform, 2}},
		{"0003e889045565a9 00000003 80000005 00000002", optionReply{optList, repErrTLSRequired, 2}},
		{"0003e889045565a9 00000003 80000006 00000002", optionReply{optList, repErrUnknown, 2}},
		{"0003e889045565a9 00000003 80000007 00000002", optionReply{optList, repErrShutdown, 2}},
		{"0003e889045565a9 00000003 80000008 00000002", optionReply{optList, repErrBlockSizeRequired, 2}},
		{"0003e889045565a9 00000003 80000009 00000002", optionReply{optList, repErrTooBig, 2}},
		{"0003e889045565a9 00000003 8000000a 00000002", optionReply{optList, repErrExtendedRequired, 2}},
	} {
		b := unhex(t, c.b)
		r, err := parseOptionReply(b)
		data := make([]byte, c.r.length)
		same(t, c.r.typ.String(), append(b, data...), appendOptionReply(nil, c.r.option, c.r.typ, data), r, err, c.r)
		if r.typ.isError() != strings.HasPrefix(r.typ.String(), "ERR_") {
			t.Errorf("%v: is it an error?", r.typ)
		}
	}
}

func TestWireInfoRequest(t *testing.T) {
	for _, c := range []struct {
		b string
		r infoRequest
	}{
		{"00000000 0000", infoRequest{}},
		{"00000001 61 0000", infoRequest{name: "a"}},
		{"00000003 646566 0003 0001 0002 0003", infoRequest{"def", []infoType{infoName, infoDescription, infoBlockSize}}},
	} {
		b := unhex(t, c.b)
		r, err := parseInfoRequest(b)
		same(t, c.b, b, appendInfoRequest(nil, c.r), r, err, c.r)
	}
	for _, bad := range []string{
		"", "00000000", "0000", "00000002 61 0000", "00000001 61 0001", "00000001 61 0001 00", "00000001 61 0000 0001",
		"ffffffff 61 0000", "00000001 00 0000", "00000001 ff 0000", "00000001 61 ffff 0001",
	} {
		if r, err := parseInfoRequest(unhex(t, bad)); err == nil {
			t.Errorf("%s is decoded as %+v", bad, r)
		}
	}
	long := appendInfoRequest(nil, infoRequest{name: strings.Repeat("x", maxString)})
	if _, err := parseInfoRequest(long); err != nil {
		t.Errorf("a name of 4096 bytes: %v", err)
	}
	long = appendInfoRequest(nil, infoRequest{name: strings.Repeat("x", maxString+1)})
	if _, err := parseInfoRequest(long); err == nil {
		t.Error("a name of 4097 bytes is taken")
	}
}

func TestWireMetaRequest(t *testing.T) {
	for _, c := range []struct {
		b string
		r metaRequest
	}{
		{"00000000 00000000", metaRequest{}},
		{"00000001 61 00000002 00000005 626173653a 00000002 783a", metaRequest{"a", []string{"base:", "x:"}}},
	} {
		b := unhex(t, c.b)
		r, err := parseMetaRequest(b)
		same(t, c.b, b, appendMetaRequest(nil, c.r), r, err, c.r)
	}
	for _, bad := range []string{
		"", "00000000", "00000000 00000001", "00000000 ffffffff", "00000000 00000000 00", "00000000 00000001 00000002 61",
		"00000000 00000001 ffffffff 61", "00000005 61 00000000",
	} {
		if r, err := parseMetaRequest(unhex(t, bad)); err == nil {
			t.Errorf("%s is decoded as %+v", bad, r)
		}
	}
}

func TestWireServer(t *testing.T) {
	for _, c := range []struct {
		b string
		s [2]string
	}{
		{"00000000", [2]string{}},
		{"00000001 61", [2]string{"a"}},
		{"00000001 61 6263", [2]string{"a", "bc"}},
	} {
		b := unhex(t, c.b)
		name, description, err := parseServer(b)
		same(t, c.b, b, appendServer(nil, c.s[0], c.s[1]), [2]string{name, description}, err, c.s)
	}
	for _, bad := range []string{"", "000000", "00000001", "ffffffff 61", "00000001 61 00"} {
		if _, _, err := parseServer(unhex(t, bad)); err == nil {
			t.Errorf("%s is decoded", bad)
		}
	}
}

func TestWireMetaContext(t *testing.T) {
	b := unhex(t, "00000007 626173653a61")
	id, name, err := parseMetaContext(b)
	same(t, "META_CONTEXT", b, appendMetaContext(nil, 7, "base:a"), name, err, "base:a")
	if id != 7 {
		t.Errorf("id %d", id)
	}
	if _, _, err := parseMetaContext(b[:3]); err == nil {
		t.Error("three bytes are decoded")
	}
}

func TestWireExportReply(t *testing.T) {
	b := unhex(t, "0000000100000002 0003")
	size, flags, err := parseExportReply(b)
	same(t, "the reply to EXPORT_NAME", b, appendExportReply(nil, 1<<32+2, FlagHasFlags|FlagReadOnly, false),
		[]any{size, flags}, err, []any{uint64(1<<32 + 2), FlagHasFlags | FlagReadOnly})
	if got := appendExportReply(nil, 1<<32+2, 3, true); !bytes.Equal(got, append(b, make([]byte, 124)...)) {
		t.Errorf("with zeroes %x", got)
	}
}

func TestWireInfo(t *testing.T) {
	for _, c := range []struct {
		b string
		i info
	}{
		{"0000 0000000000100000 016d", info{typ: infoExport, size: 1 << 20, flags: FlagHasFlags | FlagSendFlush | FlagSendFUA | FlagSendTrim | FlagSendWriteZeroes | FlagCanMultiConn}},
		{"0001", info{typ: infoName}},
		{"0001 6162", info{typ: infoName, text: "ab"}},
		{"0002 6364", info{typ: infoDescription, text: "cd"}},
		{"0003 00000200 00001000 02000000", info{typ: infoBlockSize, minimum: 512, preferred: 4096, maximum: 32 << 20}},
	} {
		b := unhex(t, c.b)
		i, err := parseInfo(b)
		same(t, c.b, b, appendInfo(nil, c.i), i, err, c.i)
	}
	if i, err := parseInfo(unhex(t, "0063 010203")); err != nil || i.typ != 99 {
		t.Errorf("an unknown type gives %+v, %v", i, err)
	}
	for _, bad := range []string{"", "00", "0000 0000000000100000 01", "0000 0000000000100000 016d00", "0001 00", "0003 00000200 00001000 020000", "0003 00000200 00001000 0200000000"} {
		if i, err := parseInfo(unhex(t, bad)); err == nil {
			t.Errorf("%s is decoded as %+v", bad, i)
		}
	}
}

// FuzzWireHandshake feeds all decoders of the handshake. What is decoded is
// encoded to the same bytes, since no message has two forms.
func FuzzWireHandshake(f *testing.F) {
	f.Add(appendGreeting(nil, 3))
	f.Add(appendOption(nil, optGo, appendInfoRequest(nil, infoRequest{"a", []infoType{infoBlockSize}})))
	f.Add(appendInfoRequest(nil, infoRequest{"a", []infoType{infoBlockSize}}))
	f.Add(appendMetaRequest(nil, metaRequest{"a", []string{contextAllocation, "base:"}}))
	f.Add(appendOptionReply(nil, optList, repServer, appendServer(nil, "a", "b")))
	f.Add(appendServer(nil, "a", "b"))
	f.Add(appendMetaContext(nil, 1, contextAllocation))
	f.Add(appendExportReply(nil, 1, 1, false))
	f.Add(appendInfo(nil, info{typ: infoExport, size: 1, flags: 1}))
	f.Add(appendInfo(nil, info{typ: infoBlockSize, minimum: 1, preferred: 4096, maximum: 1 << 25}))
	f.Fuzz(func(t *testing.T, b []byte) {
		again := func(name string, err error, encoded []byte, n int) {
			if err == nil && !bytes.Equal(encoded, b[:n]) {
				t.Errorf("%s: %x is encoded again as %x", name, b[:n], encoded)
			}
		}
		flags, err := parseGreeting(b)
		again("greeting", err, appendGreeting(nil, flags), min(len(b), greetingSize))
		h, err := parseOptionHeader(b)
		again("option", err, appendOptionHeader(nil, h), min(len(b), optionHeaderSize))
		if r, err := parseOptionReply(b); err == nil && (r.typ.String() == "" || r.option.String() == "") {
			t.Errorf("%+v has no name", r)
		}
		ir, err := parseInfoRequest(b)
		again("INFO", err, appendInfoRequest(nil, ir), len(b))
		mr, err := parseMetaRequest(b)
		again("META_CONTEXT", err, appendMetaRequest(nil, mr), len(b))
		name, description, err := parseServer(b)
		again("SERVER", err, appendServer(nil, name, description), len(b))
		id, name, err := parseMetaContext(b)
		again("META_CONTEXT", err, appendMetaContext(nil, id, name), len(b))
		size, tf, err := parseExportReply(b)
		again("EXPORT_NAME", err, appendExportReply(nil, size, tf, false), min(len(b), exportReplySize))
		if i, err := parseInfo(b); err == nil && i.typ <= infoBlockSize {
			again("INFO", err, appendInfo(nil, i), len(b))
		}
	})
}
