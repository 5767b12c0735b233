package iscsi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
)

// Each field of each PDU lies where RFC 7143 says, section by section.
func TestHeaderFields(t *testing.T) {
	var h header
	for i := range h {
		h[i] = byte(i + 1)
	}
	be := binary.BigEndian
	cases := []struct {
		section, field string
		got, want      uint64
	}{
		{"11.2.1.2", "Opcode", uint64(h.opcode()), 1},
		{"11.2.1.5", "TotalAHSLength", uint64(h.ahsLength()), 5 * 4},
		{"11.2.1.6", "DataSegmentLength", uint64(h.dataLength()), 0x060708},
		{"11.2.1.7", "LUN", h.lun(), be.Uint64(h[8:])},
		{"11.2.1.8", "Initiator Task Tag", uint64(h.itt()), 0x11121314},
		{"11.3.1", "ATTR", uint64(h.attribute()), 2},
		{"11.3.4", "Expected Data Transfer Length", uint64(h.expectedLength()), 0x15161718},
		{"11.3.2", "CmdSN", uint64(h.cmdSN()), 0x191a1b1c},
		{"11.3.2", "ExpStatSN", uint64(h.expStatSN()), 0x1d1e1f20},
		{"11.3.5", "CDB", uint64(h.cdb()[0]), 0x21},
		{"11.4.8", "StatSN", uint64(h.statSN()), 0x191a1b1c},
		{"11.4.9", "ExpCmdSN", uint64(h.expCmdSN()), 0x1d1e1f20},
		{"11.4.10", "MaxCmdSN", uint64(h.maxCmdSN()), 0x21222324},
		{"11.4.2", "Status", uint64(h.status()), 4},
		{"11.4.3", "Response", uint64(h.response()), 3},
		{"11.4.5", "Residual Count", uint64(h.residual()), 0x2d2e2f30},
		{"11.5.1", "Function", uint64(h.function()), 2},
		{"11.5.4", "Referenced Task Tag", uint64(h.referencedTag()), 0x15161718},
		{"11.5.5", "RefCmdSN", uint64(h.refCmdSN()), 0x21222324},
		{"11.7.4", "Target Transfer Tag", uint64(h.ttt()), 0x15161718},
		{"11.7.5", "DataSN", uint64(h.dataSN()), 0x25262728},
		{"11.7.6", "Buffer Offset", uint64(h.bufferOffset()), 0x292a2b2c},
		{"11.8.4", "Desired Data Transfer Length", uint64(h.desiredLength()), 0x2d2e2f30},
		{"11.12.3", "CSG", uint64(h.csg()), 0},
		{"11.12.3", "NSG", uint64(h.nsg()), 2},
		{"11.12.4", "Version-max", uint64(h.versionMax()), 3},
		{"11.12.4", "Version-min", uint64(h.versionMin()), 4},
		{"11.12.5", "ISID", uint64(h.isid()[5]), 14},
		{"11.12.6", "TSIH", uint64(h.tsih()), 0x0f10},
		{"11.12.7", "CID", uint64(h.cid()), 0x1516},
		{"11.13.5", "Status-Class and Detail", uint64(h.loginStatus()), 0x2526},
	}
	for _, c := range cases {
		if c.got != c.want {
			t.Errorf("%s (%s) is %#x, want %#x", c.field, c.section, c.got, c.want)
		}
	}
}

// What is set is read again.
func TestHeaderSetters(t *testing.T) {
	var h header
	h.setLUN(0x0102030405060708)
	h.setITT(1)
	h.setTTT(2)
	h.setCmdSN(3)
	h.setExpStatSN(4)
	h.setMaxCmdSN(5)
	h.setDataSN(6)
	h.setBufferOffset(7)
	h.setDesiredLength(8)
	if h.lun() != 0x0102030405060708 || h.itt() != 1 || h.ttt() != 2 || h.cmdSN() != 3 || h.expStatSN() != 4 ||
		h.maxCmdSN() != 5 || h.dataSN() != 6 || h.bufferOffset() != 7 || h.desiredLength() != 8 {
		t.Errorf("%x", h)
	}
	h.setResidual(9)
	h.setStatSN(10)
	h.setExpCmdSN(11)
	h.setResponse(12, 13)
	if h.residual() != 9 || h.statSN() != 10 || h.expCmdSN() != 11 || h.response() != 12 || h.status() != 13 {
		t.Errorf("%x", h)
	}
	h.setISID([6]byte{1, 2, 3, 4, 5, 6})
	h.setTSIH(0x1234)
	h.setCID(0x4321)
	h.setLoginStatus(loginVersion)
	if h.isid() != [6]byte{1, 2, 3, 4, 5, 6} || h.tsih() != 0x1234 || h.cid() != 0x4321 || h.loginStatus() != loginVersion {
		t.Errorf("%x", h)
	}
}

// The vectors of RFC 3720, B.4.
func TestDigestVectors(t *testing.T) {
	up := make([]byte, 32)
	for i := range up {
		up[i] = byte(i)
	}
	for _, c := range []struct {
		data []byte
		want string
	}{
		{make([]byte, 32), "\xaa\x36\x91\x8a"},
		{bytes.Repeat([]byte{0xff}, 32), "\x43\xab\xa8\x62"},
		{up, "\x4e\x79\xdd\x46"},
	} {
		if got := binary.LittleEndian.AppendUint32(nil, digest(c.data)); string(got) != c.want {
			t.Errorf("digest of %x is %x, want %x", c.data, got, c.want)
		}
	}
}

var allDigests = []digests{{}, {header: true}, {data: true}, {true, true}}

func TestPDURoundTrip(t *testing.T) {
	for _, d := range allDigests {
		for n := range 9 {
			data := bytes.Repeat([]byte{0xa5}, n)
			h := newHeader(opNopOut, flagFinal, 77)
			stream := appendPDU(appendPDU(nil, &h, data, d), &h, data, d)
			if want := 2 * (48 + n + padding(n) + 4*int(b2n(d.header)) + 4*int(b2n(d.data && n > 0))); len(stream) != want {
				t.Errorf("%+v, %d bytes of data: %d bytes, want %d", d, n, len(stream), want)
			}
			r := &reader{in: bytes.NewReader(stream), digests: d, maxData: 8}
			for range 2 {
				var got header
				if _, err := r.header(&got); err != nil {
					t.Fatal(err)
				}
				p := make([]byte, got.dataLength())
				if err := r.data(p); err != nil {
					t.Fatal(err)
				}
				if got != h || !bytes.Equal(p, data) {
					t.Errorf("%x %x, want %x %x", got, p, h, data)
				}
			}
			if _, err := r.header(&h); err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
		}
	}
}

// Every single bit that is wrong is seen where there are digests.
func TestDigestsSeeEveryBit(t *testing.T) {
	h := newHeader(opNopOut, flagFinal, 77)
	whole := appendPDU(nil, &h, []byte("hello"), digests{true, true})
	for bit := range 8 * len(whole) {
		broken := bytes.Clone(whole)
		broken[bit/8] ^= 1 << (bit % 8)
		r := &reader{in: bytes.NewReader(broken), digests: digests{true, true}, maxData: 8}
		var got header
		_, err := r.header(&got)
		if err == nil {
			err = r.data(make([]byte, got.dataLength()))
		}
		if !errors.Is(err, errHeaderDigest) && !errors.Is(err, errDataDigest) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("bit %d: %v", bit, err)
		}
	}
}

// A stream that ends within a PDU is no end.
func TestCutPDU(t *testing.T) {
	h := newHeader(opNopOut, flagFinal, 77)
	whole := appendPDU(nil, &h, []byte("hello"), digests{true, true})
	for n := 1; n < len(whole); n++ {
		r := &reader{in: bytes.NewReader(whole[:n]), digests: digests{true, true}, maxData: 8}
		var got header
		_, err := r.header(&got)
		if err == nil {
			err = r.data(make([]byte, got.dataLength()))
		}
		if err != io.ErrUnexpectedEOF {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

func TestDataSegmentTooLong(t *testing.T) {
	h := newHeader(opDataOut, 0, 1)
	r := &reader{in: bytes.NewReader(appendPDU(nil, &h, make([]byte, 513), digests{})), maxData: 512}
	if _, err := r.header(&h); !errors.As(err, new(formatError)) {
		t.Errorf("%v", err)
	}
}

func TestAHS(t *testing.T) {
	segments := []ahs{{ahsBidi, []byte{0, 1, 2, 3, 4}}, {ahsCDB, append([]byte{0}, "0123456789abcdef"...)}}
	var b []byte
	for _, a := range segments {
		b = appendAHS(b, a)
	}
	if len(b)%4 != 0 {
		t.Errorf("%d bytes", len(b))
	}
	for _, want := range segments {
		a, rest, err := parseAHS(b)
		if err != nil || a.kind != want.kind || !bytes.Equal(a.data, want.data) {
			t.Fatalf("%+v %v, want %+v", a, err, want)
		}
		b = rest
	}
	for _, bad := range []string{"", "\x00", "\x00\x00\x01\x00", "\x00\x05\x01\x00", "\xff\xff\x01\x00"} {
		if _, _, err := parseAHS([]byte(bad)); err == nil {
			t.Errorf("%x is taken", bad)
		}
	}
}

func FuzzPDU(f *testing.F) {
	h := newHeader(opCommand, flagFinal|flagRead, 1)
	for i, d := range allDigests {
		f.Add(appendPDU(nil, &h, []byte("data"), d), byte(i))
	}
	f.Fuzz(func(t *testing.T, b []byte, kind byte) {
		r := &reader{in: bytes.NewReader(b), digests: allDigests[kind%4], maxData: 4096}
		for {
			var h header
			additional, err := r.header(&h)
			if err != nil {
				return
			}
			for rest := additional; len(rest) > 0; {
				if _, rest, err = parseAHS(rest); err != nil {
					break
				}
			}
			again := appendHeader(nil, &h, additional, h.dataLength(), digests{})
			if !bytes.Equal(again, append(h[:], additional...)) {
				t.Fatalf("%x became %x", h, again)
			}
			if r.data(make([]byte, h.dataLength())) != nil {
				return
			}
		}
	})
}
