package packetdrill

import (
	"slices"
	"strconv"
	"strings"
)

// A call is one of the user's on a socket, with what it must return.
type call struct {
	name   string
	args   []value
	result int64
	errno  string // "" when it succeeds, or when any error will do
	any    bool   // "= ...": whatever it returns
}

// A value is an argument of a call.
type value struct {
	rest   bool // "..."
	number int64
	isNum  bool
	words  []string // names, joined by |
	text   string   // a string
	isText bool
	list   []value // [a, b], the members of {a, b} without names, and the arguments of f(a)
	isList bool    // [a, b]
	fields map[string]value
}

// has says whether the name stands in v.
func (v *value) has(word string) bool { return slices.Contains(v.words, word) }

// is says whether v is the one name.
func (v *value) is(word string) bool { return len(v.words) == 1 && v.words[0] == word }

// one is the only member of [v], or v itself.
func (v *value) one() *value {
	if v.isList && len(v.list) == 1 {
		return &v.list[0]
	}
	return v
}

// maxDepth is how deep lists and structs may be nested.
const maxDepth = 8

// call reads "write(4, ..., 1000) = 1000".
func (s *scanner) call() action {
	c := &call{name: s.word()}
	if c.name == "" {
		s.fail("want a packet or a call, found %q", s.glimpse())
	}
	known, ok := calls[c.name]
	if !ok {
		if why := refusedCalls[c.name]; why != "" {
			s.fail("%s: %s", c.name, why)
		}
		s.fail("no call %q", c.name)
	}
	s.expect("(")
	c.args = s.values(")", maxDepth)
	if n := len(c.args); n != known.args && (n != known.orArgs || n == 0) {
		s.fail("%s has %d arguments, not %d", c.name, known.args, n)
	}
	s.expect("=")
	if s.accept("...") {
		c.any = true
		return c
	}
	if c.result = s.number(); c.result < 0 {
		c.errno = s.errno()
	}
	if s.accept("(") { // a note for people
		s.until(")")
	}
	return c
}

// errno reads the name of an error; there may be none, before the next event.
func (s *scanner) errno() string {
	start := s.at
	name := s.word()
	if !strings.HasPrefix(name, "E") {
		s.at = start
		return ""
	}
	return name
}

// values reads arguments up to the end.
func (s *scanner) values(end string, depth int) (list []value) {
	for !s.accept(end) {
		if len(list) > 0 {
			s.expect(",")
		}
		list = append(list, s.value(depth))
	}
	return list
}

// value reads one argument.
func (s *scanner) value(depth int) (v value) {
	switch s.skip(); {
	case depth == 0:
		s.fail("nested too deep")
	case s.accept("..."):
		v.rest = true
	case s.accept("["):
		v.isList, v.list = true, s.values("]", depth-1)
	case s.accept("{"):
		s.members(&v, depth-1)
	case s.accept(`"`):
		v.text, v.isText = s.until(`"`), true
		s.accept("...") // as strace shortens them
	default:
		s.wordOrNumber(&v, depth)
	}
	return v
}

// members reads what stands behind "{": "onoff=1, linger=0", or "..., 1000".
// What stands in parentheses behind a name, as in "msg_iov(1)=", is for people.
func (s *scanner) members(v *value, depth int) {
	v.fields = make(map[string]value)
	for first := true; !s.accept("}"); first = false {
		if !first {
			s.expect(",")
		}
		m := s.value(depth)
		if !s.accept("=") {
			v.list = append(v.list, m)
			continue
		}
		if len(m.words) != 1 {
			s.fail("a field has a name")
		}
		v.fields[m.words[0]] = s.value(depth)
	}
}

// wordOrNumber reads "5", "0x10", "O_RDWR|O_NONBLOCK" or "htons(8080)".
func (s *scanner) wordOrNumber(v *value, depth int) {
	for {
		if word := s.word(); word != "" {
			if v.words = append(v.words, word); s.accept("(") {
				v.list = s.values(")", depth-1)
			}
		} else {
			v.number, v.isNum = v.number|s.number(), true
		}
		if !s.accept("|") {
			break
		}
	}
	if v.is("htons") && len(v.list) == 1 {
		*v = v.list[0]
	}
}

func (v value) String() string {
	switch {
	case v.rest:
		return "..."
	case len(v.words) > 0:
		return strings.Join(v.words, "|")
	case v.isText:
		return `"` + v.text + `"`
	case v.isNum:
		return strconv.FormatInt(v.number, 10)
	}
	return v.text
}
