package packetdrill

import (
	"slices"
	"strings"
)

// A call is one of the user's on a socket, with what it must return.
type call struct {
	name   string
	args   []value
	result int64
	errno  string // "" when it succeeds
	any    bool   // "= ...": whatever it returns
}

// A value is an argument of a call.
type value struct {
	rest   bool // "..."
	number int64
	isNum  bool
	words  []string // names, joined by |
	text   string   // a string
	list   []value  // [a, b]
	fields map[string]value
}

// has says whether the name stands in v.
func (v *value) has(word string) bool { return slices.Contains(v.words, word) }

// maxDepth is how deep lists and structs may be nested.
const maxDepth = 8

// call reads "write(4, ..., 1000) = 1000".
func (s *scanner) call() action {
	c := &call{name: s.word()}
	if c.name == "" {
		s.fail("want a packet or a call, found %q", s.glimpse())
	}
	if calls[c.name].do == nil {
		s.fail("no call %q", c.name)
	}
	s.expect("(")
	for !s.accept(")") {
		if len(c.args) > 0 {
			s.expect(",")
		}
		c.args = append(c.args, s.value(maxDepth))
	}
	if n := calls[c.name].args; len(c.args) != n {
		s.fail("%s has %d arguments, not %d", c.name, n, len(c.args))
	}
	s.expect("=")
	if s.accept("...") {
		c.any = true
		return c
	}
	if c.result = s.number(); c.result < 0 {
		if c.errno = s.word(); c.errno == "" {
			s.fail("an error has a name: -1 EPIPE")
		}
	}
	if s.accept("(") { // a note for people
		s.until(")")
	}
	return c
}

// value reads one argument.
func (s *scanner) value(depth int) (v value) {
	switch s.skip(); {
	case depth == 0:
		s.fail("nested too deep")
	case s.accept("..."):
		v.rest = true
	case s.accept("["):
		for !s.accept("]") {
			if len(v.list) > 0 {
				s.expect(",")
			}
			v.list = append(v.list, s.value(depth-1))
		}
	case s.accept("{"):
		v.fields = make(map[string]value)
		for !s.accept("}") {
			if len(v.fields) > 0 {
				s.expect(",")
			}
			name := s.word()
			s.expect("=")
			v.fields[name] = s.value(depth - 1)
		}
		if v.fields[""].isNum {
			s.fail("a field has a name")
		}
	case s.accept(`"`):
		v.text = s.until(`"`)
	default:
		s.wordOrNumber(&v)
	}
	return v
}

// wordOrNumber reads "5", "0x10" or "O_RDWR|O_NONBLOCK".
func (s *scanner) wordOrNumber(v *value) {
	for {
		if word := s.word(); word != "" {
			v.words = append(v.words, word)
		} else {
			v.number, v.isNum = s.number(), true
		}
		if !s.accept("|") {
			return
		}
	}
}

func (v value) String() string {
	switch {
	case v.rest:
		return "..."
	case len(v.words) > 0:
		return strings.Join(v.words, "|")
	}
	return v.text
}
