package ethernet

import (
	"net/netip"
	"testing"
)

func TestParseAddr(t *testing.T) {
	want := Addr{0x02, 0x00, 0x5e, 0x10, 0x00, 0xff}
	for _, s := range []string{"02:00:5e:10:00:ff", "02-00-5E-10-00-FF", "0200.5e10.00ff", want.String()} {
		if got, err := ParseAddr(s); err != nil || got != want {
			t.Errorf("ParseAddr(%q) = %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "02:00:5e:10:00", "02:00:5e:10:00:ff:00:01", "02:00:5e:10:00:fg"} {
		if got, err := ParseAddr(s); err == nil {
			t.Errorf("ParseAddr(%q) = %v, want an error", s, got)
		}
	}
}

func TestIsGroup(t *testing.T) {
	for a, want := range map[Addr]bool{
		Broadcast:    true,
		{1, 0, 0x5e}: true,
		{2}:          false,
		{0xfe}:       false,
	} {
		if a.IsGroup() != want {
			t.Errorf("%v: IsGroup = %v", a, !want)
		}
	}
}

// TestMulticast is the mapping of RFC 1112 section 6.4: the highest of the 24
// low bits of the group is lost.
func TestMulticast(t *testing.T) {
	for group, want := range map[string]string{
		"224.0.0.1":       "01:00:5e:00:00:01",
		"239.255.255.250": "01:00:5e:7f:ff:fa",
		"224.128.1.2":     "01:00:5e:00:01:02",
	} {
		if got := Multicast(netip.MustParseAddr(group)).String(); got != want {
			t.Errorf("%s: %s, want %s", group, got, want)
		}
	}
}
