package packetdrill

import "strings"

// Parse reads a script. The name is that of its file, for messages. The error
// is an *Error.
func Parse(name, text string) (*Script, error) { return ParseWith(name, text, nil) }

// ParseWith is Parse with symbols that stand for something in the script, as
// the flag -D and the setting --define have them.
func ParseWith(name, text string, symbols map[string]string) (s *Script, err error) {
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
	p.define(symbols)
	for p.skip(); strings.HasPrefix(p.rest(), "--"); p.skip() {
		s.settings = append(s.settings, p.setting())
	}
	for p.skip(); !p.done(); p.skip() {
		if p.accept("`") { // before the first event, and behind the last
			s.commands = append(s.commands, p.initCommands(p.until("`")))
			continue
		}
		s.events = append(s.events, p.event())
	}
	return s, nil
}

// setting reads "--name=value", the value up to the next space. A setting
// --define=NAME=value, or -D, has NAME mean value in the script behind it.
func (s *scanner) setting() setting {
	line := s.line(s.at)
	s.expect("--")
	text := s.run(func(c byte) bool { return c > ' ' })
	name, value, _ := strings.Cut(text, "=")
	if name == "define" {
		symbol, means, ok := strings.Cut(value, "=")
		if !ok {
			s.fail("want --define=NAME=value, found --%s", text)
		}
		s.define(map[string]string{symbol: means})
	}
	return setting{line: line, name: name, value: value}
}

// define puts what symbols mean in their place, wherever they stand as whole
// words in what has not been read.
func (s *scanner) define(symbols map[string]string) {
	if len(symbols) == 0 {
		return
	}
	var b strings.Builder
	rest := &scanner{text: s.rest(), plain: true}
	for !rest.done() {
		if w := rest.run(isWord); w != "" {
			if means, ok := symbols[w]; ok {
				w = means
			}
			b.WriteString(w)
			continue
		}
		b.WriteByte(rest.text[rest.at])
		rest.at++
	}
	s.text = s.text[:s.at] + b.String()
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
		first := s.line(s.at)
		e.do = s.code(s.until("}%"), first)
	case s.accept("`"):
		e.do = s.commands(s.until("`"))
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
