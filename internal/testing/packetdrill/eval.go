package packetdrill

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// An expression is evaluated with the names of an env. Its values are float64
// (all numbers), bool, string, []any (a tuple), and those of constants.
type expression func(e *env) (any, error)

// expression reads "a if b else c", or a alone. Depth is how deep it may nest.
func (s *scanner) expression(depth int) expression {
	if depth == 0 {
		s.fail("nested too deep")
	}
	x := s.or(depth)
	if !s.acceptWord("if") {
		return x
	}
	is := s.or(depth)
	if !s.acceptWord("else") {
		s.fail("want else, found %q", s.glimpse())
	}
	y := s.expression(depth - 1)
	return func(e *env) (any, error) {
		v, err := truth(is, e)
		if err != nil {
			return nil, err
		}
		if v {
			return x(e)
		}
		return y(e)
	}
}

func (s *scanner) or(depth int) expression {
	x := s.and(depth)
	for s.acceptWord("or") {
		a, b := x, s.and(depth)
		x = func(e *env) (any, error) {
			if v, err := truth(a, e); v || err != nil {
				return v, err
			}
			return truth(b, e)
		}
	}
	return x
}

func (s *scanner) and(depth int) expression {
	x := s.not(depth)
	for s.acceptWord("and") {
		a, b := x, s.not(depth)
		x = func(e *env) (any, error) {
			if v, err := truth(a, e); !v || err != nil {
				return v, err
			}
			return truth(b, e)
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
		return func(e *env) (any, error) {
			v, err := truth(x, e)
			return !v, err
		}
	}
	return s.comparison(depth)
}

// truth evaluates x to a boolean.
func truth(x expression, e *env) (bool, error) {
	v, err := x(e)
	if err != nil {
		return false, err
	}
	switch v := v.(type) {
	case bool:
		return v, nil
	case float64:
		return v != 0, nil
	}
	return false, fmt.Errorf("%s is neither true nor false", text(v))
}

// comparison reads "a <= b < c", which holds when each pair does, or a alone.
func (s *scanner) comparison(depth int) expression {
	operands := []expression{s.binary(depth, 0)}
	var ops []string
next:
	for {
		for _, op := range [...]string{"==", "!=", "<=", ">=", "<", ">"} {
			if s.accept(op) {
				ops = append(ops, op)
				operands = append(operands, s.binary(depth, 0))
				continue next
			}
		}
		break
	}
	if len(ops) == 0 {
		return operands[0]
	}
	return func(e *env) (any, error) {
		x, err := operands[0](e)
		for i, op := range ops {
			if err != nil {
				return nil, err
			}
			var y any
			if y, err = operands[i+1](e); err != nil {
				return nil, err
			}
			if holds, err := compare(op, x, y); err != nil || !holds {
				return false, err
			}
			x = y
		}
		return true, err
	}
}

// number is v as a number, where it can be one: True is 1.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

func compare(op string, x, y any) (bool, error) {
	a, isNum := number(x)
	b, isNum2 := number(y)
	if op == "==" || op == "!=" {
		same := isNum && isNum2 && a == b
		if !isNum || !isNum2 {
			_, tuple := x.([]any)
			_, tuple2 := y.([]any)
			if tuple || tuple2 {
				return false, fmt.Errorf("tuples are not compared")
			}
			same = x == y
		}
		return same == (op == "=="), nil
	}
	if !isNum || !isNum2 {
		return false, fmt.Errorf("%s and %s have no order", text(x), text(y))
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

// binaries are the operators with two operands, those that bind least first.
// Where one begins like another, the longer stands in front.
var binaries = [...][]string{{"|"}, {"^"}, {"&"}, {"<<", ">>"}, {"+", "-"}, {"//", "*", "/", "%"}}

// binary reads operands joined by the operators from the given level on.
func (s *scanner) binary(depth, level int) expression {
	if level == len(binaries) {
		return s.unary(depth)
	}
	x := s.binary(depth, level+1)
next:
	for {
		for _, op := range binaries[level] {
			if s.accept(op) {
				a, b := x, s.binary(depth, level+1)
				x = func(e *env) (any, error) {
					v, err := a(e)
					if err != nil {
						return nil, err
					}
					w, err := b(e)
					if err != nil {
						return nil, err
					}
					return operate(op, v, w)
				}
				continue next
			}
		}
		return x
	}
}

// operate applies an operator. A string on the left of % is a format.
func operate(op string, x, y any) (any, error) {
	if f, ok := x.(string); ok && op == "%" {
		return format(f, y)
	}
	if a, ok := x.(string); ok && op == "+" {
		if b, ok := y.(string); ok {
			return a + b, nil
		}
	}
	a, isNum := number(x)
	b, isNum2 := number(y)
	if !isNum || !isNum2 {
		return nil, fmt.Errorf("%s and %s are not both numbers", text(x), text(y))
	}
	switch op {
	case "+":
		return a + b, nil
	case "-":
		return a - b, nil
	case "*":
		return a * b, nil
	case "**":
		return math.Pow(a, b), nil
	case "/", "//", "%":
		if b == 0 {
			return nil, fmt.Errorf("%s %s 0", text(x), op)
		}
		switch op {
		case "/":
			return a / b, nil
		case "//":
			return math.Floor(a / b), nil
		}
		return a - b*math.Floor(a/b), nil
	}
	return bitwise(op, a, b)
}

// bitwise applies an operator of whole numbers.
func bitwise(op string, x, y float64) (any, error) {
	a, b := int64(x), int64(y)
	if float64(a) != x || float64(b) != y {
		return nil, fmt.Errorf("%s %s %s: both must be whole numbers", text(x), op, text(y))
	}
	switch op {
	case "|":
		return float64(a | b), nil
	case "^":
		return float64(a ^ b), nil
	case "&":
		return float64(a & b), nil
	}
	if b < 0 || b > 62 {
		return nil, fmt.Errorf("a shift by %d", b)
	}
	if op == "<<" {
		return float64(a << b), nil
	}
	return float64(a >> b), nil
}

// unary reads an operand with signs in front, or a power.
func (s *scanner) unary(depth int) expression {
	if depth == 0 {
		s.fail("nested too deep")
	}
	for _, op := range [...]string{"-", "+", "~"} {
		if !s.accept(op) {
			continue
		}
		x := s.unary(depth - 1)
		return func(e *env) (any, error) {
			v, err := x(e)
			if err != nil {
				return nil, err
			}
			switch op {
			case "-":
				return operate("-", 0., v)
			case "+":
				return operate("+", 0., v)
			}
			return operate("-", -1., v)
		}
	}
	x := s.operand(depth)
	if !s.accept("**") {
		return x
	}
	y := s.unary(depth - 1)
	return func(e *env) (any, error) {
		v, err := x(e)
		if err != nil {
			return nil, err
		}
		w, err := y(e)
		if err != nil {
			return nil, err
		}
		return operate("**", v, w)
	}
}

// operand reads a number, a string, a name, a call, or an expression or a
// tuple in parentheses.
func (s *scanner) operand(depth int) expression {
	if s.skip(); s.done() {
		s.fail("an operand is missing")
	}
	constant := func(v any) expression { return func(*env) (any, error) { return v, nil } }
	switch c := s.text[s.at]; {
	case c == '(':
		s.at++
		return s.list(depth, ")").value
	case c == '\'' || c == '"':
		s.at++
		return constant(s.until(string(c)))
	case isDigit(c) || c == '.':
		return constant(s.float())
	}
	name := s.run(func(c byte) bool { return isWord(c) || c == '.' })
	switch name {
	case "":
		s.fail("what is %q?", s.glimpse())
	case "True":
		return constant(true)
	case "False":
		return constant(false)
	case "if", "else", "and", "or", "not", "lambda", "for", "in", "is":
		s.fail("%q cannot stand here", name)
	}
	if s.accept("(") {
		return s.function(name, depth)
	}
	return func(e *env) (any, error) { return e.value(name) }
}

// float reads a number without a sign: 12, 0x1f, 0.5, 1e6.
func (s *scanner) float() float64 {
	start := s.at
	digits := s.run(func(c byte) bool { return isWord(c) || c == '.' })
	if hex, ok := strings.CutPrefix(digits, "0x"); ok {
		if v, err := strconv.ParseUint(hex, 16, 64); err == nil {
			return float64(v)
		}
	} else if v, err := strconv.ParseFloat(digits, 64); err == nil && !strings.ContainsAny(digits, "xXpPnN_") {
		return v
	}
	s.at = start
	s.fail("want a number, found %q", s.glimpse())
	return 0
}

// A list is expressions behind an opening parenthesis.
type list struct {
	items []expression
	tuple bool // there was a comma
}

// list reads expressions between commas, and the closing parenthesis.
func (s *scanner) list(depth int, end string) (l list) {
	for !s.accept(end) {
		if len(l.items) > 0 {
			s.expect(",")
			if l.tuple = true; s.accept(end) {
				break
			}
		}
		l.items = append(l.items, s.expression(depth-1))
	}
	l.tuple = l.tuple || len(l.items) == 0
	return l
}

// values evaluates all of the list.
func (l list) values(e *env) ([]any, error) {
	all := make([]any, len(l.items))
	for i, x := range l.items {
		var err error
		if all[i], err = x(e); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// value is the one expression in parentheses, or the tuple of several.
func (l list) value(e *env) (any, error) {
	all, err := l.values(e)
	if err != nil || l.tuple {
		return all, err
	}
	return all[0], nil
}

// print writes the values of the list, with spaces between.
func (l list) print(e *env) error {
	all, err := l.values(e)
	if err != nil {
		return err
	}
	words := make([]string, len(all))
	for i, v := range all {
		words[i] = str(v)
	}
	e.print(strings.Join(words, " "))
	return nil
}

// functions are those of Python's that expressions may call, of numbers.
var functions = map[string]func(v []float64) (float64, bool){
	"abs":   func(v []float64) (float64, bool) { return math.Abs(v[0]), len(v) == 1 },
	"int":   func(v []float64) (float64, bool) { return math.Trunc(v[0]), len(v) == 1 },
	"float": func(v []float64) (float64, bool) { return v[0], len(v) == 1 },
	"round": func(v []float64) (float64, bool) { return math.RoundToEven(v[0]), len(v) == 1 },
	"min": func(v []float64) (float64, bool) {
		for _, w := range v {
			v[0] = min(v[0], w)
		}
		return v[0], true
	},
	"max": func(v []float64) (float64, bool) {
		for _, w := range v {
			v[0] = max(v[0], w)
		}
		return v[0], true
	},
}

// function reads the arguments of a call, behind its opening parenthesis.
func (s *scanner) function(name string, depth int) expression {
	f, ok := functions[name]
	if !ok {
		s.fail("no function %q; there are abs, float, int, max, min, round", name)
	}
	args := s.list(depth, ")")
	return func(e *env) (any, error) {
		all, err := args.values(e)
		if err != nil {
			return nil, err
		}
		numbers := make([]float64, len(all))
		for i, v := range all {
			if numbers[i], ok = number(v); !ok {
				return nil, fmt.Errorf("%s of %s, which is no number", name, text(v))
			}
		}
		if len(numbers) > 0 {
			if v, ok := f(numbers); ok {
				return v, nil
			}
		}
		return nil, fmt.Errorf("%s does not take %d arguments", name, len(numbers))
	}
}
