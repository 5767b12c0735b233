package main

import (
	"bytes"
	"context"
	"io"
	"net/netip"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/examples/internal/setup"
	"github.com/seed-012105e5/gonet/examples/internal/testing/exampletest"
	"github.com/seed-012105e5/gonet/icmp"
)

func newPinger(out io.Writer) *pinger {
	return &pinger{
		to: setup.AddrB.Addr(), count: 5, interval: 100 * time.Millisecond, wait: time.Second,
		options: icmp.PingOptions{Size: 56}, out: out,
	}
}

func TestPing(t *testing.T) {
	exampletest.Bubble(t, []string{"-delay", "10ms"}, func(t *testing.T, pair *setup.Pair) {
		var out bytes.Buffer
		seen := newPinger(&out).run(t.Context(), pair.A)
		if seen.sent != 5 || seen.received != 5 || seen.took < 400*time.Millisecond || seen.took > 600*time.Millisecond {
			t.Errorf("%+v", seen)
		}
		if !strings.Contains(out.String(), "64 bytes from 10.0.0.2: icmp_seq=5 ttl=64 time=20.0") {
			t.Errorf("printed\n%s", out.String())
		}
		want := regexp.MustCompile(`^\n--- 10.0.0.2 ping statistics ---\n5 packets transmitted, 5 received, 0% packet loss, time 4\d\dms\nrtt min/avg/max/mdev = 20.0\d\d/[\d.]+/[\d.]+/[\d.]+ ms\n$`)
		if s := seen.summary(setup.AddrB.Addr()); !want.MatchString(s) {
			t.Errorf("summary %q", s)
		}
	})
}

func TestPingLosses(t *testing.T) {
	exampletest.Bubble(t, []string{"-loss", "0.2"}, func(t *testing.T, pair *setup.Pair) {
		var out bytes.Buffer
		p := newPinger(&out)
		p.count = 50
		seen := p.run(t.Context(), pair.A)
		if seen.sent != 50 || seen.received < 20 || seen.received > 45 {
			t.Errorf("%+v", seen)
		}
		if n := strings.Count(out.String(), "no answer to icmp_seq="); n != seen.sent-seen.received {
			t.Errorf("%d lines for %d losses", n, seen.sent-seen.received)
		}
	})
}

func TestPingNobody(t *testing.T) {
	exampletest.Bubble(t, nil, func(t *testing.T, pair *setup.Pair) {
		var out bytes.Buffer
		p := newPinger(&out)
		p.to, p.count, p.wait = netip.MustParseAddr("10.0.0.9"), 1, time.Minute
		seen := p.run(t.Context(), pair.A)
		if seen.received != 0 || !strings.Contains(out.String(), "icmp_seq=1: ") || !strings.Contains(out.String(), "nreachable") {
			t.Errorf("%+v\n%s", seen, out.String())
		}
		if s := seen.summary(p.to); !strings.Contains(s, "1 packets transmitted, 0 received, 100% packet loss") || strings.Contains(s, "rtt") {
			t.Errorf("summary %q", s)
		}
	})
}

// TestPingInterrupted ends pings without end, of which the last has no answer
// yet.
func TestPingInterrupted(t *testing.T) {
	exampletest.Bubble(t, []string{"-delay", "50ms"}, func(t *testing.T, pair *setup.Pair) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(250*time.Millisecond, cancel)
		p := newPinger(io.Discard)
		p.count, p.quiet = 0, true
		began := time.Now()
		seen := p.run(ctx, pair.A)
		if seen.sent != 2 || seen.received != 2 || time.Since(began) != 250*time.Millisecond {
			t.Errorf("after %v: %+v", time.Since(began), seen)
		}
	})
}

func TestStatistics(t *testing.T) {
	var s statistics
	for _, ms := range []int{10, 20, 60} {
		s.add(answer{reply: icmp.PingReply{RTT: time.Duration(ms) * time.Millisecond}})
	}
	s.add(answer{err: syscall.EHOSTUNREACH})
	s.took = 3 * time.Second
	want := "\n--- 10.0.0.1 ping statistics ---\n4 packets transmitted, 3 received, 25% packet loss, time 3000ms\nrtt min/avg/max/mdev = 10.000/30.000/60.000/21.602 ms\n"
	if got := s.summary(setup.AddrA.Addr()); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestRefuses(t *testing.T) {
	for _, args := range []string{"a b", "name", "::1", "-s -1", "-s 70000", "-i 0", "-W 0", "-c -1", "-host= "} {
		if err := run(t.Context(), strings.Fields(args), io.Discard); err == nil || !strings.Contains(err.Error(), "-h explains") {
			t.Errorf("%s: error %v", args, err)
		}
	}
}
