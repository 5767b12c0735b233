// Package packetdrill runs scripts in the language of Google's packetdrill
// against a whole stack: what the user calls, what the network brings, and what
// must go out and when.
//
// It needs no root, no kernel and no time: the stack, the user's goroutines and
// the other end of the cable live in a bubble of testing/synctest, where time
// is virtual and every instant is exact. The code is written from the public
// description of the language; no script is taken from elsewhere.
//
//	// MUST-18 RFC6298-5.4: what is not acknowledged is sent again.
//	--tcp.Recovery=sack
//
//	0        socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
//	+0...+.1 connect(3, ..., ...) = 0
//	+0       > S 0:0(0) <...>
//	+.1      < S. 0:0(0) ack 1 win 32792 <mss 1000>
//	+0       > . 1:1(0) ack 1
//	+0       write(3, ..., 1000) = 1000
//	+0       > P. 1:1001(1000) ack 1
//	+.3      > P. 1:1001(1000) ack 1
//	+0       %{ assert tcpi_backoff == 1 }%
//
// # Scripts
//
// The first line names the requirements that the script shows, and says how.
// Settings follow, then events, each behind its time. Comments are //, # and
// /* */.
//
// Times: 1.5 is since the beginning, +.5 after the event before; +.5~+.7 and *
// are for packets that go out; +0...+.2 is a call that blocks and returns .2 s
// after the event before. Events that follow a blocking call are counted from
// its beginning.
//
// The stack's timers of an instant come before what the script does at that
// instant. Whatever goes out must be in the script: a packet that was not
// expected is an error at the next line that is no >, and at the end.
//
// # Packets
//
// "<" arrives, ">" goes out. Sequence numbers count from the initial sequence
// number of either side, which both lie shortly before the wrap (ours in one
// connection of a script, the first unless --isn says otherwise). Timestamps of
// the peer count from one before its wrap, and ours from the first that was
// seen, which is what the script calls it there (0 beside <...>). Numbers may
// be negative. On what goes out, no options mean none, <...> means any, and nop
// and eol count only where the script writes some; no win means any. A peer's
// option TS ecr is relative only beside an acknowledgement.
//
// In brackets before the flags stands what is not of TCP's header: noecn, ect0,
// ect1, ce, ect01; tos n, ttl n, df, nodf. And, which packetdrill has not:
// peer n, for scripts with more than one connection; new, where a SYN begins
// new numbers on an old pair of ports; train n, for a frame that a device cuts
// into segments of n bytes, or has joined of such; badsum and offset n, for
// malformed segments. A packet longer than a segment that goes out is such a
// train; with --tso=0 it is cut first.
//
// Options: mss, wscale, sackOK, sack l:r l:r, TS val v ecr e, FO and FOEXP with
// a cookie in hexadecimal, or * for the cookie that the stack has given; nop,
// eol; raw and hexadecimal bytes for anything else.
//
// ICMP errors arrive as "< icmp unreachable frag_needed mtu 1200 [1:1001(1000)]".
//
// Every packet of the stack is also checked for what no script says: checksums
// and lengths, segments within the MTU and the peer's MSS, text as the user
// wrote it. What the user reads is checked in the same way.
//
// # Calls
//
// socket, bind, listen, accept, connect, read, recv, write, send, sendto with
// MSG_FASTOPEN, close, shutdown, fcntl with F_SETFL, getsockopt with SO_ERROR
// and TCP_MAXSEG, ioctl with SIOCINQ, SIOCOUTQ, SIOCOUTQNSD, and setsockopt
// with what tcp.Conn and tcp.Listener can set (TCP_RECOVERY takes the name of a
// loss recovery). They are calls of package tcp's, as users have them, and
// differ from the kernel's where those do: TCP_NODELAY is on at first, and
// MSG_OOB makes all that a send writes urgent. An accepted connection has the
// options of its listener. A call that would block fails, unless it is written
// as one that blocks; with O_NONBLOCK or MSG_DONTWAIT it gives EAGAIN.
//
// # Assertions
//
// %{ assert ... }% has comparisons of numbers, strings and names, and, or, not,
// + - * /, parentheses. The names are Linux's tcpi_... in its units, Info.X for
// any field of [tcp.Info] (times in seconds), and the counters of the stack, as
// in tcp.Retransmits. They are of the connection that the last packet belonged
// to. `sleep 1` lets time pass in which nothing goes out. There are no other
// commands, and no Python.
//
// # Settings
//
//	--tolerance_usecs=4000   how far from its time an event may happen
//	--mtu=1500               of the link
//	--bind_port, --connect_port
//	--ip_version=ipv4        there is no other
//	--tcp.Recovery=sack      any field of tcp.Config
//	--tso=0                  trains are cut before they are compared
//	--isn=2                  the second connection has our numbers shortly
//	                         before their wrap, and not the first; any: none
package packetdrill
