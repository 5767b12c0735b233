// Package spec opens block devices by what a user writes on a command line:
//
//	memory:64M
//	file:disk.img
//	file:disk.img,size=1G,create
//	file:/dev/sdb,direct,ro
//	overlay:changes.cow,base=file:golden.img
//	http://server/image.iso
//	memory:1G,delay=5ms,rate=10M
//
// A specification is a kind, a colon and what the kind makes of the rest, then
// options after commas: a name, or a name, "=" and a value. Two commas stand for one
// that is part of a name or a value. A kind that is a URL has its options, in the
// same form, behind a "#": http://server/a,b.iso#cache=64M.
//
// What kinds and options there are, a [Set] says. Programs add to it those of heavy
// packages, which they import themselves.
package spec

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Spec is a specification taken apart.
type Spec struct {
	Kind    string
	Arg     string // with its URL scheme, if the kind is a URL
	Options []Option
}

// An Option is a name and its value, which is empty where there is none.
type Option struct {
	Name, Value string
}

// Parse takes a specification apart. It does not look whether there is such a kind.
func Parse(s string) (Spec, error) {
	kind, rest, ok := strings.Cut(s, ":")
	if !ok || !isName(kind) {
		return Spec{}, fmt.Errorf("%q is no disk: write its kind before it, as in memory:64M or file:disk.img", s)
	}
	p := Spec{Kind: kind}
	var options []string
	if strings.HasPrefix(rest, "//") {
		url, fragment, has := strings.Cut(s, "#")
		p.Arg = url
		if has {
			options = split(fragment)
		}
	} else {
		parts := split(rest)
		p.Arg, options = parts[0], parts[1:]
	}
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		if !isName(name) {
			return Spec{}, fmt.Errorf("in %q: %q is no option: want name or name=value (a comma in a name or value is written as two)", s, o)
		}
		p.Options = append(p.Options, Option{name, value})
	}
	return p, nil
}

// isName says whether s may name a kind or an option.
func isName(s string) bool {
	for i, c := range s {
		if !(c >= 'a' && c <= 'z' || i > 0 && (c >= '0' && c <= '9' || c == '+' || c == '-')) {
			return false
		}
	}
	return s != ""
}

// split cuts s at commas, of which two stand for one.
func split(s string) (parts []string) {
	var part strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != ',':
			part.WriteByte(s[i])
		case i+1 < len(s) && s[i+1] == ',':
			part.WriteByte(',')
			i++
		default:
			parts = append(parts, part.String())
			part.Reset()
		}
	}
	return append(parts, part.String())
}

// String writes the specification as Parse reads it.
func (p Spec) String() string {
	double := func(s string) string { return strings.ReplaceAll(s, ",", ",,") }
	separator := ","
	var b strings.Builder
	if strings.HasPrefix(p.Arg, p.Kind+"://") {
		separator = "#"
		b.WriteString(p.Arg)
	} else {
		b.WriteString(p.Kind + ":" + double(p.Arg))
	}
	for _, o := range p.Options {
		b.WriteString(separator + o.Name)
		if o.Value != "" {
			b.WriteString("=" + double(o.Value))
		}
		separator = ","
	}
	return b.String()
}

// Values are the options of a specification, as they were written. A name that
// comes twice has its last value.
type Values map[string]string

// Bool is true if the option is there with no value or one that means yes.
func (v Values) Bool(name string) (bool, error) {
	s, ok := v[name]
	if !ok || s == "" {
		return ok, nil
	}
	b, err := strconv.ParseBool(s)
	if err != nil {
		return false, fmt.Errorf("%s=%s: want true or false", name, s)
	}
	return b, nil
}

// Size is the option's value in bytes, or otherwise if it is not there.
func (v Values) Size(name string, otherwise int64) (int64, error) {
	s, ok := v[name]
	if !ok {
		return otherwise, nil
	}
	n, err := ParseSize(s)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return n, nil
}

// Duration is the option's value, or otherwise if it is not there.
func (v Values) Duration(name string, otherwise time.Duration) (time.Duration, error) {
	s, ok := v[name]
	if !ok {
		return otherwise, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%s=%s: want a time, as in 5ms", name, s)
	}
	return d, nil
}
