package packetdrill

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
)

// opened is how scripts of these tests begin.
const opened = `0        socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0...+.1 connect(3, ..., ...) = 0
+0       > S 0:0(0) <...>
+.1      < S. 0:0(0) ack 1 win 32792 <mss 1000,sackOK>
+0       > . 1:1(0) ack 1
`

// slow has acknowledgements wait, without a line more in the script.
func (s *Script) slow() { s.settings = append(s.settings, setting{0, "tcp.NoQuickACKs", "true"}) }

// runText runs a script.
func runText(t *testing.T, text string) error {
	t.Helper()
	s, err := Parse("test", text)
	if err != nil {
		t.Fatal(err)
	}
	s.slow()
	return inBubble(t, s, Options{})
}

// TestFailures has scripts that must fail, and what the runner says.
func TestFailures(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		want   []string
	}{
		"MissingPacket": {
			opened + "+1 > P. 1:2(1) ack 1\n",
			[]string{"test:6: no packet goes out", "wanted  1.100000 > P. 1:2(1) ack 1", "before:", "0.100000 < S. 0:0(0) ack 1 win 32792 <mss 1000,sackOK>"},
		},
		"ExtraPacket": {
			opened + "+0 write(3, ..., 10) = 10\n+1 %{ assert True }%\n",
			[]string{"test:7: the stack has sent a packet that is not in the script", "seen    0.100000 > P. 1:11(10) ack 1 win 65535"},
		},
		"ExtraPacketAtEnd": {
			opened + "+0 write(3, ..., 10) = 10\n",
			[]string{"test:6: the stack has sent a packet that is not in the script"},
		},
		"TooEarly": {
			opened + "+0 write(3, ..., 10) = 10\n+.01 > P. 1:11(10) ack 1\n",
			[]string{"test:7: the packet goes out 10ms too early", "wanted  0.110000 >", "seen    0.100000 >"},
		},
		"TooLate": {
			opened + "+0 < P. 1:11(10) ack 1 win 100\n+.039 > . 1:1(0) ack 11\n",
			[]string{"test:7: no packet goes out"},
		},
		"OtherLength": {
			opened + "+0 write(3, ..., 10) = 10\n+0 > P. 1:10(9) ack 1\n",
			[]string{"test:7: the packet has another length"},
		},
		"OtherFlags": {
			opened + "+0 write(3, ..., 10) = 10\n+0 > . 1:11(10) ack 1\n",
			[]string{"other flags"},
		},
		"OtherWindow": {
			opened + "+0 write(3, ..., 10) = 10\n+0 > P. 1:11(10) ack 1 win 1\n",
			[]string{"another window"},
		},
		"OtherOption": {
			"0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0...+1 connect(3, ..., ...) = 0\n+0 > S 0:0(0) <mss 1461,wscale 5,sackOK,TS val 0 ecr 0>\n",
			[]string{"test:3: the packet has other options", "seen    0.000000 > S 0:0(0) win 65535 <mss 1460,"},
		},
		"NoPadding": {
			"0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0...+1 connect(3, ..., ...) = 0\n+0 > S 0:0(0) <mss 1460,wscale 5,sackOK,nop,nop,TS val 0 ecr 0>\n",
			[]string{"test:3: the packet has other options"},
		},
		"OtherSACK": {
			opened + "+0 < . 11:21(10) ack 1 win 100\n+0 > . 1:1(0) ack 1 <sack 11:22>\n",
			[]string{"other options", "<nop,nop,sack 11:21>"},
		},
		"OtherSize": {
			opened + "+0 write(3, ..., 3000) = 3000\n+0 > [train 999] P. 1:3001(3000) ack 1\n",
			[]string{"segments of another size"},
		},
		"OtherECN": {
			opened + "+0 write(3, ..., 10) = 10\n+0 > [ce] P. 1:11(10) ack 1\n",
			[]string{"another ECN field"},
		},
		"OtherPeer": {
			opened + "+0 write(3, ..., 10) = 10\n+0 > [peer 2] P. 1:11(10) ack 1\n",
			[]string{"the packet goes to peer 1"},
		},
		"OtherResult": {
			opened + "+0 < P. 1:11(10) ack 1 win 100\n+0 read(3, ..., 100) = 11\n",
			[]string{"test:7: the call returns 10", "line    +0 read(3, ..., 100) = 11"},
		},
		"OtherError": {
			opened + "+0 < R 1:1(0)\n+0 read(3, ..., 100) = -1 EPIPE\n",
			[]string{"test:7: the call returns -1 ECONNRESET"},
		},
		"CallWaits": {
			opened + "+0 read(3, ..., 100) = 11\n",
			[]string{"test:6: the call waits"},
		},
		"ReturnsEarly": {
			opened + "+0...+1 read(3, ..., 100) = 10\n+.5 < P. 1:11(10) ack 1 win 100\n+.04 > . 1:1(0) ack 11\n",
			[]string{"test:6: the call returns 10 at 0.600000, and not at 1.100000"},
		},
		"ReturnsLate": {
			opened + "+0...+.1 read(3, ..., 100) = 10\n+.5 < P. 1:11(10) ack 1 win 100\n",
			[]string{"test:6: the call has not returned at 0.600000"},
		},
		"NeverReturns": {
			opened + "+0...+.1 read(3, ..., 100) = 10\n",
			[]string{"test:6: the call has not returned at"},
		},
		"NegativeLength": {
			opened + "+0 read(3, ..., -1) = 0\n",
			[]string{"test:6: -1 is no length"},
		},
		"NoSocket": {
			opened + "+0 close(4) = 0\n",
			[]string{"test:6: there is no descriptor 4"},
		},
		"Assertion": {
			opened + "+0 %{ assert tcpi_snd_cwnd == 11 }%\n",
			[]string{"test:6: assert tcpi_snd_cwnd == 11: tcpi_snd_cwnd is 10"},
		},
		"NoValue": {
			opened + "+0 %{ assert tcpi_happiness == 11 }%\n",
			[]string{`no value "tcpi_happiness"`},
		},
		"TimeHasPassed": {
			opened + "0 close(3) = 0\n",
			[]string{"test:6: its time has passed"},
		},
		"UnknownSetting": {
			"--speed=10\n" + opened,
			[]string{"test:1: --speed=10: no such option here"},
		},
		"UnknownField": {
			"--mtu=1000\n--tcp.Speed=10\n" + opened,
			[]string{"test:2: --tcp.Speed=10: tcp.Config has no such field"},
		},
		"BadField": {
			"--tcp.MinRTO=fast\n" + opened,
			[]string{"test:1: --tcp.MinRTO=fast: time: invalid duration"},
		},
		"UnsettableField": {
			"--tcp.Controllers=mine\n" + opened,
			[]string{"test:1: --tcp.Controllers=mine: a field of type map[string]congestion.Factory cannot be set"},
		},
		"NoConnection": {
			"--isn=2\n" + opened,
			[]string{"test:1: --isn=2: there are not so many connections"},
		},
		"UnknownFlag": {
			opened + "+0 send(3, ..., 1, MSG_MOOR) = 1\n",
			[]string{"test:6: no flag MSG_MOOR"},
		},
		"UnknownFlagNumber": {
			opened + "+0 recv(3, ..., 1, 0x10) = 1\n",
			[]string{"test:6: no flag 0x10"},
		},
		"Peek": {
			opened + "+0 recv(3, ..., 1, MSG_PEEK) = 1\n",
			[]string{"test:6: flag MSG_PEEK: what is read is gone"},
		},
		"PeekByNumber": {
			opened + "+0 recv(3, ..., 1, 2) = 1\n",
			[]string{"test:6: flag MSG_PEEK: what is read is gone"},
		},
		"NoFlags": {
			opened + "+0 recv(3, ..., 1, ...) = 1\n",
			[]string{"test:6: flags are names, or a number"},
		},
		"Datagrams": {
			"0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3\n",
			[]string{"test:1: sockets here are of type SOCK_STREAM, not SOCK_DGRAM"},
		},
		"Mark": {
			opened + "+0 setsockopt(3, SOL_SOCKET, SO_MARK, [1], 4) = 0\n",
			[]string{"test:6: socket option SO_MARK: nothing routes by marks"},
		},
		"UnknownOption": {
			opened + "+0 setsockopt(3, SOL_SOCKET, SO_WHAT, [1], 4) = 0\n",
			[]string{"test:6: no socket option SO_WHAT of 1"},
		},
		"OptionValue": {
			opened + "+0 getsockopt(3, SOL_TCP, TCP_MAXSEG, [1001], [4]) = 0\n",
			[]string{"test:6: the call returns -1 the option as 1000"},
		},
		"Discovery": {
			opened + "+0 setsockopt(3, SOL_IP, IP_MTU_DISCOVER, [IP_PMTUDISC_DONT], 4) = 0\n",
			[]string{"test:6: no socket option IP_MTU_DISCOVER of IP_PMTUDISC_DONT"},
		},
		"TwoSegmentSizes": {
			"0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 setsockopt(3, SOL_TCP, TCP_MAXSEG, [1], 4) = 0\n+0 setsockopt(3, SOL_TCP, TCP_MAXSEG, [2], 4) = 0\n",
			[]string{"test:3: TCP_MAXSEG is the same for all sockets here"},
		},
		"OtherEvents": {
			opened + "+0 poll([{fd=3, events=POLLIN|POLLOUT, revents=POLLIN}], 1, 0) = 1\n",
			[]string{"test:6: the call returns -1 revents of 3 as OUT"},
		},
		"PollTooEarly": {
			opened + "+0...+.1 poll([{fd=3, events=POLLIN, revents=POLLIN}], 1, 1000) = 1\n+.05 < P. 1:2(1) ack 1 win 100\n+.04 > . 1:1(0) ack 2\n",
			[]string{"test:6: the call returns 1 at 0.150000, and not at 0.200000"},
		},
		"PollForever": {
			opened + "+0...+1 poll([{fd=3, events=POLLIN}], 1, -1) = 0\n",
			[]string{"test:6: the call has not returned at 1.100000"},
		},
		"PollTooLate": {
			opened + "+0...+.1 poll([{fd=3, events=POLLIN}], 1, 200) = 0\n+1 `sleep 0`\n",
			[]string{"test:6: the call has not returned at"},
		},
		"OtherEpollEvents": {
			opened + "+0 epoll_create(1) = 5\n+0 epoll_ctl(5, EPOLL_CTL_ADD, 3, {events=EPOLLOUT, fd=3}) = 0\n+0 epoll_wait(5, {events=EPOLLIN, fd=3}, 1, 0) = 1\n",
			[]string{"test:8: the call returns -1 events as OUT of 3"},
		},
		"UnknownEvent": {
			opened + "+0 poll([{fd=3, events=POLLUP}], 1, 0) = 0\n",
			[]string{"test:6: no event POLLUP"},
		},
		"OtherQueue": {
			opened + "+0 setsockopt(3, SOL_TCP, TCP_INQ, [1], 4) = 0\n+0 < P. 1:11(10) ack 1 win 100\n+0 recvmsg(3, {msg_name(...)=..., msg_iov(1)=[{..., 4}], msg_flags=0, msg_control=[{cmsg_level=SOL_TCP, cmsg_type=TCP_CM_INQ, cmsg_data=5}]}, 0) = 4\n",
			[]string{"test:8: the call returns -1 TCP_CM_INQ as 6"},
		},
		"DescriptorTaken": {
			opened + "+0 pipe([3, 4]) = 0\n",
			[]string{"test:6: there is a descriptor 3 already"},
		},
		"UnknownCommand": {
			"`tc qdisc add dev tun0 root fq`\n" + opened,
			[]string{"test:1: `tc qdisc add dev tun0 root fq`: no shell runs here"},
		},
		"DefaultsOfLinux": {
			"`../common/defaults.sh`\n" + opened,
			[]string{"test:1: `../common/defaults.sh`: no shell runs here"},
		},
		"UnknownSysctl": {
			"\n`sysctl -q net.ipv4.tcp_speed=1`\n" + opened,
			[]string{"test:2: net.ipv4.tcp_speed=1: no such setting is known"},
		},
		"OtherSysctl": {
			"`sysctl net.core.somaxconn=1`\n" + opened,
			[]string{"test:1: net.core.somaxconn=1: no setting of TCP's"},
		},
		"ImpossibleSysctl": {
			"`sysctl net.ipv4.tcp_dsack=0`\n" + opened,
			[]string{"test:1: net.ipv4.tcp_dsack=0: a stack cannot be set to this"},
		},
		"SysctlTooLate": {
			opened + "+0 `sysctl net.ipv4.tcp_sack=0`\n",
			[]string{"test:6: the settings of a stack are made when it starts"},
		},
		"SameAddresses": {
			"--local_ip=10.0.0.1\n" + opened,
			[]string{"both ends have the address 10.0.0.1"},
		},
		"LineOfStatement": {
			opened + "+0 %{ x = 1\nassert x == 1\nassert x == 2, 'x=%d' % x }%\n",
			[]string{"test:8: assert x == 2:  (x=1)"},
		},
		"IPv6": {
			"--ip_version=ipv6\n" + opened,
			[]string{"there is IPv4 only"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := runText(t, test.script)
			if err == nil {
				t.Fatal("the script passes")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in:\n%v", want, err)
				}
			}
		})
	}
}

// TestPasses has scripts of what testdata does not show of the runner.
func TestPasses(t *testing.T) {
	for name, script := range map[string]string{
		"Range":     opened + "+0 < P. 1:11(10) ack 1 win 100\n+.01~+.05 > . 1:1(0) ack 11\n+0 %{ assert True }%\n",
		"Anytime":   opened + "+0 < P. 1:11(10) ack 1 win 100\n* > . 1:1(0) ack 11\n+.02 read(3, ..., 20) = 10\n",
		"Tolerance": "--tolerance_usecs=4000\n" + opened + "+0 < P. 1:11(10) ack 1 win 100\n+.038 > . 1:1(0) ack 11\n",
		"Cut":       "--tso=0\n" + opened + "+0 write(3, ..., 2500) = 2500\n+0 > . 1:1001(1000) ack 1\n+0 > . 1001:2001(1000) ack 1\n+0 > P. 2001:2501(500) ack 1\n",
		"Blocking":  opened + "+0...+.5 read(3, ..., 100) = 10\n+.5 < P. 1:11(10) ack 1 win 100\n+.04 > . 1:1(0) ack 11\n",
		"Absolute":  opened + ".5 < P. 1:11(10) ack 1 win 100\n.54 > . 1:1(0) ack 11\n",
		"FastOpen":  "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0...+.1 sendto(3, ..., 10, MSG_FASTOPEN, ..., ...) = 10\n+0 > S 0:0(0) <...>\n+.1 < S. 0:0(0) ack 1 win 100 <mss 1000>\n+0 > P. 1:11(10) ack 1\n",
		"AnyResult": opened + "+0 close(3) = ...\n+0 > F. 1:1(0) ack 1\n",
	} {
		t.Run(name, func(t *testing.T) {
			if err := runText(t, script); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLinuxFailures has scripts for Linux that must fail, and what the runner
// says.
func TestLinuxFailures(t *testing.T) {
	const stamped = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0...+.1 connect(3, ..., ...) = 0\n" +
		"+0 > S 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>\n" +
		"+.1 < S. 0:0(0) ack 1 win 32792 <mss 1000,sackOK,TS val 700 ecr 100,nop,wscale 7>\n"
	for name, test := range map[string]struct{ script, want string }{
		"OtherOption":  {strings.Replace(stamped, "mss 1460", "mss 1461", 1), "test:3: the packet has other options"},
		"OtherEcho":    {stamped + "+0 > . 1:1(0) ack 1 <nop,nop,TS val 100 ecr 701>\n", "test:5: the packet has other options"},
		"OtherTick":    {"--tcp_ts_tick_usecs=1000\n" + stamped + "+0 > . 1:1(0) ack 1 <nop,nop,TS val 220 ecr 700>\n", "test:6: the packet has other options"},
		"TooEarly":     {opened + "+0 write(3, ..., 10) = 10\n+.01 > P. 1:11(10) ack 1\n", "test:7: the packet goes out 6ms too early"},
		"TooLate":      {opened + "+0 < P. 1:11(10) ack 1 win 100\n+.035 > . 1:1(0) ack 11\n", "test:7: no packet goes out"},
		"TooShort":     {opened + "+0 write(3, ..., 1500) = 1500\n+0 > P. 1:1601(1600) ack 1\n", "test:7: the packet has another length"},
		"Strict":       {"--strict_segments\n" + opened + "+0 write(3, ..., 2000) = 2000\n+0 > P. 1:2001(2000) ack 1\n", "test:8: the packet has another length"},
		"OtherNumbers": {opened + "+0 write(3, ..., 10) = 10\n+0 > P. 2:12(10) ack 1\n", "test:7: the packet has another sequence number"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Parse("test", test.script)
			if err != nil {
				t.Fatal(err)
			}
			s.slow()
			if err := inBubble(t, s, Options{Linux: true}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// TestRunAlone runs scripts without a bubble around, and tells what they lack
// from where they differ.
func TestRunAlone(t *testing.T) {
	for text, want := range map[string]string{
		opened + "+0 %{ print('cwnd', tcpi_snd_cwnd) }%\n":  "passes",
		opened + "+0 %{ assert False }%\n":                  "differs",
		opened + "+0 %{ assert tcpi_happiness == 1 }%\n":    "refused",
		opened + "+0 recv(3, ..., 1, MSG_PEEK) = 1\n":       "refused",
		"--speed=1\n" + opened:                              "refused",
		opened + "+0 `sysctl net.ipv4.tcp_what=1`\n":        "refused",
		opened + "+0 epoll_wait(3, {events=0}, 1, 0) = 0\n": "refused",
	} {
		s, err := Parse("test", text)
		if err != nil {
			t.Fatal(err)
		}
		var printed []string
		err = s.RunAlone(Options{Print: func(line string) { printed = append(printed, line) }})
		got := "passes"
		var e *Error
		if errors.As(err, &e) {
			if got = "differs"; e.Refused {
				got = "refused"
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s: %v", text, got, want, err)
		}
		if want == "passes" && strings.Join(printed, "|") != "cwnd 10" {
			t.Errorf("it prints %q", printed)
		}
	}
}

// played is a run of all events of s, before its end.
func played(t *testing.T, s *Script) *run {
	t.Helper()
	r, err := s.start(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.events {
		if err := r.step(&s.events[i]); err != nil {
			err = r.explain(&s.events[i], err)
			r.end()
			t.Fatal(err)
		}
	}
	return r
}

// TestWrap makes sure that our sequence numbers begin where they should, in
// active and in passive opens.
func TestWrap(t *testing.T) {
	for name, script := range map[string]string{
		"Active":  "0 `sleep 1.234567`\n+" + opened,
		"Passive": "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 listen(3, 1) = 0\n+77.000003 < S 0:0(0) win 1\n+0 > S. 0:0(0) ack 1 <...>\n",
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Parse("test", script)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				r := played(t, s)
				defer r.end()
				if isn := r.flows[0].ours.isn; isn != wrapISN {
					t.Errorf("the initial sequence number is %#x, want %#x", isn, uint32(wrapISN))
				}
			})
		})
	}
}

// TestISN: the connection which the settings name has its numbers before the
// wrap, whoever opens it.
func TestISN(t *testing.T) {
	const dials = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0...+.1 connect(3, ..., ...) = 0
+0 > S 0:0(0) <...>
+.1 < S. 0:0(0) ack 1 win 32792
+0 > . 1:1(0) ack 1
+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 4
+0...+.1 connect(4, ..., ...) = 0
+0 > [peer 2] S 0:0(0) <...>
+.1 < [peer 2] S. 0:0(0) ack 1 win 32792
+0 > [peer 2] . 1:1(0) ack 1
`
	const listens = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 listen(3, 1) = 0
+.1 < S 0:0(0) win 100
+0 > S. 0:0(0) ack 1 <...>
+.1 < [peer 2] S 0:0(0) win 100
+0 > [peer 2] S. 0:0(0) ack 1 <...>
`
	for setting, wraps := range map[string]int{"": 1, "--isn=2\n": 2, "--isn=any\n": 0} {
		for _, text := range []string{dials, listens} {
			s, err := Parse("test", setting+text)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				r := played(t, s)
				defer r.end()
				for i, f := range r.flows {
					if (f.ours.isn == wrapISN) != (i+1 == wraps) {
						t.Errorf("%q: connection %d begins at %#x", setting, i+1, f.ours.isn)
					}
				}
			})
		}
	}
}
