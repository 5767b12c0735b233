package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os/exec"
	"testing"
)

func TestExitCode(t *testing.T) {
	child := exec.Command("/bin/sh", "-c", "exit 7").Run()
	killed := exec.Command("/bin/sh", "-c", "kill -9 $$").Run()
	for _, c := range []struct {
		err     error
		code    int
		message string
	}{
		{nil, 0, ""},
		{flag.ErrHelp, 0, ""},
		{errors.New("broken"), 1, "broken"},
		{Usage("want %s", "this"), 2, "want this (-h explains)"},
		{fmt.Errorf("dial: %w", context.Canceled), 130, "interrupted"},
		{child, 7, ""},
		{killed, 1, "the process in the private network has ended by itself: signal: killed"},
	} {
		if code, message := ExitCode(c.err), Explain(c.err); code != c.code || message != c.message {
			t.Errorf("%v: exit code %d, message %q", c.err, code, message)
		}
	}
}

func TestNumber(t *testing.T) {
	for s, want := range map[string]Number{
		"0": 0, "17": 17, "5k": 5000, "5K": 5000, "1.5M": 1_500_000, "2G": 2_000_000_000, "64Ki": 65536, "1Mi": 1 << 20, "1Gi": 1 << 30,
		"": -1, "-1": -1, "M": -1, "NaN": -1, "1e30": -1, "inf": -1, "5 k": -1, "5T": -1,
	} {
		n := Number(-1)
		if err := n.Set(s); n != want || (err != nil) != (want == -1) {
			t.Errorf("%q is %d, %v; want %d", s, n, err, want)
		}
	}
}

func TestBitRate(t *testing.T) {
	for r, want := range map[float64]string{0: "0 bit/s", 999: "999 bit/s", 1500: "1.5 kbit/s", 2e6: "2 Mbit/s", 21.04e9: "21 Gbit/s"} {
		if got := BitRate(r); got != want {
			t.Errorf("%v is %q, want %q", r, got, want)
		}
	}
}
