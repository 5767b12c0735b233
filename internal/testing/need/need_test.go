package need

import (
	"fmt"
	"testing"
)

// ended is a test that notes how it was ended.
type ended struct {
	testing.TB
	how string
}

func (e *ended) Helper()                           {}
func (e *ended) Skipf(format string, args ...any)  { e.end("skipped: "+format, args...) }
func (e *ended) Fatalf(format string, args ...any) { e.end("failed: "+format, args...) }

func (e *ended) end(format string, args ...any) {
	e.how = fmt.Sprintf(format, args...)
	panic(e)
}

func TestProgram(t *testing.T) {
	for _, c := range []struct{ ci, program, want string }{
		{"", "sh", ""}, {"true", "sh", ""},
		{"", "no-such-program", "skipped: no-such-program is not installed"},
		{"true", "no-such-program", "failed: no-such-program is not installed"},
	} {
		t.Setenv("CI", c.ci)
		e := &ended{TB: t}
		func() {
			defer func() { recover() }()
			Programs(e, "sh", c.program)
		}()
		if e.how != c.want {
			t.Errorf("CI=%s, %s: %q, want %q", c.ci, c.program, e.how, c.want)
		}
	}
}
