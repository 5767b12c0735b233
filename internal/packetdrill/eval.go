package packetdrill

import (
	"fmt"
	"strconv"
	"strings"
)

// assertions are the statements between %{ and }%: "assert tcpi_snd_cwnd ==
// 10, tcpi_snd_cwnd", separated by ; or the end of the line. This is a small
// part of Python: comparisons, and, or, not, + - * /, parentheses.
type assertions []assertion

type assertion struct {
	text string
	is   expression
}

// An expression is evaluated with the names that the state of a run has.
type expression func(names func(string) (any, error)) (any, error)

// assertions reads what stands between %{ and }%.
func (s *scanner) assertions(text string) action {
	var list assertions
	for line := range strings.FieldsFuncSeq(text, func(c rune) bool { return c == ';' || c == '\n' }) {
		line, _, _ = strings.Cut(line, "#")
		p := &scanner{name: s.name, text: strings.TrimSpace(line)}
		if p.text == "" {
			continue
		}
		if !p.acceptWord("assert") {
			s.fail("only assert may stand in %%{ }%%, not %q", line)
		}
		a := assertion{text: strings.TrimSpace(p.rest())}
		var err error
		if a.is, err = p.parseExpression(); err != nil {
			s.fail("%v: %s", err.(*Error).Message, line)
		}
		list = append(list, a)
	}
	if len(list) == 0 {
		s.fail("nothing stands in %%{ }%%")
	}
	return list
}

// parseExpression reads an expression, and perhaps a message behind it.
func (s *scanner) parseExpression() (x expression, err error) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case *Error:
			err = e
		default:
			panic(e)
		}
	}()
	x = s.or(maxDepth)
	if s.skip(); !s.done() && !s.accept(",") {
		s.fail("what is %q?", s.rest())
	}
	return x, nil
}

func (s *scanner) or(depth int) expression {
	x := s.and(depth)
	for s.acceptWord("or") {
		a, b := x, s.and(depth)
		x = func(n func(string) (any, error)) (any, error) {
			if v, err := truth(a, n); v || err != nil {
				return v, err
			}
			return truth(b, n)
		}
	}
	return x
}

func (s *scanner) and(depth int) expression {
	x := s.not(depth)
	for s.acceptWord("and") {
		a, b := x, s.not(depth)
		x = func(n func(string) (any, error)) (any, error) {
			if v, err := truth(a, n); !v || err != nil {
				return v, err
			}
			return truth(b, n)
		}
	}
	return x
}

func (s *scanner) not(depth int) expression {
	if depth == 0 {
		s.fail("nested too deep")
	}
	if s.acceptWord("not") {
		x := s.not(depth - 1)
		return func(n func(string) (any, error)) (any, error) {
			v, err := truth(x, n)
			return !v, err
		}
	}
	return s.comparison(depth)
}

// truth evaluates x to a boolean.
func truth(x expression, n func(string) (any, error)) (bool, error) {
	v, err := x(n)
	if err != nil {
		return false, err
	}
	switch v := v.(type) {
	case bool:
		return v, nil
	case float64:
		return v != 0, nil
	}
	return false, fmt.Errorf("%v is neither true nor false", v)
}

// comparison reads "a == b", or a alone.
func (s *scanner) comparison(depth int) expression {
	a := s.sum(depth)
	for _, op := range [...]string{"==", "!=", "<=", ">=", "<", ">"} {
		if !s.accept(op) {
			continue
		}
		b := s.sum(depth)
		return func(n func(string) (any, error)) (any, error) {
			x, err := a(n)
			if err != nil {
				return nil, err
			}
			y, err := b(n)
			if err != nil {
				return nil, err
			}
			return compare(op, x, y)
		}
	}
	return a
}

func compare(op string, x, y any) (any, error) {
	switch op {
	case "==":
		return x == y, nil
	case "!=":
		return x != y, nil
	}
	a, isNum := x.(float64)
	b, isNum2 := y.(float64)
	if !isNum || !isNum2 {
		return nil, fmt.Errorf("%v and %v have no order", x, y)
	}
	switch op {
	case "<=":
		return a <= b, nil
	case ">=":
		return a >= b, nil
	case "<":
		return a < b, nil
	}
	return a > b, nil
}

func (s *scanner) sum(depth int) expression {
	x := s.product(depth)
	for {
		switch {
		case s.accept("+"):
			x = arithmetic(x, s.product(depth), func(a, b float64) float64 { return a + b })
		case s.accept("-"):
			x = arithmetic(x, s.product(depth), func(a, b float64) float64 { return a - b })
		default:
			return x
		}
	}
}

func (s *scanner) product(depth int) expression {
	x := s.operand(depth)
	for {
		switch {
		case s.accept("*"):
			x = arithmetic(x, s.operand(depth), func(a, b float64) float64 { return a * b })
		case s.accept("/"):
			x = arithmetic(x, s.operand(depth), func(a, b float64) float64 { return a / b })
		default:
			return x
		}
	}
}

func arithmetic(x, y expression, f func(a, b float64) float64) expression {
	return func(n func(string) (any, error)) (any, error) {
		a, err := x(n)
		if err != nil {
			return nil, err
		}
		b, err := y(n)
		if err != nil {
			return nil, err
		}
		p, isNum := a.(float64)
		q, isNum2 := b.(float64)
		if !isNum || !isNum2 {
			return nil, fmt.Errorf("%v and %v are not both numbers", a, b)
		}
		return f(p, q), nil
	}
}

// operand reads a number, a string, a name or an expression in parentheses.
func (s *scanner) operand(depth int) expression {
	if s.skip(); s.done() {
		s.fail("an operand is missing")
	}
	constant := func(v any) expression {
		return func(func(string) (any, error)) (any, error) { return v, nil }
	}
	switch c := s.text[s.at]; {
	case c == '(':
		s.at++
		x := s.deeper(depth).or(depth - 1)
		s.expect(")")
		return x
	case c == '\'' || c == '"':
		s.at++
		return constant(s.until(string(c)))
	case isDigit(c) || c == '.':
		v, err := strconv.ParseFloat(s.run(func(c byte) bool { return isDigit(c) || c == '.' }), 64)
		if err != nil {
			s.fail("%v", err)
		}
		return constant(v)
	}
	name := s.run(func(c byte) bool { return isWord(c) || c == '.' })
	switch name {
	case "":
		s.fail("what is %q?", s.glimpse())
	case "True":
		return constant(true)
	case "False":
		return constant(false)
	}
	return func(n func(string) (any, error)) (any, error) { return n(name) }
}

// deeper is s, unless expressions are nested too deep.
func (s *scanner) deeper(depth int) *scanner {
	if depth <= 1 {
		s.fail("nested too deep")
	}
	return s
}

// do checks the assertions.
func (list assertions) do(r *run, _ *event) error {
	state := r.state()
	for _, a := range list {
		var used []string
		names := func(name string) (any, error) {
			v, err := state.value(name)
			if err == nil && constants[name] == nil {
				used = append(used, fmt.Sprintf("%s is %v", name, v))
			}
			return v, err
		}
		v, err := truth(a.is, names)
		if err != nil {
			return fmt.Errorf("%s: %w", a.text, err)
		}
		if !v {
			return fmt.Errorf("assert %s: %s", a.text, strings.Join(used, ", "))
		}
	}
	return nil
}
