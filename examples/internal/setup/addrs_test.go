package setup

import (
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/internal/program"
)

// TestAgainst has the addresses of a tap conflict, or not, with one of the
// kernel's.
func TestAgainst(t *testing.T) {
	for _, c := range []struct {
		name, kernel, want string
	}{
		{"tap0", "10.0.0.1/24", ""}, // the tap is there already
		{"tap0", "10.0.0.2/24", "-addr 10.0.0.2 is this machine's own address, on tap0"},
		{"eth0", "10.0.0.2/32", "is this machine's own address, on eth0"},
		{"eth0", "10.0.0.77/24", "-addr 10.0.0.2: this machine looks for it behind eth0, whose network is 10.0.0.0/24"},
		{"eth0", "10.0.0.5/29", "this machine looks for it behind eth0"},
		{"eth0", "10.0.0.77/29", ""},
		{"eth0", "10.99.0.1/8", ""}, // the tap's network is the more specific one
		{"eth0", "10.0.0.1/32", "-host 10.0.0.1 is the address of eth0 already"},
		{"eth0", "192.168.1.2/24", ""},
		{"eth0", "fe80::1/64", ""},
	} {
		tap := New("program", "", "", io.Discard).Tap()
		if err := tap.Parse(nil); err != nil {
			t.Fatal(err)
		}
		err := tap.against(c.name, netip.MustParsePrefix(c.kernel))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s has %s: %v", c.name, c.kernel, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || program.ExitCode(err) != 2):
			t.Errorf("%s has %s: %v, want %q", c.name, c.kernel, err, c.want)
		}
	}
}

func TestReach(t *testing.T) {
	for args, want := range map[string]string{
		"":                        "10.0.0.2:80",
		"-forward 127.0.0.1:8080": "127.0.0.1:8080",
		"-forward :8080":          "localhost:8080",
		"-forward 0.0.0.0:8080":   "localhost:8080",
		"-forward [::]:8080":      "localhost:8080",
		"-forward [::1]:8080":     "[::1]:8080",
		"-addr 10.0.0.7/24":       "10.0.0.7:80",
	} {
		tap := New("program", "", "", io.Discard).Tap()
		port := 80
		tap.Forward(&port)
		if err := tap.Parse(strings.Fields(args)); err != nil {
			t.Fatal(err)
		}
		if got := tap.Reach(); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}
