package packetdrill

import (
	"fmt"
	"slices"
	"strings"
)

// A code is the statements between %{ and }%: a small part of Python.
//
//	assert tcpi_snd_cwnd == 10, 'cwnd=%d' % tcpi_snd_cwnd
//	print(tcpi_rtt); cwnd += 10
//
// A name that a statement has given a value keeps it for the code that follows.
type code []statement

// A statement is one of a code.
type statement struct {
	line int
	text string
	do   func(e *env) error
}

// An env is what names stand for while a code runs.
type env struct {
	vars  map[string]any // as statements have set them
	state func(name string) (any, error)
	print func(line string)
	used  []string // names of the state that the statement has asked for, with their values
}

// value is what a name stands for.
func (e *env) value(name string) (any, error) {
	if v, ok := e.vars[name]; ok {
		return v, nil
	}
	if v, ok := constants[name]; ok {
		return v, nil
	}
	v, err := e.state(name)
	if err != nil {
		return nil, &refusal{err}
	}
	if used := name + " is " + text(v); !slices.Contains(e.used, used) {
		e.used = append(e.used, used)
	}
	return v, nil
}

// code reads the statements of text, which begins in the given line.
func (s *scanner) code(body string, line int) action {
	var list code
	for _, l := range logicalLines(body) {
		p := &scanner{name: s.name, text: l.text, first: line + l.at - 2, plain: true}
		list = append(list, p.statement())
	}
	if len(list) == 0 {
		s.fail("nothing stands in %%{ }%%")
	}
	return list
}

// A logicalLine is a statement's text, and the line of the code it begins in.
type logicalLine struct {
	text string
	at   int
}

// logicalLines cuts a code at the ends of its statements: a semicolon or the
// end of a line, but not inside of strings and parentheses and not behind a
// backslash. Comments are left out.
func logicalLines(body string) (list []logicalLine) {
	var text strings.Builder
	at, line, depth := 0, 1, 0
	flush := func() {
		if t := strings.TrimSpace(text.String()); t != "" {
			list = append(list, logicalLine{t, at})
		}
		text.Reset()
		at = 0
	}
	for i := 0; i < len(body); i++ {
		c := body[i]
		if at == 0 && c > ' ' {
			at = line
		}
		switch {
		case c == '\\' && strings.HasPrefix(body[i+1:], "\n"):
			i, line, c = i+1, line+1, ' '
		case c == '#':
			for i+1 < len(body) && body[i+1] != '\n' {
				i++
			}
			continue
		case c == '\'' || c == '"':
			end := strings.IndexByte(body[i+1:], c)
			if end < 0 {
				end = len(body) - i - 2
			}
			text.WriteString(body[i : i+end+1])
			line += strings.Count(body[i:i+end+1], "\n")
			i += end + 1
			c = body[min(i, len(body)-1)]
		case c == '(':
			depth++
		case c == ')':
			depth = max(0, depth-1)
		case c == '\n' && depth == 0, c == ';' && depth == 0:
			flush()
			if c == '\n' {
				line++
			}
			continue
		case c == '\n':
			line++
		}
		text.WriteByte(c)
	}
	flush()
	return list
}

// assignments are the operators that give a name a value, the longest first.
var assignments = [...]string{"**=", "//=", "<<=", ">>=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^="}

// statement reads one statement, which is all that is left.
func (s *scanner) statement() statement {
	st := statement{line: s.line(0), text: strings.Join(strings.Fields(s.text), " ")}
	switch name := s.word(); name {
	case "assert":
		st.do = s.assertion()
	case "print":
		s.expect("(")
		list := s.list(maxDepth, ")")
		st.do = func(e *env) error { return list.print(e) }
	case "pass":
		st.do = func(*env) error { return nil }
	case "":
		s.fail("only assert, print and assignments may stand in %%{ }%%, not %q", s.glimpse())
	default:
		st.do = s.assignment(name)
	}
	if s.skip(); !s.done() {
		s.fail("what is %q?", s.glimpse())
	}
	return st
}

// assertion reads what follows "assert": a condition, and perhaps a message.
func (s *scanner) assertion() func(*env) error {
	from := s.at
	is := s.expression(maxDepth)
	text := strings.Join(strings.Fields(s.text[from:s.at]), " ")
	var message expression
	if s.accept(",") {
		message = s.expression(maxDepth)
	}
	return func(e *env) error {
		v, err := truth(is, e)
		if err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		if v {
			return nil
		}
		said := ""
		if message != nil {
			if m, err := message(e); err == nil {
				if _, ok := m.(string); ok {
					said = " (" + str(m) + ")"
				}
			}
		}
		return fmt.Errorf("assert %s: %s%s", text, strings.Join(e.used, ", "), said)
	}
}

// assignment reads what follows a name that is to be given a value.
func (s *scanner) assignment(name string) func(*env) error {
	op := ""
	for _, o := range assignments {
		if s.accept(o) {
			op = strings.TrimSuffix(o, "=")
			break
		}
	}
	if op == "" {
		if !s.accept("=") || s.accept("=") {
			s.fail("only assert, print and assignments may stand in %%{ }%%, not %q", name)
		}
	}
	x := s.expression(maxDepth)
	return func(e *env) error {
		v, err := x(e)
		if err == nil && op != "" {
			var old any
			if old, err = e.value(name); err == nil {
				v, err = operate(op, old, v)
			}
		}
		if err == nil {
			e.vars[name] = v
		}
		return err
	}
}

// do runs the statements.
func (c code) do(r *run, _ *event) error {
	if r.vars == nil {
		r.vars = make(map[string]any)
	}
	e := &env{vars: r.vars, state: r.state().value, print: r.print}
	for i := range c {
		e.used = nil
		if err := c[i].do(e); err != nil {
			return &atLine{c[i].line, err}
		}
	}
	return nil
}

// atLine is an error in another line than that of its event.
type atLine struct {
	line int
	err  error
}

func (a *atLine) Error() string { return a.err.Error() }

func (a *atLine) Unwrap() error { return a.err }
