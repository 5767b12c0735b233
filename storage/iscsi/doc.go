// Package iscsi serves and uses SCSI logical units over any net.Conn: iSCSI as of RFC
// 7143, both ends. What the units are and do is package scsi's.
//
// Pure machines make the protocol: the codec of PDUs and text (wire_*.go), the
// negotiation of keys (negotiation.go), CHAP (chap.go), the login phase of both sides
// (login_*.go), and the full feature phase of a target (session*.go). Files and rules
// name the sections of the RFC.
//
// # Target
//
// A [Server] has targets, a [Target] has units, an [Access] says who may use them.
// Processes around the machines move bytes (server_process.go): one reads a connection,
// a bounded set works on devices, and who has something to say writes, unless somebody
// is writing already. Targets and units come and go while sessions run.
// Package admin does that, with the disks behind the units, also from another process.
//
// Bounds: connections (MaxConns), logins in number and time (MaxLogins, LoginTimeout),
// commands (QueueDepth) and memory (MaxMemory) of a session, goroutines that work on
// devices (MaxWorkers), text, keys, and how long an initiator may be silent
// (PingInterval). What a bound has stopped is counted, see [Stats].
//
// # Initiator
//
// A [Dialer] discovers targets and makes sessions, a [Client]; [Client.Command] does one
// SCSI command, and a [Device] is a unit as a block.Device. A connection that is lost is
// made again, and what was under way on a Device is done again.
//
// # Limits
//
// MaxConnections is 1 and ErrorRecoveryLevel 0: a header digest that is wrong ends the
// session, a data digest the command, and what is lost with a connection is for the
// initiator to do again. No SLP, no iSNS, no Kerberos, SRP or SPKM, no markers. Whoever
// wants secrecy brings a net.Conn that has it.
package iscsi
