package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCommand runs the program: what it prints, and its exit status.
func TestCommand(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	const opened = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0...+.1 connect(3, ..., ...) = 0
+0 > S 0:0(0) <...>
+.1 < S. 0:0(0) ack 1 win 32792 <mss SIZE>
+0 > . 1:1(0) ack 1
+0 %{ print('mss', tcpi_snd_mss) }%
`
	good := file("good.pkt", opened)
	bad := file("bad.pkt", opened+"+0 write(3, ..., 10) = 10\n+0 > P. 1:12(11) ack 1\n")
	odd := file("odd.pkt", opened+"+0 send(3, ..., 10, MSG_EOR) = 10\n")
	pushed := file("pushed.pkt", opened+"+0 write(3, ..., 10) = 10\n+0 > . 1:11(10) ack 1\n")
	for name, test := range map[string]struct {
		args   []string
		status int
		stdout []string
		stderr string
	}{
		"Help":        {[]string{"-h"}, 0, []string{"usage: packetdrill", "Examples:", "-linux"}, ""},
		"NoFile":      {nil, 2, nil, "packetdrill: no script is given; -h tells more\n"},
		"UnknownFlag": {[]string{"-x", good}, 2, nil, "packetdrill: flag provided but not defined: -x; -h tells more\n"},
		"BadSymbol":   {[]string{"-D", "SIZE", good}, 2, nil, "packetdrill: invalid value \"SIZE\" for flag -D: want NAME=value; -h tells more\n"},
		"Missing":     {[]string{filepath.Join(dir, "none.pkt")}, 2, []string{"0 passed, 0 differ, 0 refused, 1 not read"}, "none.pkt: no such file"},
		"Passes":      {[]string{"-D", "SIZE=1000", good}, 0, []string{"mss 1000\n", "ok       " + good, "1 passed, 0 differ, 0 refused"}, ""},
		"Quiet":       {[]string{"-q", "-D", "SIZE=1000", good}, 0, nil, ""},
		"Verbose":     {[]string{"-v", "-D", "SIZE=1000", good}, 0, []string{"0.100000 > . 1:1(0) ack 1 win 65535\n"}, ""},
		"NoSymbol":    {[]string{good}, 1, []string{"refused  " + good + ":4: want a number"}, ""},
		"Differs": {[]string{"-D", "SIZE=1000", bad, good}, 1,
			[]string{"differs  " + bad + ":8: the packet has another length", "wanted  0.100000 > P. 1:12(11) ack 1", "ok       " + good, "1 passed, 1 differ, 0 refused"}, ""},
		"Refused":  {[]string{"-q", "-D", "SIZE=1000", odd}, 1, []string{"refused  " + odd + ":7: flag MSG_EOR", "0 passed, 0 differ, 1 refused"}, ""},
		"NotLinux": {[]string{"-D", "SIZE=1000", pushed}, 1, []string{"other flags"}, ""},
		"Set":      {[]string{"-q", "-set", "tcp.MSS=500", "-D", "SIZE=1000", good}, 0, nil, ""},
		"BadSet":   {[]string{"-q", "-set", "tcp.Speed=500", "-D", "SIZE=1000", good}, 1, []string{"refused  " + good + ":1: setting tcp.Speed=500: tcp.Config has no such field"}, ""},
		"Linux":    {[]string{"-linux", "-D", "SIZE=1000", pushed}, 0, []string{"1 passed"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			if status := run(test.args, &stdout, &stderr); status != test.status {
				t.Errorf("exit status %d, want %d", status, test.status)
			}
			for _, want := range test.stdout {
				if !strings.Contains(stdout.String(), want) {
					t.Errorf("%q is not in %q", want, stdout.String())
				}
			}
			if test.stdout == nil && stdout.Len() > 0 {
				t.Errorf("it prints %q", stdout.String())
			}
			if !strings.Contains(stderr.String(), test.stderr) || test.stderr == "" && stderr.Len() > 0 {
				t.Errorf("it complains %q, want %q", stderr.String(), test.stderr)
			}
		})
	}
}
