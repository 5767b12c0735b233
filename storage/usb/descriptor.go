package usb

import (
	"encoding/binary"
	"fmt"
	"unicode/utf16"
)

// A Speed is that of a device's bus.
type Speed uint8

const (
	HighSpeed  Speed = iota // 480 Mbit/s, USB 2.0
	FullSpeed               // 12 Mbit/s
	SuperSpeed              // 5 Gbit/s, USB 3.2
)

func (s Speed) String() string {
	return [...]string{"high speed", "full speed", "super speed"}[s]
}

// Types of descriptors (USB 2.0 table 9-5, USB 3.2 table 9-6, UAS 5.3.3.5).
const (
	typeDevice            = 1
	typeConfiguration     = 2
	typeString            = 3
	typeInterface         = 4
	typeEndpoint          = 5
	typeQualifier         = 6
	typeOtherSpeed        = 7
	typeBOS               = 15
	typeCapability        = 16
	typePipeUsage         = 0x24
	typeEndpointCompanion = 48
)

// Class, subclass and protocols of the interface (Mass Storage Class overview 1.4).
const (
	ClassMassStorage = 0x08
	SubclassSCSI     = 0x06
	ProtocolBulkOnly = 0x50
	ProtocolUAS      = 0x62
)

// Addresses of the endpoints. The first two are those of Bulk-Only Transport, in
// alternate setting 0; in setting 1 they carry the data of UAS.
const (
	endpointDataIn  = 0x81
	endpointDataOut = 0x02
	endpointStatus  = 0x83
	endpointCommand = 0x04
)

// Pipe IDs of UAS (UAS table 15).
const (
	pipeCommand = 1
	pipeStatus  = 2
	pipeDataIn  = 3
	pipeDataOut = 4
)

const (
	alternateBulkOnly = 0
	alternateUAS      = 1

	// streamsExponent is MaxStreams of the endpoint companion descriptors: 32.
	streamsExponent = 5
)

// Numbers of the strings.
const (
	stringManufacturer = 1 + iota
	stringProduct
	stringSerial
)

// An EndpointInfo describes an endpoint.
type EndpointInfo struct {
	Address    uint8
	MaxPacket  int
	MaxStreams int // none if zero
}

// alternate is the endpoints of an alternate setting of the interface.
func (c *Config) alternate(n int) []EndpointInfo {
	size := c.Speed.maxPacket()
	if n == alternateBulkOnly {
		return []EndpointInfo{{endpointDataIn, size, 0}, {endpointDataOut, size, 0}}
	}
	streams := 0
	if c.Speed == SuperSpeed {
		streams = 1 << streamsExponent
	}
	return []EndpointInfo{{endpointCommand, size, 0}, {endpointStatus, size, streams}, {endpointDataIn, size, streams}, {endpointDataOut, size, streams}}
}

// maxPacket is wMaxPacketSize of bulk endpoints (USB 2.0 5.8.3, USB 3.2 9.6.6).
func (s Speed) maxPacket() int {
	return [...]int{HighSpeed: 512, FullSpeed: 64, SuperSpeed: 1024}[s]
}

// version is bcdUSB.
func (s Speed) version() uint16 {
	if s == SuperSpeed {
		return 0x0310
	}
	return 0x0200
}

// deviceDescriptor is USB 2.0 9.6.1.
func (c *Config) deviceDescriptor() []byte {
	p := []byte{18, typeDevice}
	p = binary.LittleEndian.AppendUint16(p, c.Speed.version())
	p = append(p, 0, 0, 0, c.Speed.maxPacket0())
	p = binary.LittleEndian.AppendUint16(p, c.VendorID)
	p = binary.LittleEndian.AppendUint16(p, c.ProductID)
	p = binary.LittleEndian.AppendUint16(p, c.Version)
	return append(p, stringManufacturer, stringProduct, stringSerial, 1)
}

// maxPacket0 is bMaxPacketSize0: bytes, or their logarithm at SuperSpeed.
func (s Speed) maxPacket0() byte {
	if s == SuperSpeed {
		return 9
	}
	return 64
}

// qualifier is the device qualifier (USB 2.0 9.6.2), which is of the other of full and
// high speed.
func (c *Config) qualifier() []byte {
	if c.Speed == SuperSpeed {
		return nil
	}
	return []byte{10, typeQualifier, 0x00, 0x02, 0, 0, 0, 64, 1, 0}
}

// configuration is the configuration descriptor with all that belongs to it (USB 2.0
// 9.6.3), of the given type: typeOtherSpeed has that of the other speed (9.6.4).
func (c *Config) configuration(kind byte) []byte {
	of := *c
	if kind == typeOtherSpeed {
		switch c.Speed {
		case SuperSpeed:
			return nil
		case HighSpeed:
			of.Speed = FullSpeed
		default:
			of.Speed = HighSpeed
		}
	}
	power := byte(250) // 500 mA in units of 2 mA
	if of.Speed == SuperSpeed {
		power = 112 // 896 mA in units of 8 mA
	}
	p := []byte{9, kind, 0, 0, 1, 1, 0, 0x80, power}
	p = of.appendInterface(p, alternateBulkOnly)
	if !of.NoUAS {
		p = of.appendInterface(p, alternateUAS)
	}
	binary.LittleEndian.PutUint16(p[2:], uint16(len(p)))
	return p
}

// appendInterface appends an alternate setting of the interface (USB 2.0 9.6.5).
func (c *Config) appendInterface(p []byte, alternate int) []byte {
	endpoints := c.alternate(alternate)
	protocol := byte(ProtocolBulkOnly)
	if alternate == alternateUAS {
		protocol = ProtocolUAS
	}
	p = append(p, 9, typeInterface, 0, byte(alternate), byte(len(endpoints)), ClassMassStorage, SubclassSCSI, protocol, 0)
	pipes := map[uint8]byte{endpointCommand: pipeCommand, endpointStatus: pipeStatus, endpointDataIn: pipeDataIn, endpointDataOut: pipeDataOut}
	for _, e := range endpoints {
		p = append(p, 7, typeEndpoint, e.Address, 2, byte(e.MaxPacket), byte(e.MaxPacket>>8), 0)
		if c.Speed == SuperSpeed {
			attributes := byte(0)
			if e.MaxStreams > 0 {
				attributes = streamsExponent
			}
			p = append(p, 6, typeEndpointCompanion, 15, attributes, 0, 0)
		}
		if alternate == alternateUAS {
			p = append(p, 4, typePipeUsage, pipes[e.Address], 0)
		}
	}
	return p
}

// bos is the binary device object store (USB 3.2 9.6.2) with the capabilities that
// SuperSpeed demands: that of USB 2.0 and SuperSpeed.
func (c *Config) bos() []byte {
	if c.Speed != SuperSpeed {
		return nil
	}
	p := []byte{5, typeBOS, 0, 0, 2}
	p = append(p, 7, typeCapability, 2, 0x02, 0, 0, 0) // LPM
	p = append(p, 10, typeCapability, 3, 0, 0x0e, 0, 1, 0, 0, 0)
	binary.LittleEndian.PutUint16(p[2:], uint16(len(p)))
	return p
}

// text is a string descriptor (USB 2.0 9.6.7), or nil if there is none of that number.
func (c *Config) text(index byte) []byte {
	if index == 0 {
		return []byte{4, typeString, 0x09, 0x04} // English
	}
	texts := []string{stringManufacturer: c.Manufacturer, stringProduct: c.Product, stringSerial: c.Serial}
	if int(index) >= len(texts) {
		return nil
	}
	p := []byte{0, typeString}
	for _, u := range utf16.Encode([]rune(texts[index])) {
		p = binary.LittleEndian.AppendUint16(p, u)
	}
	p[0] = byte(len(p))
	return p
}

// checkTexts sees that the strings fit into descriptors. The serial number has at least
// twelve digits, 0 to 9 and A to F (BOT 4.1.1).
func (c *Config) checkTexts() error {
	for name, s := range map[string]string{"manufacturer": c.Manufacturer, "product": c.Product, "serial number": c.Serial} {
		if n := len(utf16.Encode([]rune(s))); n > 126 {
			return fmt.Errorf("usb: the %s has %d characters, and 126 fit", name, n)
		}
	}
	digits := 0
	for _, r := range c.Serial {
		if r < '0' || r > '9' && r < 'A' || r > 'F' {
			return fmt.Errorf("usb: the serial number %q has other characters than 0 to 9 and A to F", c.Serial)
		}
		digits++
	}
	if digits < 12 {
		return fmt.Errorf("usb: the serial number %q has less than 12 digits", c.Serial)
	}
	return nil
}
