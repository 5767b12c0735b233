package scsi

import (
	"crypto/sha256"
	"encoding/binary"
)

// vitalPages are the pages of vital product data (SPC-4 7.8) in ascending order. Each
// function writes what follows the four bytes of the header.
func vitalPages(of Type) []vitalPage {
	all := []vitalPage{
		{0x00, (*Task).supportedPages},
		{0x80, func(t *Task, r *reply) { r.text(t.unit.config.Serial, len(t.unit.config.Serial)) }},
		{0x83, (*Task).identification},
		{0x86, (*Task).extendedInquiry},
		{0x8f, (*Task).thirdPartyCopy},
		{0xb0, (*Task).blockLimits},
		{0xb1, (*Task).characteristics},
		{0xb2, (*Task).provisioning},
	}
	if of == Disk {
		return all
	}
	return all[:4]
}

type vitalPage struct {
	code  byte
	write func(*Task, *reply)
}

// vitalData writes the page of the CDB, or makes the command fail.
func (t *Task) vitalData(r *reply) {
	if t.unit != nil {
		for _, page := range vitalPages(t.unit.config.Type) {
			if page.code == t.cdb[2] {
				r.bytes(byte(t.unit.config.Type), page.code, 0, 0)
				page.write(t, r)
				r.length16(2, 4)
				return
			}
		}
	}
	t.invalidField(2, 7)
}

// supportedPages is 00h (SPC-4 7.8.15).
func (t *Task) supportedPages(r *reply) {
	for _, page := range vitalPages(t.unit.config.Type) {
		r.bytes(page.code)
	}
}

// Association of a designator (SPC-4 7.8.6.1).
const (
	ofUnit   byte = 0x00
	ofPort   byte = 0x10
	ofTarget byte = 0x20
)

// identification is 83h (SPC-4 7.8.6): what the unit, the port of the target and the
// target are called.
func (t *Task) identification(r *reply) {
	c := &t.unit.config
	r.bytes(0x01, ofUnit|0x03, 0, 8)
	r.u64(t.unit.naa())

	start := r.n // vendor, and what is unique with it
	r.bytes(0x02, ofUnit|0x01, 0, 0)
	r.text(c.Vendor, 8)
	r.text(c.Product, 16)
	r.text(c.Serial, len(c.Serial))
	r.set(start+3, byte(r.n-start-4))

	port := &t.nexus.config.Port
	protocol := byte(port.Protocol)<<4 | 0x01
	r.bytes(protocol, 0x80|ofPort|0x04, 0, 4, 0, 0) // relative target port
	r.u16(int(port.Relative))
	r.bytes(protocol, 0x80|ofPort|0x05, 0, 4, 0, 0) // target port group
	r.u16(int(port.Group))
	r.name(port.Protocol, ofPort, port.Name)
	r.name(port.Protocol, ofTarget, port.Device)
}

// naa is the unit's name, locally assigned: 60 bits of a hash, since there is no company here to
// assign names.
func (u *Unit) naa() uint64 {
	hash := sha256.Sum256([]byte(u.config.Identifier))
	return binary.BigEndian.Uint64(hash[:])>>4 | 0x3<<60
}

// name writes a SCSI name string, which ends with a zero and is filled up to a multiple of
// four bytes (SPC-4 7.8.6.11).
func (r *reply) name(p Protocol, of byte, name string) {
	if name == "" || len(name) > 247 {
		return
	}
	length := (len(name) + 4) &^ 3
	r.bytes(byte(p)<<4|0x03, 0x80|of|0x08, 0, byte(length))
	r.text(name, len(name))
	r.zeroes(length - len(name))
}

// extendedInquiry is 86h (SPC-4 7.8.7).
func (t *Task) extendedInquiry(r *reply) {
	r.bytes(0x00, 0x07, 0x01) // HEADSUP, ORDSUP, SIMPSUP; V_SUP
	r.zeroes(0x3c - 3)
}

// inBlocks is a number of bytes in blocks.
func (t *Task) inBlocks(n int) uint32 { return uint32(n >> t.unit.shift) }

// blockLimits is B0h (SBC-3 6.6.3).
func (t *Task) blockLimits(r *reply) {
	c := &t.unit.config
	unmaps := t.medium != nil && t.medium.unmaps()
	r.bytes(0x00, maxCompare)
	r.u16(int(t.inBlocks(c.PhysicalBlock))) // optimal granularity
	r.u32(t.inBlocks(c.MaxTransfer))
	r.u32(t.inBlocks(min(c.MaxTransfer, 1<<20))) // optimal length
	r.u32(0)                                     // prefetch: no bound
	if unmaps {
		r.u32(1<<32 - 1) // blocks to unmap: no bound
		r.u32(maxUnmap)
		r.u32(t.inBlocks(max(c.PhysicalBlock, t.medium.info.BlockSizes.Preferred)))
		r.u32(1 << 31) // aligned to block 0
	} else {
		r.zeroes(16)
	}
	r.u64(maxSame)
	r.zeroes(0x3c + 4 - r.n)
}

// characteristics is B1h (SBC-3 6.6.2).
func (t *Task) characteristics(r *reply) {
	rate := 0x0001 // does not rotate
	if t.medium != nil && t.medium.info.Rotational {
		rate = 7200
	}
	r.u16(rate)
	r.zeroes(0x3c - 2)
}

// provisioning is B2h (SBC-3 6.6.4).
func (t *Task) provisioning(r *reply) {
	switch {
	case t.medium == nil || !t.medium.unmaps():
		r.bytes(0, 0, 0x01, 0) // full
	case t.medium.unmapsToZero():
		r.bytes(0, 0xe4, 0x02, 0) // LBPU, LBPWS, LBPWS10, LBPRZ; thin
	default:
		r.bytes(0, 0xe0, 0x02, 0)
	}
}
