package scsi

import (
	"fmt"
	"strings"
	"testing"
)

// TestSense writes sense in both formats, and reads it back.
func TestSense(t *testing.T) {
	for _, c := range []struct {
		sense             Sense
		fixed, descriptor string
		text              string
	}{
		{Sense{Key: NotReady, Code: CodeMediumNotPresent},
			"70 00 02 00 00 00 00 0a 00 00 00 00 3a 00 00 00 00 00", "72 02 3a 00 00 00 00 00", "key 2h, code 3Ah/00h"},
		{Sense{Key: MediumError, Code: CodeReadError, HasInformation: true, Information: 0x12345678},
			"f0 00 03 12 34 56 78 0a 00 00 00 00 11 00 00 00 00 00", "72 03 11 00 00 00 00 0c 00 0a 80 00 00 00 00 00 12 34 56 78", "information 305419896"},
		{field(7, 7), "70 00 05 00 00 00 00 0a 00 00 00 00 24 00 00 cf 00 07", "72 05 24 00 00 00 00 08 02 06 00 00 cf 00 07 00", "byte 7 bit 7 of the CDB"},
		{parameter(300, -1), "70 00 05 00 00 00 00 0a 00 00 00 00 26 00 00 80 01 2c", "72 05 26 00 00 00 00 08 02 06 00 00 80 01 2c 00", "byte 300 of the parameter list"},
		{Sense{Key: BlankCheck, ILI: true}, "70 00 28 00 00 00 00 0a 00 00 00 00 00 00 00 00 00 00", "72 08 00 00 00 00 00 04 05 02 00 20", "key 8h"},
	} {
		for i, want := range []string{c.fixed, c.descriptor} {
			p := c.sense.Append(nil, i == 1)
			if got := fmt.Sprintf("% x", p); got != want {
				t.Errorf("%v:\n%s, want\n%s", c.sense, got, want)
			}
			if got, ok := ParseSense(p); !ok || got != c.sense {
				t.Errorf("%v is read as %v", c.sense, got)
			}
		}
		if !strings.Contains(c.sense.Error(), c.text) {
			t.Errorf("%q has no %q", c.sense.Error(), c.text)
		}
	}
}

// FuzzSense reads whatever there may be, and writes again what it has understood.
func FuzzSense(f *testing.F) {
	for _, s := range []Sense{field(1, 2), beyond(1 << 40), {Key: BlankCheck, ILI: true}} {
		f.Add(s.Append(nil, false))
		f.Add(s.Append(nil, true))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		s, ok := ParseSense(p)
		if !ok {
			return
		}
		_ = s.Error()
		q := s.Append(nil, true)
		if got, ok := ParseSense(q); !ok || got != s {
			t.Fatalf("%+v is read as %+v", s, got)
		}
		if len(q) > 32 || len(s.Append(nil, false)) != 18 {
			t.Fatalf("%d bytes", len(q))
		}
	})
}

func TestStatusNames(t *testing.T) {
	for s, want := range map[Status]string{
		Good: "GOOD", CheckCondition: "CHECK CONDITION", ConditionMet: "CONDITION MET", Busy: "BUSY",
		ReservationConflict: "RESERVATION CONFLICT", TaskSetFull: "TASK SET FULL", TaskAborted: "TASK ABORTED", 0x7f: "status 7Fh",
	} {
		if s.String() != want {
			t.Errorf("%q, want %q", s, want)
		}
	}
}
