package gonet

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestStrangers holds the table in CONTRIBUTING of rules of RFCs and the files in which
// they stand: each file is there, and cites the RFC and the section.
func TestStrangers(t *testing.T) {
	text, err := os.ReadFile("CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| .+ \| RFC (\d+) section ([\d.]+) \| \[([^]]+)\]\(([^)]+)\) \|$`).FindAllStringSubmatch(string(text), -1)
	if len(rows) != 10 {
		t.Errorf("%d rules, want ten", len(rows))
	}
	comment := regexp.MustCompile(`\s+(//\s+)?`)
	for _, r := range rows {
		rfc, section, name, link := r[1], r[2], r[3], r[4]
		source, err := os.ReadFile(name)
		if err != nil || link != name {
			t.Errorf("%s, %v", link, err)
			continue
		}
		cited := regexp.MustCompile(`RFC ` + rfc + `,? sections? ([\d.]+, )*` + regexp.QuoteMeta(section) + `\b`)
		if !cited.MatchString(comment.ReplaceAllString(string(source), " ")) {
			t.Errorf("%s does not cite RFC %s section %s", name, rfc, section)
		}
	}
}

// TestLinks follows the links between files of the texts that a reader begins with.
func TestLinks(t *testing.T) {
	texts, err := filepath.Glob("doc/*.md")
	if err != nil {
		t.Fatal(err)
	}
	texts = append(texts, "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "paper/README.md", "storage/README.md", "vhost/measured.md")
	link := regexp.MustCompile(`\]\(([^)#\s]+)(#[^)\s]*)?\)`)
	n := 0
	for _, name := range texts {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			n++
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d links were found", n)
	}
}
