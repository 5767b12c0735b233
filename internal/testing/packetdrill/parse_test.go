package packetdrill

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestParseSegment reads segments, and writes them again.
func TestParseSegment(t *testing.T) {
	for _, line := range []string{
		"S 0:0(0) win 65535 <mss 1460,sackOK,TS val 0 ecr 0,nop,wscale 7>",
		"S. 0:0(0) ack 1 win 0 <mss 1460,eol>",
		". 1:1(0) ack 1 <...>",
		"FP. 1:1001(1000) ack 5 win 257 urg 3 <nop,nop,sack 1:1001 -5:7>",
		"SEW 0:0(0)",
		"R -7:-7(0)",
		"- 0:10(10) win 1",
		"[peer 2, ce, train 1000] P. 1:5001(5000) ack 1",
		"S 0:0(0) <FO>",
		"S 0:100(100) <FO 0123456789abcdef,FOEXP 0123,FO *>",
		". 1:1(0) ack 1 <raw 1d0401,nop>",
	} {
		s, err := Parse("test", "0 > "+line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if got := s.events[0].do.(*outbound).String(); got != line {
			t.Errorf("%q is read as %q", line, got)
		}
	}
}

func TestParseTimes(t *testing.T) {
	const ms = time.Millisecond
	for text, want := range map[string]when{
		"1.5 > . 0:0(0) ack 1":                {from: 1500 * ms, to: 1500 * ms},
		"+.1 > . 0:0(0) ack 1":                {relative: true, from: 100 * ms, to: 100 * ms},
		"+.01~+0.03 > . 0:0(0) ack 1":         {relative: true, from: 10 * ms, to: 30 * ms},
		"1~2 > . 0:0(0) ack 1":                {from: 1000 * ms, to: 2000 * ms},
		"* > . 0:0(0) ack 1":                  {anytime: true},
		"+0...0.2 read(3, ..., 1) = 1":        {relative: true, blocks: true, end: 200 * ms},
		"0.100...0.200 read(3, ..., 1) = 1":   {from: 100 * ms, to: 100 * ms, blocks: true, end: 200 * ms},
		"+0.268750001 > . 0:0(0) ack 1 <...>": {relative: true, from: 268750001, to: 268750001},
	} {
		s, err := Parse("test", text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if s.events[0].when != want {
			t.Errorf("%s: %+v, want %+v", text, s.events[0].when, want)
		}
	}
}

func TestParseScript(t *testing.T) {
	s, err := Parse("test", `// MUST-1 RFC793-3.1: what it shows: this.
--mtu=1000
--tcp.Recovery=sack # not a value

/* a comment
   of two lines */
0  socket(..., SOCK_STREAM, IPPROTO_TCP) = 3 // behind a line
+0 setsockopt(3, SOL_SOCKET, SO_LINGER,
              {onoff=1, linger=0}, 8) = 0
+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0x0 (nothing)
+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
+1 > S 0:0(0)
   <...>
+0 < icmp unreachable frag_needed mtu 1200 [1:1001(1000)]
+0 %{ assert tcpi_unacked == 1, tcpi_unacked # because
      assert not (tcpi_state == TCP_CLOSE or 1 > 2) and tcpi_rto / 2 >= 1 }%
+0 `+"`sleep 1.5`"+`
`)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(s.IDs, " ") != "MUST-1 RFC793-3.1" || s.Title != "what it shows: this." {
		t.Errorf("requirements %q, sentence %q", s.IDs, s.Title)
	}
	if len(s.settings) != 2 || s.settings[1] != (setting{3, "tcp.Recovery", "sack"}) {
		t.Errorf("settings %+v", s.settings)
	}
	lines := []int{7, 8, 10, 11, 12, 14, 15, 17}
	for i, e := range s.events {
		if e.line != lines[i] {
			t.Errorf("%s: line %d, want %d", e.text, e.line, lines[i])
		}
	}
	if c := s.events[3].do.(*call); c.errno != "EINPROGRESS" || c.result != -1 || len(c.args) != 3 || !c.args[1].rest {
		t.Errorf("connect: %+v", c)
	}
	if e := s.events[5].do.(*icmpError); e.typ != 3 || e.code != 4 || e.mtu != 1200 || e.seq != 1 {
		t.Errorf("icmp: %+v", e)
	}
}

// TestParseErrors has scripts that are wrong, and what Parse says.
func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"0 > X 0:0(0)":                               "test:1: want flags",
		"\n0 > S 0:5(4)":                             "test:2: from 0 to 5 it is not 4 bytes",
		"0 > . 1:1(0)":                               "says what it acknowledges",
		"0 > S 0:0(0) <mss>":                         "test:1: want a number, found the end",
		"0 > S 0:0(0) <mss 70000>":                   "70000 is not from 0 to 65535",
		"0 > S 0:0(0) <md5>":                         "a digest of MD5 has 16 bytes",
		"0 > S 0:0(0) <mss 1":                        `">" is missing`,
		"0 > S 0:0(0) <raw 123>":                     "not hexadecimal",
		"0 < S 0:0(0) <...>":                         "must be said",
		"0 < S 0:0(0) <sack 1:2 1:2 1:2 1:2 1:2>":    "room for 40 bytes",
		"0 > [cel] S 0:0(0)":                         `"cel" cannot stand in brackets`,
		"0 > [badsum] S 0:0(0)":                      "never malformed",
		"0 < icmp unreachable ttl_exceeded [1:1(0)]": "no such code",
		"0 < icmp shrug [1:1(0)]":                    "no ICMP error",
		"0 > icmp unreachable [1:1(0)]":              "not for these scripts",
		"0~1 < . 1:1(0) ack 1":                       "only for packets that go out",
		"2~1 > . 1:1(0) ack 1":                       "ends before it begins",
		"+1~2 > . 1:1(0) ack 1":                      "two times of one kind",
		"+0...1 > . 1:1(0) ack 1":                    "only a call takes its time",
		"+1...0 close(3) = 0":                        "returns before it begins",
		"0 < S 0:0(0) <md5 0011>":                    "a digest of MD5 has 16 bytes",
		"0 sendfile(3, 4, [0], 5) = 5":               "sendfile: there are no files",
		"0 poll([{fd=3}], 1) = 0":                    "poll has 3 arguments, not 2",
		"0 connect(3, {1=2}, 3) = 0":                 "a field has a name",
		"0 connect(3, {a|b=2}, 3) = 0":               "a field has a name",
		"0 write(3, f(1, 2) = 3":                     `want ","`,
		"--define=A":                                 "want --define=NAME=value, found --define=A",
		"`sleep 1`":                                  "sleep has a time in front",
		"\n`cat a | grep b`":                         "test:2: no shell runs here: cat a | grep b",
		"`sysctl \"a`":                               `" is missing in a command`,
		"0 frobnicate(3) = 0":                        `no call "frobnicate"`,
		"0 close(3, 4) = 0":                          "close has 1 arguments, not 2",
		"0 close(3)":                                 `want "="`,
		"0 close 3 = 0":                              `want "("`,
		"0":                                          "want a packet or a call",
		"close(3) = 0":                               "want a time",
		"1000000000 close(3) = 0":                    "want a time in seconds",
		"0 /* close(3) = 0":                          "the comment has no end",
		"0 %{ assert 1 == }%":                        "an operand is missing",
		"0 %{ assert 1 2 }%":                         `what is "2"?`,
		"0 %{ }%":                                    "nothing stands in",
		"0 %{ assert 1":                              `"}%" is missing`,
		"0 `sleep`":                                  "want a time in seconds",
		strings.Repeat("0 %{ assert "+strings.Repeat("(", 50), 1) + "}%": "nested too deep",
		"0 bind(3, " + strings.Repeat("[", 50):                           "nested too deep",
	} {
		_, err := Parse("test", text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// FuzzParse looks for texts that Parse cannot stand.
// TestShellWordsEnd: each byte is part of a word, or between words, or refused; none
// stops the scanner.
func TestShellWordsEnd(t *testing.T) {
	for c := range 256 {
		for _, line := range []string{string([]byte{byte(c)}), "a" + string([]byte{byte(c)}) + "b", string([]byte{byte(c), byte(c)}) + " b"} {
			list, err := shellWords(line)
			if err != nil {
				continue
			}
			for _, words := range list {
				if slices.Contains(words, "") && c != '"' && c != '\'' { // quotes may hold nothing
					t.Errorf("%q has an empty word: %q", line, words)
				}
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/*.pkt")
	language, _ := filepath.Glob("testdata/language/*/*.pkt")
	for i, file := range append(language, files...) {
		if i < len(language) || i%8 == 0 {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	f.Add("+0 < [peer 2, ce] FP. -1:9(10) ack 4294967295 win 1 urg 2 <FO *,raw 0000,eol>\n* > - 0:0(0)")
	f.Add("`sysctl -q ne\x00\x04ipv4.tcp_fastopen=0`")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("fuzz", text)
		if (s == nil) != (err != nil) {
			t.Fatalf("%v, %v", s, err)
		}
		if err != nil {
			return
		}
		for _, e := range s.events {
			if o, ok := e.do.(*outbound); ok { // what is written is read as the same
				again, err := Parse("again", "0 > "+o.String())
				if err != nil || again.events[0].do.(*outbound).String() != o.String() {
					t.Errorf("%s is written as %v: %v", e.text, o, err)
				}
			}
		}
	})
}

// FuzzRun looks for scripts that the runner cannot stand: whatever one asks
// for, it ends, with an error or without.
func FuzzRun(f *testing.F) {
	language, _ := filepath.Glob("testdata/language/*/*.pkt")
	for _, file := range language {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text), strings.Contains(file, "linux"))
	}
	f.Fuzz(func(t *testing.T, text string, linux bool) {
		s, err := Parse("fuzz", text)
		if err != nil || len(s.events) > 100 || len(text) > 1<<14 {
			return
		}
		var e *Error
		if err := s.RunAlone(Options{Linux: linux}); err != nil && !errors.As(err, &e) {
			t.Errorf("%v", err)
		}
	})
}
