// Package prf is a keyed pseudorandom function of a flow: the function F of
// RFC 6528 section 3 and RFC 6056 section 3.3.3.
package prf

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
)

// A Key is the secret of one stack.
type Key [32]byte

// NewKey takes a key from random, which returns 64 random bits a call.
func NewKey(random func() uint64) Key {
	var k Key
	for i := 0; i < len(k); i += 8 {
		binary.BigEndian.PutUint64(k[i:], random())
	}
	return k
}

// Flow hashes a local and a remote address.
func (k *Key) Flow(local, remote netip.AddrPort) uint64 { return k.FlowWith(local, remote, 0, 0) }

// FlowWith hashes a local and a remote address and two numbers. The key is
// longer than the part of the digest that is shown, so that SHA-256 over the
// key and a message of fixed length is enough.
func (k *Key) FlowWith(local, remote netip.AddrPort, x, y uint32) uint64 {
	var m [len(k) + 44]byte
	copy(m[:], k[:])
	l, r := local.Addr().As16(), remote.Addr().As16()
	copy(m[len(k):], l[:])
	copy(m[len(k)+16:], r[:])
	binary.BigEndian.PutUint16(m[len(k)+32:], local.Port())
	binary.BigEndian.PutUint16(m[len(k)+34:], remote.Port())
	binary.BigEndian.PutUint32(m[len(k)+36:], x)
	binary.BigEndian.PutUint32(m[len(k)+40:], y)
	sum := sha256.Sum256(m[:])
	return binary.BigEndian.Uint64(sum[:])
}
