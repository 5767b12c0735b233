package scsi

import "encoding/binary"

// A reply writes data-in into the buffer that there is, and counts what does not fit.
type reply struct {
	p []byte
	n int
}

func (r *reply) bytes(b ...byte) {
	if r.n < len(r.p) {
		copy(r.p[r.n:], b)
	}
	r.n += len(b)
}

func (r *reply) u16(v int) { r.bytes(byte(v>>8), byte(v)) }

func (r *reply) u32(v uint32) { r.bytes(byte(v>>24), byte(v>>16), byte(v>>8), byte(v)) }

func (r *reply) u64(v uint64) {
	r.u32(uint32(v >> 32))
	r.u32(uint32(v))
}

// zeroes appends n of them.
func (r *reply) zeroes(n int) {
	if r.n < len(r.p) {
		clear(r.p[r.n:min(len(r.p), r.n+n)])
	}
	r.n += n
}

// text appends s, filled with spaces to n bytes.
func (r *reply) text(s string, n int) {
	for i := range n {
		if i < len(s) {
			r.bytes(s[i])
		} else {
			r.bytes(' ')
		}
	}
}

// set changes a byte that was written.
func (r *reply) set(at int, v byte) {
	if at < len(r.p) {
		r.p[at] = v
	}
}

// length16 and length32 put into the bytes at a length that counts from from to the end.
func (r *reply) length16(at, from int) {
	n := r.n - from
	r.set(at, byte(n>>8))
	r.set(at+1, byte(n))
}

func (r *reply) length32(at, from int) {
	n := r.n - from
	r.set(at, byte(n>>24))
	r.set(at+1, byte(n>>16))
	r.set(at+2, byte(n>>8))
	r.set(at+3, byte(n))
}

// maxReply is the most that a command gives whose data-in is bounded by an allocation
// length: the LUNs of a target that is full.
const maxReply = 8 + 8*(MaxLUN+1)

// allocation plans a command whose data-in is bounded by an allocation length.
func (t *Task) allocation(length uint32) {
	t.limit = int(min(length, maxReply))
	t.DataIn = t.limit
}

// replied ends a command with data-in.
func (t *Task) replied(r reply) { t.Transferred = min(r.n, t.limit) }

func (t *Task) cdb16(at int) uint32 { return uint32(binary.BigEndian.Uint16(t.cdb[at:])) }
func (t *Task) cdb32(at int) uint32 { return binary.BigEndian.Uint32(t.cdb[at:]) }
func (t *Task) cdb64(at int) uint64 { return binary.BigEndian.Uint64(t.cdb[at:]) }
