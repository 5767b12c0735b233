package main

import (
	"bytes"
	"fmt"
	"strings"
)

const head = `# Conformance

Made by ` + "`go generate ./...`" + ` from a run of the tests: do not edit. A row is a
requirement of an RFC, in our words; *met* means that the test beside it has
passed. MUST-n, SHLD-n, MAY-n and REC-n are RFC 9293's own numbers; other ids are
an RFC and its section. [The lists](../internal/testing/conformance/requirements) are
what to edit.

`

// named is how many tests a row names at most.
const named = 3

// render is the file as a whole.
func render(groups []group) []byte {
	var out bytes.Buffer
	out.WriteString(head)
	summary(&out, groups)
	for _, g := range groups {
		fmt.Fprintf(&out, "\n## %s\n\n| id | requirement | verdict | shown by |\n|---|---|---|---|\n", g.title)
		for _, r := range g.requirements {
			fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", r.id, r.sentence(), r.verdict(), testList(r.tests))
		}
	}
	return out.Bytes()
}

// summary counts the verdicts.
func summary(out *bytes.Buffer, groups []group) {
	out.WriteString("| level | met | does not arise | not met |\n|---|---|---|---|\n")
	for _, level := range []string{"MUST", "SHOULD", "MAY"} {
		var met, moot, not int
		for _, g := range groups {
			for _, r := range g.requirements {
				switch v := r.verdict(); {
				case !strings.HasPrefix(r.level, level):
				case v == "met":
					met++
				case strings.HasPrefix(v, doesNotArise):
					moot++
				default:
					not++
				}
			}
		}
		fmt.Fprintf(out, "| %s | %d | %d | %d |\n", level, met, moot, not)
	}
}

// sentence is the requirement, with its level where the id does not say it.
func (r *requirement) sentence() string {
	if strings.HasPrefix(r.id, "RFC") {
		return r.level + ": " + r.text
	}
	return r.text
}

func testList(tests []string) string {
	more := ""
	if n := len(tests); n > named {
		tests, more = tests[:named], fmt.Sprintf(" and %d more", n-named)
	}
	if len(tests) == 0 {
		return ""
	}
	return strings.ReplaceAll("`"+strings.Join(tests, "`, `")+"`"+more, "|", "\\|")
}
