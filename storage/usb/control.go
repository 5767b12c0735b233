package usb

import "encoding/binary"

// Standard requests (USB 2.0 table 9-4, USB 3.2 table 9-5).
const (
	requestGetStatus        = 0
	requestClearFeature     = 1
	requestSetFeature       = 3
	requestSetAddress       = 5
	requestGetDescriptor    = 6
	requestGetConfiguration = 8
	requestSetConfiguration = 9
	requestGetInterface     = 10
	requestSetInterface     = 11
	requestSetSEL           = 48
	requestSetIsochDelay    = 49

	// Of the class (BOT 3).
	requestReset     = 0xff
	requestGetMaxLUN = 0xfe
)

// bmRequestType: direction, type, recipient (USB 2.0 9.3.1).
const (
	toHost      = 0x80
	ofClass     = 0x20
	toInterface = 0x01
	toEndpoint  = 0x02
)

const (
	featureEndpointHalt    = 0
	featureFunctionSuspend = 0  // of an interface, USB 3.2
	featureU1Enable        = 48 // of a device, USB 3.2
	featureU2Enable        = 49
)

// A setup is the eight bytes of a control transfer's first stage (USB 2.0 9.3).
type setup struct {
	kind, request        byte
	value, index, length uint16
}

func parseSetup(p [8]byte) setup {
	return setup{p[0], p[1], binary.LittleEndian.Uint16(p[2:]), binary.LittleEndian.Uint16(p[4:]), binary.LittleEndian.Uint16(p[6:])}
}

// control answers a control transfer: a Request Error of chapter 9 is a STALL.
func (f *function) control(t *Transfer) {
	s := parseSetup(t.Setup)
	data, ok := f.request(s, t.Data)
	t.Data = nil
	switch {
	case !ok:
		t.Status = StatusStall
	case s.kind&toHost != 0:
		data = data[:min(len(data), int(s.length), t.Length)]
		t.Data, t.Actual = data, len(data)
	default:
		t.Actual = t.Length
	}
	f.complete(t)
}

// request does what a request asks for, and returns what it answers; ok is false if
// there is no such request.
func (f *function) request(s setup, out []byte) (in []byte, ok bool) {
	switch s.kind {
	case toHost, 0:
		return f.deviceRequest(s, out)
	case toHost | toInterface, toInterface:
		return f.interfaceRequest(s)
	case toHost | toEndpoint, toEndpoint:
		return f.endpointRequest(s)
	case ofClass | toInterface: // Bulk-Only Mass Storage Reset
		if s.request != requestReset || s.value != 0 || s.index != 0 || s.length != 0 || !f.bulkOnly() {
			return nil, false
		}
		f.bot.reset()
		return nil, true
	case toHost | ofClass | toInterface:
		if s.request != requestGetMaxLUN || s.value != 0 || s.index != 0 || s.length != 1 || f.configured == 0 {
			return nil, false
		}
		return []byte{f.config.maxLUN()}, true
	}
	return nil, false
}

func (f *function) deviceRequest(s setup, out []byte) ([]byte, bool) {
	toDevice := s.kind&toHost == 0
	switch {
	case s.request == requestGetStatus && !toDevice:
		return []byte{0, 0}, s.length == 2
	case s.request == requestGetDescriptor && !toDevice:
		p := f.descriptor(byte(s.value>>8), byte(s.value))
		return p, p != nil
	case s.request == requestGetConfiguration && !toDevice:
		return []byte{f.configured}, s.length == 1
	case s.request == requestSetConfiguration && toDevice:
		if s.value > 1 {
			return nil, false
		}
		f.reset()
		f.configured, f.setting = byte(s.value), alternateBulkOnly
		f.enable()
		return nil, true
	case s.request == requestSetAddress && toDevice: // the transport's host controller has done it
		return nil, s.value <= 127
	case f.config.Speed != SuperSpeed:
		return nil, false
	case (s.request == requestSetFeature || s.request == requestClearFeature) && toDevice:
		return nil, f.configured != 0 && (s.value == featureU1Enable || s.value == featureU2Enable)
	case s.request == requestSetSEL && toDevice:
		return nil, len(out) == 6
	case s.request == requestSetIsochDelay && toDevice:
		return nil, s.length == 0
	}
	return nil, false
}

// descriptor is GET_DESCRIPTOR (USB 2.0 9.4.3), nil if there is none.
func (f *function) descriptor(kind, index byte) []byte {
	c := &f.config
	switch {
	case kind == typeString:
		return c.text(index)
	case index != 0:
		return nil
	}
	switch kind {
	case typeDevice:
		return c.deviceDescriptor()
	case typeConfiguration, typeOtherSpeed:
		return c.configuration(kind)
	case typeQualifier:
		return c.qualifier()
	case typeBOS:
		return c.bos()
	}
	return nil
}

func (f *function) interfaceRequest(s setup) ([]byte, bool) {
	if f.configured == 0 || s.index&0xff != 0 {
		return nil, false
	}
	get := s.kind&toHost != 0
	switch {
	case s.request == requestGetStatus && get:
		return []byte{0, 0}, s.length == 2
	case s.request == requestGetInterface && get:
		return []byte{f.setting}, s.length == 1
	case s.request == requestSetInterface && !get:
		if s.value > alternateUAS || s.value == alternateUAS && f.config.NoUAS {
			return nil, false
		}
		f.reset()
		f.setting = byte(s.value)
		f.enable()
		return nil, true
	case (s.request == requestSetFeature || s.request == requestClearFeature) && !get:
		return nil, f.config.Speed == SuperSpeed && s.value == featureFunctionSuspend
	}
	return nil, false
}

// endpointRequest is GET_STATUS, SET_FEATURE and CLEAR_FEATURE of an endpoint (USB 2.0
// 9.4.5, 9.4.9, 9.4.1). Endpoint zero is never halted.
func (f *function) endpointRequest(s setup) ([]byte, bool) {
	address := byte(s.index)
	e := f.endpoint(address)
	if address&0x7f != 0 && e == nil {
		return nil, false
	}
	if s.request == requestGetStatus && s.kind&toHost != 0 {
		if e != nil && e.halted {
			return []byte{1, 0}, s.length == 2
		}
		return []byte{0, 0}, s.length == 2
	}
	if s.kind&toHost != 0 || s.value != featureEndpointHalt {
		return nil, false
	}
	switch s.request {
	case requestSetFeature:
		if e != nil {
			f.halt(e)
		}
		return nil, true
	case requestClearFeature:
		// After a CBW that was not valid, endpoints stay halted until a reset
		// recovery (BOT 6.6.1).
		if e != nil && !(f.bulkOnly() && f.bot.phase == botInvalid) {
			e.halted = false
		}
		return nil, true
	}
	return nil, false
}
