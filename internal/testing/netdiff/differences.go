package netdiff

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A difference is one that is meant.
type difference struct {
	what  string // differs
	net   string // how package net behaves, on Linux,
	gonet string // and GoNet
	why   string

	// step and the results, as they are where the two differ so; without them the
	// difference is none that sequences see.
	step, ofNet, ofGonet *regexp.Regexp
	after                *regexp.Regexp // a step before it; nil for any
	ends                 bool           // from here on the two can not be compared
}

func re(s string) *regexp.Regexp { return regexp.MustCompile(s) }

// differences are all.
func differences() []difference {
	return []difference{
		{
			what:  "Errors after a reset",
			net:   "The first call after a reset fails with ECONNRESET. From then on Read returns io.EOF, and Write fails with EPIPE.",
			gonet: "Every Read and Write fails with ECONNRESET.",
			why:   "A program that reads and writes from two goroutines must not take a reset for the end of the stream because the other one has got the error.",
			step:  re(`^(read|readall|write|readfrom|writemuch|fill|look|peek) `), ofNet: re(`io\.EOF$|syscall\.EPIPE; is $|^"[^"]*", no error$|^0, no error`), ofGonet: re(`syscall\.ECONNRESET; is`),
		},
		{
			what:  "CloseRead",
			net:   "Linux keeps what has come and what still comes, and Read returns it; a peer that goes on sending fills the window and waits. What is left at Close counts as unread, and the peer gets a reset.",
			gonet: "What has come and what still comes is thrown away, Read returns io.EOF, and the peer can send on. Nothing is left at Close.",
			why:   "Who closes for reading reads no more; the peer should not wait for him.",
			after: re(`^closeread `), step: re(`^(read|readall|write|closewrite|look|peek) `), ends: true,
			ofNet: re(`no error|ECONNRESET|EPIPE|ENOTCONN`), ofGonet: re(`io\.EOF|no error|EPIPE`),
		},
		{
			what:  "SetDeadline of a listener that is closed",
			net:   "The error is net.ErrClosed alone.",
			gonet: "It is a *net.OpError around net.ErrClosed, which names the listener.",
			why:   "All other errors say what they are about.",
			step:  re(`^deadline l `), ofNet: re(`^error "use of closed`), ofGonet: re(`^error "set tcp4? .*: use of closed`),
		},
		{
			what:  "The error of a dial whose time is over",
			net:   "It is context.DeadlineExceeded or os.ErrDeadlineExceeded, as chance has it.",
			gonet: "errors.Is finds both.",
			why:   "Programs ask for the one or the other.",
			step:  re(`^dial `), ofNet: re(`i/o timeout.*is (context|os)`), ofGonet: re(`i/o timeout.*is os.ErrDeadlineExceeded, context.DeadlineExceeded, Timeout`),
		},
		{
			what:  "TCP listeners at broadcast and group addresses",
			net:   "Linux lets a listener have one, to which nobody can connect.",
			gonet: "The error is EADDRNOTAVAIL.",
			why:   "It is a mistake (RFC 9293 MUST-57).",
			step:  re(`^listen .*(255\.255\.255\.255|224\.0\.0\.1)`), ofNet: re(`^a socket`), ofGonet: re(`EADDRNOTAVAIL`),
		},
		{
			what:  "ListenPacket at the address of a group",
			net:   "The socket is bound to the port of every address.",
			gonet: "It is bound to the group, and hears of no other.",
			why:   "It is what was asked for.",
			step:  re(`^packet .* 2[23]`), ofNet: re(` 0\.0\.0\.0:`), ofGonet: re(` 2[23]`), ends: true,
		},
		{
			what:  "A UDP dial to port 0",
			net:   "It works, and each Write fails with EINVAL.",
			gonet: "The dial fails with EINVAL.",
			why:   "There is no such port; it is better to know at once.",
			step:  re(`^dial \w+ udp4? .*:0$`), ofNet: re(`^a socket`), ofGonet: re(`EINVAL`), ends: true,
		},
		{
			what:  "The error of WriteToUDPAddrPort to the zero AddrPort",
			net:   "It has an address, whose text is \"invalid AddrPort\".",
			gonet: "It has none.",
			why:   "There is none.",
			step:  re(`^writetoudpaddrport `), ofNet: re(`invalid AddrPort`), ofGonet: re(`missing address`),
		},
		{
			what:  "IPv6",
			net:   "\"tcp\" and \"udp\" are both versions of IP: a listener at every address is at [::].",
			gonet: "There is no IPv6 yet. [::] is taken for 0.0.0.0, so that programs written for both run; other IPv6 addresses are no suitable addresses, and \"tcp6\" and \"udp6\" fail with EAFNOSUPPORT.",
			why:   "It is to come.",
			step:  re(`^(listen|dial|packet) \w+ (tcp|udp)6? `), ofNet: re(`\[::1?\]`), ofGonet: re(`0\.0\.0\.0|no suitable address|EAFNOSUPPORT`), ends: true,
		},
		{
			what:  "Types",
			net:   "*net.TCPConn, *net.TCPListener, *net.UDPConn.",
			gonet: "*tcp.Conn, *tcp.Listener, *udp.Conn, with the same methods, and more. Addresses are *net.TCPAddr and *net.UDPAddr.",
			why:   "The types of package net are for descriptors of the kernel. Programs should assert interfaces.",
		},
		{
			what:  "File",
			net:   "File returns a duplicate of the descriptor.",
			gonet: "There is none.",
			why:   "No socket of the kernel's is behind a connection.",
		},
		{
			what:  "Descriptors",
			net:   "SyscallConn gives that of the socket.",
			gonet: "SyscallConn of a TCP connection gives one that a look at it works on: whether it is quiet, readable, ended or reset. In Control it is no socket, and setsockopt fails with ENOTSOCK. UDP sockets have none.",
			why:   "No socket of the kernel's is behind a connection; drivers of databases look whether theirs are alive.",
			step:  re(`^setsockopt `), ofNet: re(`^no error`), ofGonet: re(`ENOTSOCK`),
		},
		{
			what:  "net.Buffers",
			net:   "WriteTo writes all of them by one writev(2).",
			gonet: "net.Buffers.WriteTo writes each on its own, since it knows package net's types only. WriteBuffers of a TCP connection writes all as one.",
			why:   "The interface that package net asks for is its own.",
		},
		{
			what:  "Control of Dialer and ListenConfig",
			net:   "A function that sets options on the descriptor.",
			gonet: "Options, by value.",
			why:   "No socket of the kernel's is behind a connection.",
		},
		{
			what:  "Names of services",
			net:   "/etc/services, and a few that are built in.",
			gonet: "Some fifty that are built in.",
			why:   "What a stack does depends on its Config alone, not on the files of the machine.",
		},
		{
			what:  "Names of hosts",
			net:   "/etc/hosts, /etc/resolv.conf, /etc/nsswitch.conf, or the C library.",
			gonet: "Config.DNS, and nothing else; localhost is 127.0.0.1.",
			why:   "As for services.",
		},
		{
			what:  "Which answers of DNS servers are believed",
			net:   "Any address in the answer counts, whatever name it is of; a loop of aliases, and a referral, count as no such host.",
			gonet: "Addresses count at the end of the chain of aliases that begins with the name; the others are failures, after which the next server is asked (dns.TestAsPackageNet).",
			why:   "An address of another name is none of this one, and neither a loop nor a referral says that there is none.",
		},
		{
			what:  "Answers of DNS servers are kept",
			net:   "Each lookup asks, unless one for the same name is under way. An answer is waited for 5 s, twice.",
			gonet: "Answers are kept as long as they say, failures for a second. An answer is waited for 2 s, then 4 and 8.",
			why:   "A program dials the same names again and again; and on a line that loses, 5 s is long.",
		},
	}
}

// explain finds the meant difference between two results of a step, that of
// package net and that of GoNet; nil when there is none.
func explain(before []result, of result, ofGonet string) *difference {
	for _, d := range differences() {
		if d.step != nil && d.step.MatchString(of.step) && d.ofNet.MatchString(of.text) && d.ofGonet.MatchString(ofGonet) &&
			(d.after == nil || slices.ContainsFunc(before, func(r result) bool { return d.after.MatchString(r.step) })) {
			return &d
		}
	}
	return nil
}

// compare compares what a sequence has given on package net and on GoNet. It
// tells of the first difference that is not meant, or "", and of the meant ones
// by name.
func compare(ofNet, ofGonet []result) (unexplained string, meant []string) {
	for i, n := range ofNet {
		if i == len(ofGonet) {
			return fmt.Sprintf("GoNet has no more results, package net has\n%v", n), meant
		}
		g := ofGonet[i]
		switch {
		case n == g:
			continue
		case n.step != g.step:
			return fmt.Sprintf("package net:\n%v\nGoNet:\n%v", n, g), meant
		}
		d := explain(ofNet[:i], n, g.text)
		if d == nil {
			return fmt.Sprintf("%s\n\tpackage net → %s\n\tGoNet       → %s", n.step, n.text, g.text), meant
		}
		if meant = append(meant, d.what); d.ends {
			return "", meant
		}
	}
	if len(ofGonet) > len(ofNet) {
		return fmt.Sprintf("package net has no more results, GoNet has\n%v", ofGonet[len(ofNet)]), meant
	}
	return "", meant
}

// page is doc/differences.md.
func page() string {
	var b strings.Builder
	b.WriteString(`# Differences from package net

GoNet's sockets are to behave as those of package net on Linux do: the same results,
the same errors with the same text, types and chains, the same addresses. A test
makes the same calls on both, about a hundred sequences of them by hand and thousands
from a seed, and compares all that comes back (internal/testing/netdiff). What differs
stands here; whatever else differs is a fault.

This page is made of the list that the test uses:

	go test ./internal/testing/netdiff -update

`)
	for _, d := range differences() {
		fmt.Fprintf(&b, "## %s\n\n- **package net:** %s\n- **GoNet:** %s\n- **Why:** %s\n\n", d.what, d.net, d.gonet, d.why)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}
