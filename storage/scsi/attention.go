package scsi

// attentions are the unit attention conditions that wait to be told to one nexus by
// one unit (SAM-4 5.14), each code once.
type attentions struct {
	codes [16]Code // more than there are codes that this package establishes
	n     int
}

// establish adds a condition. A reset is told first, and what it makes moot is not
// told (SAM-4 5.14.5).
func (a *attentions) establish(c Code) {
	if isReset(c) {
		kept := attentions{codes: [16]Code{c}, n: 1}
		for _, have := range a.codes[:a.n] {
			if !moot(have) {
				kept.add(have)
			}
		}
		*a = kept
		return
	}
	for _, have := range a.codes[:a.n] {
		if have == c || isReset(have) && moot(c) {
			return
		}
	}
	a.add(c)
}

func (a *attentions) add(c Code) {
	if a.n < len(a.codes) {
		a.codes[a.n] = c
		a.n++
	}
}

// first is the condition to tell next.
func (a *attentions) first() (Code, bool) { return a.codes[0], a.n > 0 }

// clear takes c off, which was told.
func (a *attentions) clear(c Code) {
	for i, have := range a.codes[:a.n] {
		if have == c {
			copy(a.codes[i:], a.codes[i+1:a.n])
			a.n--
			return
		}
	}
}

// isReset says whether c tells of a power on, a reset or the loss of the nexus. Such
// conditions take precedence over RESERVATION CONFLICT (SAM-4 5.3.3).
func isReset(c Code) bool { return c>>8 == 0x29 }

// moot says whether a nexus that will learn of a reset need not learn c. It still
// learns that LUNs and capacities are others than it knows.
func moot(c Code) bool { return isReset(c) || c == CodeCommandsCleared || c == CodeModeChanged }
