// Package nbd serves and uses network block devices: the NBD protocol, both
// ends, over any net.Conn.
//
// The protocol is that of doc/proto.md of github.com/NetworkBlockDevice/nbd
// (called the specification here), with its extension of extended headers. Only
// fixed newstyle negotiation is spoken.
//
// The codec of all messages is in the files wire_*.go, as functions of bytes
// that take no memory which a peer asks for: they decode what the caller has
// read, after a header whose lengths the caller has checked.
package nbd
