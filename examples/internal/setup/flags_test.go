package setup

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/program"
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
		if err == nil || program.ExitCode(err) != 2 || !strings.Contains(err.Error(), want) || !strings.Contains(program.Explain(err), "-h explains") {
			t.Errorf("%s: error %v, exit code %d", args, err, program.ExitCode(err))
		}
	}
}
