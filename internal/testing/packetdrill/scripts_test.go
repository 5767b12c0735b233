package packetdrill

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed-012105e5/gonet/packet"
)

var steps = flag.Bool("steps", false, "print what happens in scripts")

// TestScripts runs all scripts of testdata. The subtests are named
// topic/name/ids, so that the table of conformance can be made from their
// results.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.pkt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scripts: %v", len(files), err)
	}
	byTopic := make(map[string][]string)
	var topics []string
	for _, file := range files {
		topic := filepath.Base(filepath.Dir(file))
		if byTopic[topic] == nil {
			topics = append(topics, topic)
		}
		byTopic[topic] = append(byTopic[topic], file)
	}
	for _, topic := range topics {
		t.Run(topic, func(t *testing.T) {
			for _, file := range byTopic[topic] {
				testFile(t, file)
			}
		})
	}
}

// testFile runs the script of a file as a subtest.
func testFile(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(file, string(text))
	if err != nil {
		t.Error(err)
		return
	}
	if len(s.IDs) == 0 || s.Title == "" {
		t.Errorf("%s:1: the first line names no requirement", file)
	}
	name := strings.TrimSuffix(filepath.Base(file), ".pkt")
	t.Run(name+"/"+strings.Join(s.IDs, ","), func(t *testing.T) {
		if err := inBubble(t, s, Options{}); err != nil {
			t.Errorf("%s\n%v", s.Title, err)
		}
	})
}

// inBubble runs s, and checks that no packet is left.
func inBubble(t *testing.T, s *Script, o Options) (err error) {
	before := packet.Live()
	if *steps {
		o.Trace = func(line string) { t.Log(line) }
	}
	synctest.Test(t, func(t *testing.T) { err = s.Run(o) })
	if n := packet.Live() - before; n != 0 {
		t.Errorf("%s: %d packets leak", s.Name, n)
	}
	return err
}

// TestLanguage runs the scripts about the language itself: those for stacks of
// ours, and those for Linux.
func TestLanguage(t *testing.T) {
	for kind, o := range map[string]Options{"plain": {}, "linux": {Linux: true}} {
		files, err := filepath.Glob("testdata/language/" + kind + "/*.pkt")
		if err != nil || len(files) == 0 {
			t.Fatalf("%d scripts: %v", len(files), err)
		}
		for _, file := range files {
			t.Run(kind+"/"+strings.TrimSuffix(filepath.Base(file), ".pkt"), func(t *testing.T) {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				s, err := Parse(file, string(text))
				if err != nil {
					t.Fatal(err)
				}
				if err := inBubble(t, s, o); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
