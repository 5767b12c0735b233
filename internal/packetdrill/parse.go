package packetdrill

import "strings"

// Parse reads a script. The name is that of its file, for messages. The error
// is an *Error.
func Parse(name, text string) (s *Script, err error) {
	p := &scanner{name: name, text: text}
	defer func() {
		switch e := recover().(type) {
		case nil:
		case *Error:
			s, err = nil, e
		default:
			panic(e)
		}
	}()
	s = &Script{Name: name}
	s.header(text)
	for p.skip(); strings.HasPrefix(p.rest(), "--"); p.skip() {
		s.settings = append(s.settings, p.setting())
	}
	for p.skip(); !p.done(); p.skip() {
		s.events = append(s.events, p.event())
	}
	return s, nil
}

// setting reads "--name=value", the value up to the next space.
func (s *scanner) setting() setting {
	line := s.line(s.at)
	s.expect("--")
	text := s.run(func(c byte) bool { return c > ' ' })
	name, value, _ := strings.Cut(text, "=")
	return setting{line: line, name: name, value: value}
}

// event reads a time and what happens then.
func (s *scanner) event() event {
	start := s.at
	e := event{line: s.line(start), when: s.when()}
	s.skip()
	body := s.at
	switch {
	case s.accept("<"):
		e.do = s.inbound()
	case s.accept(">"):
		e.do = s.outbound()
	case s.accept("%{"):
		e.do = s.assertions(s.until("}%"))
	case s.accept("`"):
		e.do = s.command(s.until("`"))
	default:
		e.do = s.call()
	}
	if _, out := e.do.(*outbound); e.when.isRange() && !out {
		s.fail("only for packets that go out may the time be a range")
	}
	if _, isCall := e.do.(*call); e.when.blocks && !isCall {
		s.fail("only a call takes its time")
	}
	oneLine := func(from int) string { return strings.Join(strings.Fields(s.text[from:s.at]), " ") }
	e.text, e.what = oneLine(start), oneLine(body)
	return e
}

// when reads the time of an event:
//
//	1.5          since the beginning
//	+.5          after the event before
//	+.5~+.7      not before the one, not after the other
//	+0...0.2     a call, which returns .2 s after the event before
//	*            at any time
func (s *scanner) when() when {
	if s.accept("*") {
		return when{anytime: true}
	}
	w := when{relative: s.accept("+")}
	w.from = s.seconds()
	w.to = w.from
	if s.accept("~") {
		if s.accept("+") != w.relative {
			s.fail("a range has two times of one kind")
		}
		if w.to = s.seconds(); w.to < w.from {
			s.fail("the range ends before it begins")
		}
	}
	if s.accept("...") {
		s.accept("+")
		w.blocks, w.end = true, s.seconds()
		if w.end < w.from {
			s.fail("the call returns before it begins")
		}
	}
	return w
}

// command reads the one command that there is: to let time pass.
func (s *scanner) command(text string) action {
	p := &scanner{name: s.name, text: text}
	if !p.acceptWord("sleep") {
		s.fail("no shell runs commands here; `sleep seconds` is all there is")
	}
	d := p.seconds()
	if p.skip(); !p.done() {
		s.fail("what is %q?", p.rest())
	}
	return &pause{d}
}
