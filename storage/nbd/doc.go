// Package nbd serves and uses network block devices: the NBD protocol, both
// ends, over any net.Conn.
//
// The protocol is that of doc/proto.md of github.com/NetworkBlockDevice/nbd
// (called the specification here), with its extensions of extended headers and of
// resizing. Only fixed newstyle negotiation is spoken, and newstyle by its
// EXPORT_NAME.
//
// # Server
//
// A [Server] exports block devices. The negotiation is a pure machine of one option
// in, replies and a step out (server_negotiation.go); a table of checks judges each
// request by its header (server_check.go); processes around them move bytes: see
// session (server_session.go), outbox (server_outbox.go) and lookout
// (server_lookout.go). Requests of a connection run in parallel and are answered in
// the order in which they are done.
//
// Bounds: what one connection may hold (MaxRequests, MaxMemory), connections
// (MaxConns), handshakes in number and time, and goroutines that work on devices
// (MaxWorkers). A connection that asks for more waits, and so does its client. What
// the server cannot do it answers with an error, and skips the payload; it ends a
// connection where the specification leaves nothing else: a wrong magic number, an
// EXPORT_NAME that cannot be had, a payload of extended headers above 32 MiB.
//
// Limits: no oldstyle negotiation, no TLS with pre-shared keys, no reads above
// 32 MiB, at most 64 meta contexts, at most 4096 descriptors in a reply to
// BLOCK_STATUS, and no notice to clients of a size that changes: the specification
// has none. Clients learn it when they connect again, or ask with RESIZE.
//
// # Client
//
// A [Client] is an export of a server as a block device: see [Dial], [NewClient] and
// [Dialer]. The negotiation is a pure machine again (client_negotiation.go), and so is
// what may come in reply to one request (client_reply.go). One process writes and one
// reads each connection, over a bounded table of calls (client_link.go); one more owns
// the connections and makes them again when one is lost (client_supervisor.go). What is
// sent again then is a policy, [Replay].
//
// Bounds: requests under way on a connection (MaxRequests), connections, copies of
// writes that are kept to be sent again (MaxUnflushed), what a server says during the
// handshake, the pieces of a reply, and the descriptors that are kept of one. Whatever
// else a server says ends its connection with an error that tells what was wrong.
//
// Limits: no oldstyle negotiation, no TLS with pre-shared keys, no vsock; BLOCK_STATUS
// always asks for all contexts that were chosen, and a read that is longer than the
// server takes is sent in pieces one after another.
//
// # Kernel
//
// [Attach] gives the kernel of Linux a device of the program as /dev/nbdN, a [Client] as
// a rule: a remote disk is mounted then, whatever network it is reached by. The kernel
// gets one end of socket pairs, by generic netlink, and a [Server] of the attachment's
// own serves the other ends; so the kernel needs to know of nothing but a server that is
// always there. One process owns an attachment (attach_linux.go): it detaches it cleanly,
// and gives the kernel a new connection for one that the kernel has given up, once all
// requests of the old one are done.
//
// # Wire
//
// The codec of all messages is in the files wire_*.go, as functions of bytes
// that take no memory which a peer asks for: they decode what the caller has
// read, after a header whose lengths the caller has checked.
package nbd
