package vhost

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/vhost/memory"
)

// A wireRow is a message and the bytes of its payload, which were written down by hand
// from the specification (sections "Payload", "Front-end message types" and "Back-end
// message types"), of a little-endian machine.
type wireRow struct {
	request Request
	number  byte // of the request
	body    any
	payload string // hexadecimal; blanks do not count
	fds     int
	reply   any // nil: there is none but an acknowledgement
	answer  string
}

const number8 = "0807060504030201"

var wireFrontend = []wireRow{
	{GetFeatures, 1, nil, "", 0, U64(0x0102030405060708), number8},
	{SetFeatures, 2, U64(0x0102030405060708), number8, 0, nil, ""},
	{SetOwner, 3, nil, "", 0, nil, ""},
	{ResetOwner, 4, nil, "", 0, nil, ""},
	{
		SetMemTable, 5, MemoryTable{{Guest: 1, Size: 2, User: 3, Offset: 4}, {Guest: 0x1_0000_0000, Size: 0x1000, User: 0x7f00_0000_0000, Offset: 0}},
		"02000000 00000000" + "0100000000000000 0200000000000000 0300000000000000 0400000000000000" +
			"0000000001000000 0010000000000000 00000000007f0000 0000000000000000", 2, nil, "",
	},
	{SetLogBase, 6, LogArea{Size: 0x1000, Offset: 2}, "0010000000000000 0200000000000000", 1, nil, ""},
	{SetLogFD, 7, nil, "", 1, nil, ""},
	{SetVringNum, 8, VringState{1, 256}, "01000000 00010000", 0, nil, ""},
	{
		SetVringAddr, 9, VringAddr{Index: 1, Flags: 1, Descriptors: 2, Used: 3, Avail: 4, LogAt: 5},
		"01000000 01000000 0200000000000000 0300000000000000 0400000000000000 0500000000000000", 0, nil, "",
	},
	{SetVringBase, 10, VringState{1, 0x8005}, "01000000 05800000", 0, nil, ""},
	{GetVringBase, 11, VringState{1, 0}, "01000000 00000000", 0, VringState{1, 7}, "01000000 07000000"},
	{SetVringKick, 12, U64(1), "0100000000000000", 1, nil, ""},
	{SetVringCall, 13, U64(1 | VringNoFD), "0101000000000000", 0, nil, ""},
	{SetVringErr, 14, U64(2), "0200000000000000", 1, nil, ""},
	{GetProtocolFeatures, 15, nil, "", 0, U64(ProtocolReplyAck | ProtocolConfig), "0802000000000000"},
	{SetProtocolFeatures, 16, U64(ProtocolMQ), "0100000000000000", 0, nil, ""},
	{GetQueueNum, 17, nil, "", 0, U64(2), "0200000000000000"},
	{SetVringEnable, 18, VringState{1, 1}, "01000000 01000000", 0, nil, ""},
	{SendRARP, 19, U64(0x060504030201), "010203040506 0000", 0, nil, ""},
	{NetSetMTU, 20, U64(9000), "2823000000000000", 0, nil, ""},
	{SetBackendReqFD, 21, nil, "", 1, nil, ""},
	{
		IOTLBMsg, 22, IOTLB{IOVA: 1, Size: 2, User: 3, Perm: 3, Type: 2},
		"0100000000000000 0200000000000000 0300000000000000 03 02 000000000000", 0, U64(0), "0000000000000000",
	},
	{SetVringEndian, 23, VringState{1, 1}, "01000000 01000000", 0, nil, ""},
	{
		GetConfig, 24, ConfigSpace{Offset: 2, Data: []byte{0, 0, 0}}, "02000000 03000000 00000000 000000", 0,
		ConfigSpace{Offset: 2, Data: []byte("abc")}, "02000000 03000000 00000000 616263",
	},
	{SetConfig, 25, ConfigSpace{Offset: 2, Flags: ConfigMigration, Data: []byte("a")}, "02000000 01000000 01000000 61", 0, nil, ""},
	{CreateCryptoSession, 26, Opaque("xy"), "7879", 0, Opaque("yx7"), "797837"},
	{CloseCryptoSession, 27, U64(5), "0500000000000000", 0, nil, ""},
	{PostcopyAdvise, 28, nil, "", 0, nil, ""},
	{PostcopyListen, 29, nil, "", 0, nil, ""},
	{PostcopyEnd, 30, nil, "", 0, U64(0), "0000000000000000"},
	{
		GetInflightFD, 31, InflightArea{Queues: 2, QueueSize: 128}, "0000000000000000 0000000000000000 0200 8000 00000000", 0,
		InflightArea{Size: 0x1000, Offset: 0x40, Queues: 2, QueueSize: 128}, "0010000000000000 4000000000000000 0200 8000 00000000",
	},
	{SetInflightFD, 32, InflightArea{Size: 1, Offset: 2, Queues: 3, QueueSize: 4}, "0100000000000000 0200000000000000 0300 0400 00000000", 1, nil, ""},
	{GPUSetSocket, 33, nil, "", 1, nil, ""},
	{ResetDevice, 34, nil, "", 0, nil, ""},
	{VringKick, 35, VringState{3, 0}, "03000000 00000000", 0, nil, ""},
	{GetMaxMemSlots, 36, nil, "", 0, U64(509), "fd01000000000000"},
	{
		AddMemReg, 37, SingleRegion{Region: memory.Region{Guest: 1, Size: 2, User: 3, Offset: 4}},
		"0000000000000000 0100000000000000 0200000000000000 0300000000000000 0400000000000000", 1, nil, "",
	},
	{
		RemMemReg, 38, SingleRegion{Region: memory.Region{Guest: 1, Size: 2, User: 3, Offset: 4}},
		"0000000000000000 0100000000000000 0200000000000000 0300000000000000 0400000000000000", 0, nil, "",
	},
	{SetStatus, 39, U64(15), "0f00000000000000", 0, nil, ""},
	{GetStatus, 40, nil, "", 0, U64(4), "0400000000000000"},
	{GetSharedObject, 41, Object{0: 0xaa, 15: 0xbb}, "aa0000000000000000000000000000bb", 0, nil, ""},
	{SetDeviceStateFD, 42, Transfer{Direction: 1, Phase: 0}, "01000000 00000000", 1, U64(0x100), "0001000000000000"},
	{CheckDeviceState, 43, nil, "", 0, U64(0), "0000000000000000"},
	{
		GetShmemConfig, 44, nil, "", 0, ShmemConfig{Count: 1, Sizes: [256]uint64{1: 0x2000}},
		"01000000 00000000" + "0000000000000000" + "0020000000000000" + strings.Repeat("00", 254*8),
	},
	{GetVringBaseSkipDrain, 45, VringState{1, 0}, "01000000 00000000", 0, VringState{1, 7}, "01000000 07000000"},
}

var wireBackend = []wireRow{
	{
		BackendIOTLBMsg, 1, IOTLB{IOVA: 1, Size: 2, User: 3, Perm: 1, Type: 1},
		"0100000000000000 0200000000000000 0300000000000000 01 01 000000000000", 0, nil, "",
	},
	{BackendConfigChange, 2, nil, "", 0, nil, ""},
	{BackendVringHostNotifier, 3, VringArea{Ring: 1, Size: 0x1000, Offset: 2}, "0100000000000000 0010000000000000 0200000000000000", 1, nil, ""},
	{BackendVringCall, 4, VringState{1, 0}, "01000000 00000000", 0, nil, ""},
	{BackendVringErr, 5, VringState{1, 0}, "01000000 00000000", 0, nil, ""},
	{BackendSharedObjectAdd, 6, Object{0: 1, 15: 2}, "01000000000000000000000000000002", 0, nil, ""},
	{BackendSharedObjectRm, 7, Object{0: 1, 15: 2}, "01000000000000000000000000000002", 0, nil, ""},
	{BackendSharedObjectFind, 8, Object{0: 1, 15: 2}, "01000000000000000000000000000002", 0, U64(0), "0000000000000000"},
	{
		BackendShmemMap, 9, MMap{ID: 1, FileOffset: 2, Offset: 3, Len: 4, Flags: 1},
		"01 00000000000000 0200000000000000 0300000000000000 0400000000000000 0100000000000000", 1, nil, "",
	},
	{
		BackendShmemUnmap, 10, MMap{ID: 1, Offset: 3, Len: 4},
		"01 00000000000000 0000000000000000 0300000000000000 0400000000000000 0000000000000000", 0, nil, "",
	},
}

// TestWire holds each message of both sides, and each reply, against its bytes.
func TestWire(t *testing.T) {
	if b, _ := (Message{Request: GetFeatures}).Append(nil); b[0] != 1 {
		t.Skip("the order of this machine is another")
	}
	for _, side := range []struct {
		backend bool
		rows    []wireRow
		shapes  []shape
	}{{false, wireFrontend, shapes[:]}, {true, wireBackend, backendShapes[:]}} {
		if len(side.rows) != len(side.shapes)-1 {
			t.Errorf("%d rows for %d requests", len(side.rows), len(side.shapes)-1)
		}
		for i, row := range side.rows {
			if int(row.request) != i+1 || row.number != byte(i+1) {
				t.Errorf("row %d is request %d", i+1, row.request)
			}
			onWire(t, Message{Request: row.request, Backend: side.backend, Body: row.body}, row.payload, row.fds, 1)
			onWire(t, Message{Request: row.request, Backend: side.backend, Ack: true, Body: row.body}, row.payload, row.fds, 9)
			if row.reply != nil {
				onWire(t, Message{Request: row.request, Backend: side.backend, Reply: true, Body: row.reply}, row.answer, 0, 5)
			}
			if shape := side.shapes[i+1]; row.reply == nil && shape.reply == kindNone { // whether it was done
				onWire(t, Message{Request: row.request, Backend: side.backend, Reply: true, Body: U64(1)}, "0100000000000000", 0, 5)
			}
		}
	}
	// A log without its file, and what C puts no padding behind.
	onWire(t, Message{Request: SetLogBase, Body: U64(0x1000)}, "0010000000000000", 0, 1)
	b, _ := hex.DecodeString("20000000" + "01000000" + "14000000" + "0100000000000000" + "0200000000000000" + "03000400")
	m, err := Parse(b, false, 1)
	if err != nil || m.Body != (InflightArea{Size: 1, Offset: 2, Queues: 3, QueueSize: 4}) {
		t.Errorf("%+v, %v", m, err)
	}
}

// onWire holds one message against the bytes of its payload.
func onWire(t *testing.T, m Message, payload string, fds int, flags byte) {
	t.Helper()
	body, err := hex.DecodeString(strings.ReplaceAll(payload, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	want := append([]byte{byte(m.Request), 0, 0, 0, flags, 0, 0, 0, byte(len(body)), byte(len(body) >> 8), 0, 0}, body...)
	if b, err := m.Append(nil); err != nil || !bytes.Equal(b, want) {
		t.Errorf("%v: % x, %v, want % x", m.Request, b, err, want)
	}
	if got, err := Parse(want, m.Backend, fds); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("%v: %+v, %v, want %+v", m.Request, got, err, m)
	}
}
