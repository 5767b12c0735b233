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
// The state of a connection is a TCB, a pure machine: segments, calls and the time
// go in, and it says what to send and when it wants to be asked again. It has no
// goroutine, channel or clock.
//
//	tcb.go, state.go            the variables of RFC 9293 section 3.3, the states
//	arrives.go, ack.go          SEGMENT ARRIVES (3.10.7), step by step
//	calls.go                    OPEN, SEND, RECEIVE, CLOSE, ABORT (3.10.1 to 3.10.6)
//	output.go, segment.go       what is sent and when; Nagle, SWS avoidance (3.8.6)
//	timeouts.go, rtt.go         retransmission (RFC 6298), persist, keep-alive
//	window.go, autotune.go      the receive window and its buffer
//	options.go, header.go       the wire format
//	sack.go, scoreboard.go      selective acknowledgements (RFC 2018, 6675)
//	recovery.go, rack.go, tlp.go, newreno.go, prr.go, frto.go, undo.go, dsack.go
//	                            loss recovery
//	congestion/                 congestion control, a package that knows no TCB
//	pathmtu.go, mtuprobe.go     path MTU discovery (RFC 1191, 4821)
//	challenge.go                attacks by an off-path host (RFC 5961)
//
// Before there is a TCB, and after it, less state will do: half-open connections
// (halfopen.go, syncookie.go) and TIME-WAIT (timewait.go) are kept in tables, and a
// segment that belongs to nothing is answered by stranger.go. door.go is these
// together.
//
// The processes around the machines only move events. [Demux] owns the tables and
// finds for each segment its connection. A connection has no goroutine: whoever has
// something for it takes its token (token.go) and runs the machine, the
// demultiplexer as well as users (socket.go) and timers (conn.go). They only try to
// send; [Transmit] waits for the network layer (transmit.go). A quiet connection is
// parked (park.go).
//
// [Machine] is the same machines for a program that calls the layers in one loop,
// without goroutines and channels.
package tcp
