// Package gonet is a TCP/IP stack in user space, written as communicating
// sequential processes: each layer is a goroutine, joined to its neighbours by
// channels, and programs see sockets that look like package net's.
//
// # Usage
//
// A stack is made of a link, which is a network card as two channels, and an
// address:
//
//	card, err := tap.Open(tap.Config{Name: "tap0", HostAddr: netip.MustParsePrefix("10.0.0.1/24")})
//	stack, err := gonet.New(gonet.Config{Link: card, Addr: netip.MustParsePrefix("10.0.0.2/24")})
//	listener, err := stack.Listen("tcp", ":80")
//	http.Serve(listener, handler)
//
// [Stack.DialContext] fits net/http.Transport.DialContext; [Stack.ListenPacket]
// makes UDP sockets, [Stack.Ping] sends an echo request. Where Config.DNS names
// servers, "example.org:http" can be dialled, and [Stack.LookupHost] and the other
// lookups work as those of package net. [Stack.Close] ends
// everything, the link too. Package link has links that need no device: a pipe
// between two stacks, and middleware that loses, delays and records frames.
//
// [Dialer] and [ListenConfig] are those of package net for a stack: limits of time,
// a local address, keep-alive, options by value, and listeners that share an
// address. As there, keep-alive is on unless Config says otherwise.
//
// Errors are those of package net: *net.OpError around net.ErrClosed,
// os.ErrDeadlineExceeded, or an *os.SyscallError around the errno that the kernel's
// sockets give: ECONNREFUSED, ECONNRESET, ETIMEDOUT, EHOSTUNREACH, EADDRINUSE. A
// test makes the same calls on both and compares; doc/differences.md lists what differs
// on purpose.
//
// [Stack.Stats] are the counters of all layers, with a reason for each dropped
// packet; [Stack.Connections] is what ss prints.
//
// # Architecture
//
// Every channel between layers and every fixed goroutine is made in graph.go, which
// has a drawing of them, and the rules that prevent deadlock.
// Each piece of state has one owner at a time: the goroutine of a layer, or, of a
// TCP connection, which has none, whoever holds its token. The core of each protocol
// is a pure machine, of the form (now, event) -> state, with output, deadline
// and expire; what is around it only moves events. So rules of an RFC are
// plain code that is tested without goroutines, and a stack runs in the virtual
// time of testing/synctest.
//
// What flows is a [packet.Buffer], as large as the device gives: with a tap's
// offloads, a train of TCP segments of up to 64 KB crosses every layer once.
// Whoever holds a Buffer owns it; sending it on a channel gives it away.
//
// # RFCs implemented
//
//	Ethernet  894, 1042 (received)
//	ARP       826, 5227, 1122 section 2.3.2
//	IPv4      791, 1122, 815, 5722, 6864, 1191, 1812 (forwarding), 7126
//	ICMP      792, 1122, 1812, 6633
//	IGMP      1112, 2236
//	UDP       768, 1122, 6056
//	TCP       9293, 1122, 5681, 6298, 2018, 6928, 7323, 5961, 6528, 5927, 1337,
//	          6191, 6056, 6093, 6691, 3465
//	DNS       1034, 1035, 1123, 2181, 2308, 5452, 6761, 6891, 7766, 9520 (a stub resolver)
//	opening   7413 (Fast Open), 4987 (SYN cookies)
//	loss      8985 (RACK-TLP), 6675, 6582, 9937, 3042, 2883, 3708, 5682, 3522, 4015
//	control   9438 (CUBIC), 9406 (HyStart++), 8257 (DCTCP), 7661, 3168 (ECN), 8511;
//	          draft-ietf-ccwg-bbr (BBR version 3)
//	path      1191, 4821, 8899
//
// The table tcp/CONFORMANCE.md has what they require, row by row, with the test
// that shows it.
//
// # Limitations
//
// IPv4 only. There is no DHCP, and no firewall: routes and DNS servers come from
// [Config], and package dns says what its resolver does not do. ECN is the classic
// one: no AccECN (RFC 9768). While SYN cookies are sent, clients without timestamps get neither
// window scale nor SACK. The text of a SYN may reach the application twice (RFC
// 7413 section 6.1), so Fast Open is off until asked for. On a plain tap each
// frame that is sent costs a system call, which bounds bulk from the stack.
// Linux is needed for taps only.
package gonet
