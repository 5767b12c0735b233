package trouble

import "reflect"

// Shrink returns a script as short as it finds for which fails is still true,
// as it is for s. It asks fails budget times at most.
//
// It is delta debugging (Zeller and Hildebrandt, 2002): events are left out, at
// first by halves and then by ever smaller pieces; then settings return to
// their defaults, and numbers become smaller, for as long as that helps.
func Shrink(s Script, fails func(Script) bool, budget int) Script {
	try := func(c Script) bool {
		if budget <= 0 {
			return false
		}
		budget--
		if !fails(c) {
			return false
		}
		s = c
		return true
	}
	for again := true; again && budget > 0; {
		again = false
		for size := (len(s.Events) + 1) / 2; size > 0; size /= 2 {
			for from := 0; from < len(s.Events); {
				if try(s.without(from, size)) {
					again = true
				} else {
					from += size
				}
			}
		}
		for _, simpler := range s.simpler() {
			again = try(simpler(s)) || again
		}
	}
	return s
}

// without is s without some events.
func (s Script) without(from, size int) Script {
	to := min(from+size, len(s.Events))
	s.Events = append(append([]Event(nil), s.Events[:from]...), s.Events[to:]...)
	return s
}

// simpler are the ways to make one thing about s simpler.
func (s Script) simpler() (all []func(Script) Script) {
	for i := range s.Wire.fields() {
		if c := s; c.Wire.fields()[i].reset() {
			all = append(all, func(c Script) Script { c.Wire.fields()[i].reset(); return c })
		}
	}
	for end := range s.Ends {
		for i := range s.Ends[end].fields() {
			if c := s; c.Ends[end].fields()[i].reset() {
				all = append(all, func(c Script) Script { c.Ends[end].fields()[i].reset(); return c })
			}
		}
	}
	for i, e := range s.Events {
		if e.Arg > 1 {
			all = append(all, func(c Script) Script {
				c.Events = append([]Event(nil), c.Events...)
				c.Events[i].Arg = e.Arg / 2
				return c
			})
		}
	}
	return all
}

// reset sets a field to zero, and says whether it was not.
func (f field) reset() bool {
	before := fields{f}.String()
	reflect.ValueOf(f.value).Elem().SetZero()
	return before != ""
}
