package packetdrill

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A scanner reads a script piece by piece. What does not fit is told by a
// panic with an *Error, which Parse turns into an error.
type scanner struct {
	name  string
	text  string
	at    int  // how far it has been read
	first int  // the line of the file before that of text
	plain bool // there are no comments
}

// fail ends the parsing.
func (s *scanner) fail(format string, args ...any) {
	panic(&Error{File: s.name, Line: s.line(s.at), Message: fmt.Sprintf(format, args...), Refused: true})
}

// line is the number of the line that byte i stands in.
func (s *scanner) line(i int) int {
	return s.first + 1 + strings.Count(s.text[:min(i, len(s.text))], "\n")
}

// rest is what has not been read.
func (s *scanner) rest() string { return s.text[s.at:] }

func (s *scanner) done() bool { return s.at >= len(s.text) }

// skip passes over white space and comments: // and # to the end of the line,
// and /* */.
func (s *scanner) skip() {
	for !s.done() {
		rest := s.rest()
		switch {
		case strings.ContainsRune(" \t\r\n", rune(rest[0])):
			s.at++
		case s.plain:
			return
		case rest[0] == '#', strings.HasPrefix(rest, "//"):
			s.skipLine()
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest, "*/")
			if end < 0 {
				s.fail("the comment has no end")
			}
			s.at += end + 2
		default:
			return
		}
	}
}

// skipLine passes over the rest of the line.
func (s *scanner) skipLine() {
	if i := strings.IndexByte(s.rest(), '\n'); i >= 0 {
		s.at += i + 1
	} else {
		s.at = len(s.text)
	}
}

// accept reads token, if that comes next.
func (s *scanner) accept(token string) bool {
	s.skip()
	if !strings.HasPrefix(s.rest(), token) {
		return false
	}
	s.at += len(token)
	return true
}

// expect reads token, which must come next.
func (s *scanner) expect(token string) {
	if !s.accept(token) {
		s.fail("want %q, found %q", token, s.glimpse())
	}
}

// glimpse is the next few bytes, for messages.
func (s *scanner) glimpse() string {
	rest, _, _ := strings.Cut(s.rest(), "\n")
	return rest[:min(len(rest), 20)]
}

// run reads the longest run of bytes that are in the set.
func (s *scanner) run(in func(c byte) bool) string {
	start := s.at
	for !s.done() && in(s.text[s.at]) {
		s.at++
	}
	return s.text[start:s.at]
}

// until reads up to the mark, and the mark, and returns what was before it.
func (s *scanner) until(mark string) string {
	i := strings.Index(s.rest(), mark)
	if i < 0 {
		s.fail("%q is missing", mark)
	}
	text := s.text[s.at : s.at+i]
	s.at += i + len(mark)
	return text
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isWord(c byte) bool {
	return c == '_' || isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// word reads a name; "" when there is none.
func (s *scanner) word() string {
	s.skip()
	if s.done() || isDigit(s.text[s.at]) {
		return ""
	}
	return s.run(isWord)
}

// acceptWord reads the word w, if that comes next as a whole.
func (s *scanner) acceptWord(w string) bool {
	start := s.at
	if s.word() == w {
		return true
	}
	s.at = start
	return false
}

// number reads a decimal number with an optional minus, or a hexadecimal one.
func (s *scanner) number() int64 {
	if s.skip(); s.done() {
		s.fail("want a number, found the end")
	}
	start, base := s.at, 10
	s.accept("-")
	digits := s.run(isWord)
	if hex, ok := strings.CutPrefix(digits, "0x"); ok {
		digits, base = hex, 16
	}
	v, err := strconv.ParseInt(digits, base, 64)
	if s.text[start] == '-' {
		v = -v
	}
	if err != nil {
		s.at = start
		s.fail("want a number, found %q", s.glimpse())
	}
	return v
}

// bounded reads a number from low to high.
func (s *scanner) bounded(low, high int64) int64 {
	v := s.number()
	if v < low || v > high {
		s.fail("%d is not from %d to %d", v, low, high)
	}
	return v
}

// maxTime keeps sums of times from overflowing: three years.
const maxTime = 1e8

// seconds reads a time: "1", ".5", "0.25".
func (s *scanner) seconds() time.Duration {
	s.skip()
	start := s.at
	s.run(isDigit)
	if rest := s.rest(); strings.HasPrefix(rest, ".") && !strings.HasPrefix(rest, "..") {
		s.at++
		s.run(isDigit)
	}
	v, err := strconv.ParseFloat(s.text[start:s.at], 64)
	if err != nil || v > maxTime {
		s.at = start
		s.fail("want a time in seconds, found %q", s.glimpse())
	}
	return time.Duration(math.Round(v * 1e9))
}
