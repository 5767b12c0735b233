// Package tcp is TCP (RFC 9293) with what hosts of today expect of it: loss
// recovery by RACK-TLP, CUBIC, SACK, window scale, timestamps, ECN, Fast Open, SYN
// cookies, path MTU discovery. CONFORMANCE.md has each requirement of the RFCs with
// the test that shows it.
//
// Programs use it through package gonet, whose Dial and Listen return a [Conn] and
// a [Listener]. They are net.Conn and net.Listener, with the methods of
// net.TCPConn and more: [Conn.Info] is what TCP_INFO tells, [Conn.Signals] tells of
// urgent data and more, [Conn.SetCongestionControl] and [Conn.SetLossRecovery]
// change the algorithms of a connection while it runs. [Config] has the parameters
// of all.
//
// # Where what is
//
//	tcp/segment      the wire format: sequence numbers, header, options
//	tcp/machine      all rules of the RFCs, as a pure machine without goroutine, channel or clock
//	tcp/congestion   congestion control, which knows no connection
//	tcp              the processes around the machine, and what programs call
//
// Imports go from below to above only: the machine knows nothing of its processes.
// In the machine, the names of files begin with their part:
//
//	tcb.go, state.go      the variables of RFC 9293 section 3.3, the states
//	arrives…              SEGMENT ARRIVES (3.10.7), step by step; challenge ACKs (RFC 5961)
//	calls…                OPEN, SEND, RECEIVE, CLOSE, ABORT (3.10.1 to 3.10.6), options of sockets
//	output.go             what is sent and when; Nagle, SWS avoidance (3.8.6)
//	timer…                retransmission (RFC 6298), persist, keep-alive, user timeout
//	send_…, receive_…     queues, the window and when it is told, delayed acknowledgements
//	recovery_…            loss recovery: the scoreboard and SACK, RACK, TLP, PRR, F-RTO, undo, DSACK
//	congestion_…          what congestion control is told: ECN, rates of delivery, pacing
//	path_…                path MTU discovery (RFC 1191, 4821, 8899), ICMP errors, source routes
//	open_…                opening: initial sequence numbers, half-open connections, SYN cookies, Fast Open
//	close_…               TIME-WAIT, resets, orphans, what a connection leaves
//	tables.go             what a host knows in addition to its connections
//	loop.go               all of it for a program that calls the layers in one loop
//
// The processes only move events. [Demux] owns the tables and finds for each segment
// its connection. A connection has no goroutine: whoever has something for it takes
// its token (token.go) and runs the machine, the demultiplexer as well as users
// (socket.go) and timers (conn.go). They only try to send; [Transmit] waits for the
// network layer (transmit.go). A quiet connection is parked (park.go).
package tcp
