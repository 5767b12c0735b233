package main

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestIDsOfName(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"TestX", ""},
		{"MUST-36,SHLD-29", "MUST-36 SHLD-29"},
		{"MUST-7_length_0", "MUST-7"},
		{"MUST-7:_length_0", "MUST-7"},
		{"RFC1122-3.2.1.3-4_from_a_group", "RFC1122-3.2.1.3-4"},
		{"RFC7323-A", "RFC7323-A"},
		{"RFC_1042_with_padding", ""},
		{"MUST-", "error"},
		{"MUST-7a", "error"},
		{"RFC793-3.", "error"},
	} {
		ids, err := idsOfName(c.name)
		got := strings.Join(ids, " ")
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestIDsOfComment(t *testing.T) {
	for _, c := range []struct{ comment, want string }{
		{"TestX does (MUST-7) something.", ""},
		{"TestX: this and that.", ""},
		{"TestX: MUST-7, RFC6298-5.4: what it\nshows.", "MUST-7 RFC6298-5.4"},
		{"MUST-7,\nSHLD-1: what it shows.", "MUST-7 SHLD-1"},
		{"MUST-7 what it shows.", "error"},
		{"MUST-7, and SHLD-1: what it shows.", "error"},
		{"FuzzX: MUST-x: what it shows.", "error"},
	} {
		ids, err := idsOfComment(c.comment)
		got := strings.Join(ids, " ")
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%q: %s, want %s", c.comment, got, c.want)
		}
	}
}

const events = `
{"Action":"run","Package":"m/o/n/tcp","Test":"TestX"}
{"Action":"pass","Package":"m/o/n/tcp","Test":"TestX/window/probe/MUST-36,SHLD-29"}
{"Action":"skip","Package":"m/o/n/tcp","Test":"TestX/later/MUST-37"}
{"Action":"fail","Package":"m/o/n/tcp","Test":"TestX/bad"}
{"Action":"fail","Package":"m/o/n/tcp"}
{"Action":"pass","Package":"m/o/n","Test":"TestY/MUST-36_here"}
{"Action":"pass","Package":"m/o/n","Test":"TestY/MUST-39"}
{"Action":"skip","Package":"m/o/n","Test":"TestY/MUST-39/part"}
{"Action":"pass","Package":"m/o/n","Test":"TestY"}
{"Action":"pass","Package":"m/o/n"}
`

// A test that passes shows what it names; one that was skipped, even in part,
// does not; and one that fails is an error.
func TestShown(t *testing.T) {
	r, err := readEvents(strings.NewReader(events))
	if err != nil {
		t.Fatal(err)
	}
	shown, err := r.shown(t.TempDir()) // without comments
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string][]string{
		"MUST-36": {"TestY/MUST-36_here", "tcp.TestX/window/probe"}, "SHLD-29": {"tcp.TestX/window/probe"},
		"MUST-37": nil, "MUST-39": nil,
	} {
		got, ok := shown[id]
		if slices.Sort(got); !ok || !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", id, got, want)
		}
	}
	if broken := r.brokenPackages(); len(broken) != 0 {
		t.Errorf("broken %v", broken)
	}
	r[[2]string{"m/o/n/udp", ""}] = "fail"
	if broken := r.brokenPackages(); !slices.Equal(broken, []string{"m/o/n/udp"}) {
		t.Errorf("broken %v", broken)
	}
	r[[2]string{"m/o/n/tcp", "TestX/bad/MUST-38"}] = "fail"
	if _, err := r.shown(t.TempDir()); err == nil {
		t.Error("what fails is shown")
	}
}

const lists = `
# First
MUST-1 | MUST | One thing
SHLD-1 | SHOULD | Another
RFC1-2 | MUST | A third | does not arise: there is none
RFC1-3 | SHOULD | A fourth | not met: on purpose
`

func TestVerdicts(t *testing.T) {
	read := func() []group {
		groups, err := readRequirements(fstest.MapFS{"a.txt": {Data: []byte(lists)}})
		if err != nil {
			t.Fatal(err)
		}
		return groups
	}
	groups := read()
	if err := join(groups, shown{"SHLD-1": {"TestB", "TestA", "TestB"}, "RFC1-3": {"TestC"}}); err != nil {
		t.Fatal(err)
	}
	if err := unmet(groups); err == nil || err.Error() != "not met: MUST-1" {
		t.Errorf("unmet: %v", err)
	}
	text := string(render(groups))
	for _, row := range []string{
		"| MUST | 0 | 1 | 1 |\n",
		"| MUST-1 | One thing | not met |  |\n",
		"| SHLD-1 | Another | met | `TestA`, `TestB` |\n",
		"| RFC1-3 | SHOULD: A fourth | not met: on purpose | `TestC` |\n",
		"| RFC1-2 | MUST: A third | does not arise: there is none |  |\n",
	} {
		if !strings.Contains(text, row) {
			t.Errorf("no row %q in\n%s", row, text)
		}
	}
	if err := join(read(), shown{"RFC1-2": {"TestA"}}); err == nil {
		t.Error("what does not arise is shown")
	}
	if err := join(read(), shown{"MUST-70": nil}); err == nil {
		t.Error("an unknown id is taken")
	}
}

func TestBadLists(t *testing.T) {
	for _, text := range []string{
		"MUST-1 | MUST | before a group",
		"# g\nMUST-1 | MUST | a\nMUST-1 | MUST | again",
		"# g\nMUST-1 | MUST",
		"# g\nMUST-1 | OUGHT | a",
		"# g\nI1 | MUST | a",
		"# g\nMUST-1 | MUST | a | because",
		"# g\nMUST-1 | MUST | a | not met: no time",
	} {
		if _, err := readRequirements(fstest.MapFS{"a.txt": {Data: []byte(text)}}); err == nil {
			t.Errorf("taken: %q", text)
		}
	}
}
