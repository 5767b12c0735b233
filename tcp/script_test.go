package tcp

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

// The scripts in testdata/*.pkt drive the machines in fake time, in
// packetdrill's notation. A file has many of them:
//
//	--- name
//	# MUST-34 RFC9293-3.8.6: what the script shows.
//	config mss 1000 …          changes Config, before all else
//	+.1   < S 0:0(0) win 32792 <mss 1000,sackOK>      a segment arrives, .1 s later
//	+0    > S. 0:0(0) ack 1 <mss 1460,...>            a segment goes out
//	&     < . 1:1(0) ack 1 win 100                    arrives together with the line before
//	+0    write 1000                                  a call of the user
//	+1    idle                                        nothing goes out
//
// Numbers are relative to ISS and IRS, which lie before the wrap. What goes
// out must be in the script at the very instant at which it does; a line which
// is no > finds nothing unread before it. The commands are in
// script_commands_test.go.

type script struct {
	name, ids, sentence string
	lines               []scriptLine
}

type scriptLine struct {
	number int
	wait   time.Duration
	joined bool // with the line before: nothing goes out in between
	text   string
}

// TestScripts runs all scripts. The subtests are named file/script/ids, so
// that the table of conformance can be made from their results.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.pkt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files of scripts: %v", len(files), err)
	}
	for _, file := range files {
		scripts, err := readScripts(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".pkt"), func(t *testing.T) {
			for _, s := range scripts {
				t.Run(s.name+"/"+s.ids, func(t *testing.T) { runScript(t, file, s) })
			}
		})
	}
}

func runScript(t *testing.T, file string, s script) {
	live := packet.Live()
	r := newRunner()
	for i, l := range s.lines {
		more := i+1 < len(s.lines) && s.lines[i+1].joined
		if err := r.step(l, more); err != nil {
			t.Fatalf("%s:%d: %s\n\t%v\n%s: %s", file, l.number, l.text, err, s.name, s.sentence)
		}
	}
	if err := r.nothingUnread(); err != nil {
		t.Fatalf("%s: %s: at the end: %v", file, s.name, err)
	}
	r.end()
	if n := packet.Live() - live; n != 0 {
		t.Errorf("%s: %s: %d packets leak", file, s.name, n)
	}
}

// readScripts reads a file of scripts.
func readScripts(file string) ([]script, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []script
	in := bufio.NewScanner(f)
	for n := 1; in.Scan(); n++ {
		line := strings.TrimSpace(in.Text())
		if name, ok := strings.CutPrefix(line, "--- "); ok {
			all = append(all, script{name: name})
			continue
		}
		if line == "" || len(all) == 0 {
			continue
		}
		if err := all[len(all)-1].add(n, line); err != nil {
			return nil, fmt.Errorf("%s:%d: %v", file, n, err)
		}
	}
	return all, in.Err()
}

// add takes one line of the script.
func (s *script) add(number int, line string) error {
	if comment, ok := strings.CutPrefix(line, "#"); ok {
		if s.ids == "" {
			ids, sentence, ok := strings.Cut(strings.TrimSpace(comment), ":")
			if !ok {
				return fmt.Errorf("the first comment names requirements: %q", line)
			}
			s.ids, s.sentence = strings.Join(strings.Fields(ids), ","), strings.TrimSpace(sentence)
		}
		return nil
	}
	if s.ids == "" {
		return fmt.Errorf("script %s names no requirement", s.name)
	}
	line, _, _ = strings.Cut(line, " #")
	l := scriptLine{number: number, text: strings.TrimSpace(line)}
	first, rest, _ := strings.Cut(l.text, " ")
	switch {
	case first == "&":
		l.joined, l.text = true, strings.TrimSpace(rest)
	case strings.HasPrefix(first, "+"):
		var err error
		if l.wait, err = time.ParseDuration(first[1:] + "s"); err != nil {
			return err
		}
		l.text = strings.TrimSpace(rest)
	}
	s.lines = append(s.lines, l)
	return nil
}
