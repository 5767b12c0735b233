package setup

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/link"
)

func TestParse(t *testing.T) {
	var out bytes.Buffer
	tap := New("program", "ARG", "About it.", &out).Tap()
	port := 80
	tap.Forward(&port)
	arg, other := "", "as it is"
	err := tap.Parse(strings.Fields("-tap wire -addr 10.1.0.2/16 -host 10.1.0.1/16 -mtu 9000 -offload=false -pcap x.pcap -loss 0.25 "+
		"the-argument -reorder 0.5 -delay 20ms -rate 1.5M -queue 9 -seed 7 -quiet -stats -rootless -forward 127.0.0.1:99"), &arg, &other)
	if err != nil {
		t.Fatal(err)
	}
	if arg != "the-argument" || other != "as it is" {
		t.Errorf("arguments %q, %q", arg, other)
	}
	if want := (link.Impairment{Loss: 0.25, Reorder: 0.5, Delay: 20 * time.Millisecond, Rate: 1_500_000, Queue: 9, Seed: 7}); tap.wire != want {
		t.Errorf("%+v", tap.wire)
	}
	if tap.name != "wire" || tap.Addr != netip.MustParsePrefix("10.1.0.2/16") || tap.Host != netip.MustParsePrefix("10.1.0.1/16") || tap.mtu != 9000 || tap.offload {
		t.Errorf("%+v", tap)
	}
	if tap.pcap != "x.pcap" || !tap.Quiet || !tap.Stats || !tap.rootless {
		t.Errorf("%+v", tap.Flags)
	}
	if f := tap.forwards(); len(f) != 1 || f[0].Listen != "127.0.0.1:99" || f[0].To != "10.1.0.2:80" {
		t.Errorf("forwards %+v", f)
	}
	if tap.Say("quiet"); out.Len() > 0 {
		t.Errorf("printed %q", out.String())
	}
}

func TestDefaults(t *testing.T) {
	tap := New("program", "", "", io.Discard).Tap()
	port := 443
	tap.Forward(&port)
	if err := tap.Parse(nil); err != nil {
		t.Fatal(err)
	}
	if tap.name != "tap0" || tap.Addr.String() != "10.0.0.2/24" || tap.Host.String() != "10.0.0.1/24" || !tap.offload || tap.rootless || tap.Reach() != "10.0.0.2:443" {
		t.Errorf("%+v", tap)
	}
	if tap.forwards(); tap.Reach() != defaultForward {
		t.Errorf("a rootless program is reached at %q", tap.Reach())
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	tap := New("program", "[ADDRESS]", "About it.", &out).Tap()
	tap.Bool("own", false, "of its own")
	tap.Examples("-own 5", "")
	if err := tap.Parse([]string{"-h"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("error %v", err)
	}
	for _, want := range []string{"About it.\n", "Usage: program [flags] [ADDRESS]\n", "  -tap name\n", `(default 10.0.0.2/24)`,
		"\nExamples:\n  program -own 5\n  program\n\nFlags of program:\n  -own\n", "\nThe stack and its tap:\n  -addr address\n", "\nA bad line to the other end:\n  -delay duration\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestUsageErrors(t *testing.T) {
	for args, want := range map[string]string{
		"-nothing":                  "-nothing",
		"argument":                  `"argument"`,
		"-loss 1.1":                 "-loss",
		"-loss NaN":                 "-loss",
		"-loss -1":                  "-loss",
		"-reorder 2":                "-reorder",
		"-delay -1s":                "-delay",
		"-rate fast":                "-rate",
		"-queue 0":                  "-queue",
		"-addr 10.0.0.2":            "-addr",
		"-addr ::1/64":              "-addr",
		"-host 10.0.1.1/24":         "not on one network",
		"-host 10.0.0.1/16":         "not on one network",
		"-host 10.0.0.2/24":         "both",
		"-addr  0.0.0.0/0 -host x":  "-host",
		"-mtu x":                    "-mtu",
		"-mtu 67":                   "-mtu 67",
		"-mtu 65536":                "-mtu 65536",
		"-tap a-name-too-long-":     "-tap",
		"-tap a/b":                  "-tap",
		"-forward 8080":             "-forward",
		"-forward host:http":        "-forward",
		"-pcap x -offload=sometime": "-offload",
	} {
		tap := New("program", "", "", io.Discard).Tap()
		tap.Forward(new(int))
		err := tap.Parse(strings.Fields(args)) // before anything is made
		if err == nil || exitCode(err) != 2 || !strings.Contains(err.Error(), want) || !strings.Contains(explain(err), "-h explains") {
			t.Errorf("%s: error %v, exit code %d", args, err, exitCode(err))
		}
	}
}

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
		if code, message := exitCode(c.err), explain(c.err); code != c.code || message != c.message {
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
