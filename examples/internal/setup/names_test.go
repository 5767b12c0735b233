package setup

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for args, want := range map[string]string{
		"":                                    "[]",
		"-dns 10.0.0.1":                       "[10.0.0.1:0]",
		"-dns 10.0.0.1:54 -dns 192.0.2.53:53": "[10.0.0.1:54 192.0.2.53:53]",
	} {
		tap := New("program", "", "", io.Discard).Tap()
		tap.Names()
		if err := tap.Parse(strings.Fields(args)); err != nil || fmt.Sprint(tap.dns.Servers) != want || tap.HasNames() != (args != "") {
			t.Errorf("%q: %v, %v", args, tap.dns.Servers, err)
		}
	}
	for _, bad := range []string{"", "dns.example", "10.0.0.1:", "10.0.0.1:x", "0.0.0.0", "224.0.0.251"} {
		tap := New("program", "", "", io.Discard).Tap()
		tap.Names()
		if err := tap.Parse([]string{"-dns", bad}); err == nil || !strings.Contains(err.Error(), "-h explains") {
			t.Errorf("-dns %q: %v", bad, err)
		}
	}
}
