// Package packetdrill runs scripts in the language of Google's packetdrill
// against a whole stack: what the user calls, what the network brings, and what
// must go out and when.
//
// It needs no root, no kernel and no time: the stack, the user's goroutines and
// the other end of the cable live in a bubble of testing/synctest, where time
// is virtual and every instant is exact. The code is written from the public
// description of the language; no script is taken from elsewhere.
//
// The program is cmd/packetdrill:
//
//	go run ./internal/testing/packetdrill/cmd/packetdrill -h
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
// a cookie in hexadecimal, or * for the cookie that the stack has given; md5
// with a digest, nop, eol; raw and hexadecimal bytes for anything else.
//
// ICMP errors arrive as "< icmp unreachable frag_needed mtu 1200 [1:1001(1000)]",
// or without the segment in brackets, when they are about the SYN. What arrives,
// and any reset, need not say what it acknowledges.
//
// Every packet of the stack is also checked for what no script says: checksums
// and lengths, segments within the MTU and the peer's MSS, text as the user
// wrote it. What the user reads is checked in the same way.
//
// Refused are IPv6, UDP, tunnels (gre, mpls, encapsulated ipv4), ports in front
// of the flags, ICMP that the stack sends, and the flags and options of AccECN:
// the stack has none of them, or scripts here need none.
//
// # Calls
//
// They are calls of package tcp's, as users have them, and differ from the
// kernel's where those do: TCP_NODELAY is on at first, and MSG_OOB makes all
// that a send writes urgent. An accepted connection has the options of its
// listener. A call that would block fails, unless it is written as one that
// blocks; with O_NONBLOCK or MSG_DONTWAIT it gives EAGAIN. "= -1" without a name
// is any error, and "= ..." any result.
//
//   - socket, bind, listen, accept, accept4, connect, close, shutdown. Addresses
//     are ... or written out; the peer's is the one that there is.
//   - read, readv, recv, recvfrom, recvmsg, with MSG_DONTWAIT, MSG_WAITALL and
//     MSG_TRUNC; recvmsg tells TCP_CM_INQ after TCP_INQ.
//   - write, writev, send, sendto, sendmsg, with MSG_DONTWAIT, MSG_NOSIGNAL,
//     MSG_OOB, MSG_FASTOPEN and MSG_MORE. A buffer that is NULL is EFAULT.
//   - poll, epoll_create, epoll_ctl, epoll_wait, with EPOLLET and EPOLLONESHOT.
//     Package tcp has none of this; what is ready follows from the state of the
//     connection (poll.go).
//   - pipe and splice between a pipe and a socket. A pipe holds a number of bytes.
//   - fcntl with F_GETFL and F_SETFL; ioctl with SIOCINQ, SIOCOUTQ, SIOCOUTQNSD.
//   - setsockopt with what tcp.Conn and tcp.Listener can set (TCP_RECOVERY takes
//     the name of a loss recovery), with TCP_FASTOPEN_CONNECT, TCP_SYNCNT, and
//     with TCP_MAXSEG, which is the same for the whole stack. TCP_CORK and MSG_MORE
//     are done by the runner, as a program would that gathers its writes
//     (hold.go). IP_MTU_DISCOVER and TCP_NOTSENT_LOWAT may say what is the case.
//   - getsockopt with what was set before, SO_ERROR, TCP_MAXSEG and IP_MTU.
//
// Other flags and options are errors, which name them. MSG_PEEK is refused,
// since Read has taken what it returns; MSG_ERRQUEUE, MSG_ZEROCOPY, SO_ZEROCOPY
// and SO_TIMESTAMPING, since there is no queue of errors and timestamps; MSG_EOR,
// since records have no boundaries; SO_MARK, since nothing routes by marks;
// TCP_FASTOPEN_KEY, since the keys of cookies are the stack's own; open and
// sendfile, since there are no files; SOCK_DGRAM, since this is about TCP.
//
// # Code
//
// Between %{ and }% stand statements of a small part of Python: assert with a
// message, print, and assignments, also += and the like; a name keeps its value
// for the code that follows. Expressions have chains of comparisons, and, or,
// not, a if b else c, | ^ & << >> + - * / // % ** ~, strings with % and formats,
// tuples, abs, float, int, max, min and round. There is no import, no def, no
// loop.
//
// The names are Linux's tcpi_... in its units, Info.X for any field of
// [tcp.Info] (times in seconds), and the counters of the stack, as in
// tcp.Retransmits. They are of the connection that the last packet belonged to.
// Refused, as everything that the stack does not know, are tcpi_reordering and
// tcpi_fackets (no fixed degree of reordering is kept), tcpi_busy_time,
// tcpi_rwnd_limited and tcpi_sndbuf_limited (nothing measures what limits
// sending), tcpi_probes, tcpi_rcv_mss, tcpi_ato. TCP_CA_CWR is no state here.
//
// # Commands
//
// Lines of shell stand between backticks: in front of all events, where they set
// the stack up, behind the last, or with a time. No shell runs them. `sleep 1`
// lets time pass in which nothing goes out. sysctl and set_sysctls.py set what
// the stack can be set to (sysctl.go has the list), or may say what it does in
// any case; in the middle of a script they may only do the latter. Names that
// are not known, values that the stack cannot have, and all other commands are
// errors, which name them.
//
// # Settings
//
//	--tolerance_usecs=4000   how far from its time an event may happen,
//	--tolerance_percent=12   or how far by the time since the event before
//	--mtu=1500               of the link
//	--mss=1000               text that arrives and is more is a train of such
//	--local_ip, --remote_ip  the addresses of the stack and of the peer
//	--bind_port, --connect_port
//	--ip_version=ipv4        there is no other
//	--define=NAME=value      what a word means in the script behind it, as -D
//	--tcp.Recovery=sack      any field of tcp.Config
//	--tso=0                  trains are cut before they are compared
//	--isn=2                  the second connection has our numbers shortly
//	                         before their wrap, and not the first; any: none
//
// # Scripts for Linux
//
// With Options.Linux, the flag -linux of the program, a script is taken as
// packetdrill itself takes it on Linux:
//
//   - PSH, the order and the padding of options do not count, nor do the values of
//     our timestamps, unless --tcp_ts_tick_usecs says how long a tick is. The peer
//     echoes a timestamp by the name that the script has for it.
//   - How segments are joined to trains does not count, unless with
//     --strict_segments.
//   - Events may be 4 ms from their time, or an eighth of the time since the event
//     before. A packet may go out before its turn, and behind the last one of the
//     script there may be more.
//   - Without [peer n] packets belong to the connection that began last; packets
//     of those before are not looked at. The numbers of a SYN are absolute, all
//     others are relative to it.
//   - Nagle's algorithm is on, and SO_SNDBUF and SO_RCVBUF read as twice what was
//     set. What does not wait takes as much with MSG_FASTOPEN as goes with the SYN.
//   - `defaults.sh`, which public scripts begin with, sets what it sets there, as
//     far as it is no default of ours.
package packetdrill
