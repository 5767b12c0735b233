package usb

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// TestDescriptors reads all descriptors at each speed, as a host does.
func TestDescriptors(t *testing.T) {
	for _, speed := range []Speed{FullSpeed, HighSpeed, SuperSpeed} {
		for _, noUAS := range []bool{false, true} {
			r := newRig(t, Config{Speed: speed, NoUAS: noUAS})
			get := func(kind, index byte) []byte {
				d := r.control(0x80, requestGetDescriptor, uint16(kind)<<8|uint16(index), 0, 255)
				if d.Status == StatusStall {
					return nil
				}
				return bytes.Clone(d.Data)
			}
			d := get(typeDevice, 0)
			if len(d) != 18 || int(d[0]) != 18 || d[1] != typeDevice || d[17] != 1 {
				t.Errorf("%v: device % x", speed, d)
			}
			c := get(typeConfiguration, 0)
			if int(binary.LittleEndian.Uint16(c[2:])) != len(c) {
				t.Errorf("%v: configuration of %d bytes says %d", speed, len(c), binary.LittleEndian.Uint16(c[2:]))
			}
			counts := map[byte]int{}
			for p := c; len(p) > 0; p = p[p[0]:] {
				if p[0] < 2 || int(p[0]) > len(p) {
					t.Fatalf("%v: descriptor % x", speed, p)
				}
				counts[p[1]]++
				if p[1] == typeEndpoint && int(binary.LittleEndian.Uint16(p[4:])) != speed.maxPacket() {
					t.Errorf("%v: endpoint % x", speed, p[:7])
				}
			}
			want := map[byte]int{typeConfiguration: 1, typeInterface: 2, typeEndpoint: 6, typePipeUsage: 4}
			if noUAS {
				want = map[byte]int{typeConfiguration: 1, typeInterface: 1, typeEndpoint: 2}
			}
			if speed == SuperSpeed {
				want[typeEndpointCompanion] = want[typeEndpoint]
			}
			for kind, n := range want {
				if counts[kind] != n {
					t.Errorf("%v: %d descriptors of type %d, want %d", speed, counts[kind], kind, n)
				}
			}
			for kind, there := range map[byte]bool{typeQualifier: speed != SuperSpeed, typeOtherSpeed: speed != SuperSpeed, typeBOS: speed == SuperSpeed, 77: false} {
				p := get(kind, 0)
				if (p != nil) != there {
					t.Errorf("%v: descriptor %d: % x", speed, kind, p)
				}
				if kind == typeBOS && there && int(binary.LittleEndian.Uint16(p[2:])) != len(p) {
					t.Errorf("BOS % x", p)
				}
			}
			for i, text := range []string{stringManufacturer: "GoNet", stringProduct: "Mass Storage", stringSerial: "000000000001"} {
				if p := get(typeString, byte(i)); i > 0 && (len(p) != 2+2*len(text) || p[2] != text[0]) {
					t.Errorf("string %d: % x", i, p)
				}
			}
			if get(typeString, 9) != nil || get(typeDevice, 1) != nil || get(typeConfiguration, 1) != nil {
				t.Error("descriptors that there are not")
			}
		}
	}
}

// TestRequests is the requests of chapter 9 and of the class, in the states in which they
// are allowed and others.
func TestRequests(t *testing.T) {
	type request struct {
		kind, request        byte
		value, index, length uint16
	}
	for _, c := range []struct {
		name       string
		configured bool
		super      bool
		request
		want []byte // nil: a STALL
	}{
		{"GET STATUS of the device", true, false, request{0x80, 0, 0, 0, 2}, []byte{0, 0}},
		{"GET STATUS of the interface", true, false, request{0x81, 0, 0, 0, 2}, []byte{0, 0}},
		{"GET STATUS of no interface", true, false, request{0x81, 0, 0, 1, 2}, nil},
		{"GET STATUS of endpoint 0", true, false, request{0x82, 0, 0, 0, 2}, []byte{0, 0}},
		{"GET STATUS of no endpoint", true, false, request{0x82, 0, 0, 0x85, 2}, nil},
		{"GET STATUS of an endpoint, not configured", false, false, request{0x82, 0, 0, 0x81, 2}, nil},
		{"GET CONFIGURATION", true, false, request{0x80, 8, 0, 0, 1}, []byte{1}},
		{"GET CONFIGURATION, not configured", false, false, request{0x80, 8, 0, 0, 1}, []byte{0}},
		{"SET CONFIGURATION 2", true, false, request{0x00, 9, 2, 0, 0}, nil},
		{"GET INTERFACE", true, false, request{0x81, 10, 0, 0, 1}, []byte{0}},
		{"GET INTERFACE, not configured", false, false, request{0x81, 10, 0, 0, 1}, nil},
		{"SET INTERFACE 2", true, false, request{0x01, 11, 2, 0, 0}, nil},
		{"SET INTERFACE 1 of no interface", true, false, request{0x01, 11, 1, 1, 0}, nil},
		{"SET ADDRESS", false, false, request{0x00, 5, 5, 0, 0}, []byte{}},
		{"SET FEATURE remote wakeup", true, false, request{0x00, 3, 1, 0, 0}, nil},
		{"SET FEATURE test mode", true, false, request{0x00, 3, 2, 0, 0}, nil},
		{"SET FEATURE U1", true, true, request{0x00, 3, 48, 0, 0}, []byte{}},
		{"SET FEATURE U1 at high speed", true, false, request{0x00, 3, 48, 0, 0}, nil},
		{"SET ISOCH DELAY", true, true, request{0x00, 49, 40, 0, 0}, []byte{}},
		{"SYNCH FRAME", true, false, request{0x82, 12, 0, 0x81, 2}, nil},
		{"SET DESCRIPTOR", true, false, request{0x00, 7, 0x100, 0, 0}, nil},
		{"GET MAX LUN", true, false, request{0xa1, 0xfe, 0, 0, 1}, []byte{0}},
		{"GET MAX LUN, not configured", false, false, request{0xa1, 0xfe, 0, 0, 1}, nil},
		{"GET MAX LUN of two bytes", true, false, request{0xa1, 0xfe, 0, 0, 2}, nil},
		{"bulk-only reset with a value", true, false, request{0x21, 0xff, 1, 0, 0}, nil},
		{"bulk-only reset, not configured", false, false, request{0x21, 0xff, 0, 0, 0}, nil},
		{"of a vendor", true, false, request{0xc0, 1, 0, 0, 8}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := Config{}
			if c.super {
				config.Speed = SuperSpeed
			}
			r := newRig(t, config)
			if c.configured {
				r.control(0, requestSetConfiguration, 1, 0, 0)
			}
			a := r.control(c.kind, c.request.request, c.value, c.index, c.length)
			if (a.Status == StatusStall) != (c.want == nil) || c.want != nil && !bytes.Equal(a.Data, c.want) {
				t.Errorf("%v, % x; want % x", a.Status, a.Data, c.want)
			}
		})
	}
}

// TestHalt halts an endpoint, and clears that.
func TestHalt(t *testing.T) {
	r := configured(t, Config{}, 0)
	waits := r.in(endpointDataIn, 13)
	r.control(0x02, requestSetFeature, featureEndpointHalt, endpointDataIn, 0)
	r.want("waiting", waits, StatusStall, 0)
	r.want("halted", r.in(endpointDataIn, 13), StatusStall, 0)
	r.control(0x02, requestClearFeature, featureEndpointHalt, endpointDataIn, 0)
	r.command(0, false, testUnitReady...)
	r.status(cswPassed, 0)
}

// TestConfigChecks refuses what does not fit into descriptors.
func TestConfigChecks(t *testing.T) {
	r := newRig(t, Config{})
	for name, c := range map[string]Config{
		"no units": {}, "speed": {Units: r.units, Speed: 9}, "short serial number": {Units: r.units, Serial: "123"},
		"serial number": {Units: r.units, Serial: "12345678901x"}, "long product": {Units: r.units, Product: strings.Repeat("x", 127)},
	} {
		if _, err := NewDevice(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
