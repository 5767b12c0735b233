package tap

import (
	"net/netip"
	"runtime"
	"strings"
	"testing"
)

func TestComplete(t *testing.T) {
	prefix := func(s string) netip.Prefix { return netip.MustParsePrefix(s) }
	for _, test := range []struct {
		name string
		cfg  Config
		want string // in the error; empty: none
	}{
		{"zero", Config{}, ""},
		{"all", Config{Name: "a23456789012345", MTU: 65521, MAC: [6]byte{2}, HostMAC: [6]byte{4}, HostAddr: prefix("10.0.0.1/24")}, ""},
		{"smallest MTU", Config{MTU: 68}, ""},
		{"long name", Config{Name: "a234567890123456"}, "at most 15"},
		{"slash", Config{Name: "a/b"}, "cannot be"},
		{"space", Config{Name: "a b"}, "cannot be"},
		{"dots", Config{Name: ".."}, "cannot be"},
		{"NUL", Config{Name: "a\x00"}, "cannot be"},
		{"MTU too small", Config{MTU: 67}, "from 68 to 65521"},
		{"MTU too large", Config{MTU: 65522}, "from 68 to 65521"},
		{"MTU negative", Config{MTU: -1}, "from 68 to 65521"},
		{"most queues", Config{Queues: 256}, ""},
		{"too many queues", Config{Queues: 257}, "from 1 to 256"},
		{"negative queues", Config{Queues: -2}, "from 1 to 256"},
		{"group MAC", Config{MAC: [6]byte{1}}, "first byte is even"},
		{"group host MAC", Config{HostMAC: [6]byte{0xff}}, "first byte is even"},
		{"one MAC twice", Config{MAC: [6]byte{2}, HostMAC: [6]byte{2}}, "of their own"},
		{"IPv6", Config{HostAddr: prefix("fe80::1/64")}, "like 10.0.0.1/24"},
		{"invalid prefix", Config{HostAddr: netip.PrefixFrom(netip.MustParseAddr("10.0.0.1"), 33)}, "like 10.0.0.1/24"},
		{"network", Config{HostAddr: prefix("10.0.0.0/24")}, "like 10.0.0.1/24"},
		{"broadcast", Config{HostAddr: prefix("10.0.0.255/24")}, "like 10.0.0.1/24"},
		{"limited broadcast", Config{HostAddr: prefix("255.255.255.255/32")}, "like 10.0.0.1/24"},
		{"multicast", Config{HostAddr: prefix("224.0.0.1/24")}, "like 10.0.0.1/24"},
		{"unspecified", Config{HostAddr: prefix("0.0.0.0/32")}, "like 10.0.0.1/24"},
		{"RFC3021", Config{HostAddr: prefix("10.0.0.0/31")}, ""},
		{"one address", Config{HostAddr: prefix("10.0.0.1/32")}, ""},
		{"whole net", Config{HostAddr: prefix("10.0.0.1/0")}, ""},
	} {
		_, err := test.cfg.complete()
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestQueuesFor(t *testing.T) {
	for cpus, want := range map[int]int{1: 1, 2: 5, 4: 9, 64: 9} {
		if got := queuesFor(cpus); got != want {
			t.Errorf("%d queues for %d CPUs, want %d", got, cpus, want)
		}
	}
	for queues, want := range map[int]int{0: 1, 7: 7, AutoQueues: queuesFor(runtime.GOMAXPROCS(0))} {
		if cfg, err := (Config{Queues: queues}).complete(); err != nil || cfg.Queues != want {
			t.Errorf("%d: %d queues, %v; want %d", queues, cfg.Queues, err, want)
		}
	}
}

func TestRandomMAC(t *testing.T) {
	ones := func() uint64 { return ^uint64(0) }
	cfg, err := Config{Random: ones}.complete()
	if want := [6]byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff}; err != nil || cfg.MAC != want {
		t.Errorf("% x, %v; want % x", cfg.MAC, err, want)
	}
	a, _ := Config{}.complete()
	b, _ := Config{}.complete()
	if a.MAC == b.MAC || a.MAC[0]&3 != 2 {
		t.Errorf("% x and % x", a.MAC, b.MAC)
	}
}
