package e2e

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/icmp"
	"github.com/seed-012105e5/gonet/internal/testing/netns"
)

// eachTap runs a test over a tap with offloads and over a plain one.
func eachTap(t *testing.T, test func(t *testing.T, c cable)) {
	t.Helper()
	netns.Need(t)
	for name, c := range map[string]cable{"offload": {}, "plain": {plain: true}} {
		t.Run(name, func(t *testing.T) { test(t, c) })
	}
}

// TestPing has the kernel's echo requests answered, also those that come in
// fragments (RFC1122-3.2.2.6, RFC1122-3.3.2).
func TestPing(t *testing.T) {
	eachTap(t, func(t *testing.T, c cable) {
		h := newHost(t, c)
		for _, size := range []int{0, 1, 56, 1472, 1473, 2952, 2953, 8000, 20000, 40000, 65000, 65507} {
			for range 3 { // one at a time: for the last of several ping waits two round trips only
				out := h.output(t, 10*time.Second, "ping", "-n", "-c", "1", "-W", "5", "-s", fmt.Sprint(size), ours)
				if !strings.Contains(out, " 1 received, 0% packet loss") || strings.Contains(out, "wrong data") {
					t.Errorf("%d bytes:\n%s", size, out)
				}
			}
		}
	})
}

// TestPingFlood shows that none of many echo requests is lost.
func TestPingFlood(t *testing.T) {
	count := 10000
	if testing.Short() {
		count = 2000
	}
	eachTap(t, func(t *testing.T, c cable) {
		h := newHost(t, c)
		out := h.output(t, 30*time.Second, "ping", "-n", "-q", "-f", "-c", fmt.Sprint(count), ours)
		var sent, received int
		if _, err := fmt.Sscanf(out[strings.Index(out, "---\n")+4:], "%d packets transmitted, %d received", &sent, &received); err != nil {
			t.Fatalf("%v in:\n%s", err, out)
		}
		// For the very last one ping waits two round trips only.
		if sent != count || received < count-1 || h.Stats()["icmp.TxReplies"] != uint64(count) {
			t.Errorf("flood of %d, %d answered:\n%s", count, h.Stats()["icmp.TxReplies"], out)
		}
		t.Log(regexp.MustCompile("rtt .*").FindString(out))
	})
}

// TestPingKernel has our echo requests answered by the kernel.
func TestPingKernel(t *testing.T) {
	eachTap(t, func(t *testing.T, c cable) {
		h := newHost(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		for _, size := range []int{0, 56, 1472, 1473, 65000} {
			r, err := h.PingWith(ctx, netip.MustParseAddr(kernel), icmp.PingOptions{Size: size})
			if err != nil || r.Size != size || r.From != netip.MustParseAddr(kernel) || r.RTT <= 0 {
				t.Errorf("%d bytes: %+v, %v", size, r, err)
			}
		}
	})
}

// TestTraceroute shows that a datagram to a port where nobody listens is
// answered by port unreachable (RFC1122-4.1.3.1).
func TestTraceroute(t *testing.T) {
	h := newHost(t, cable{})
	out := h.output(t, 10*time.Second, "traceroute", "-n", "-q", "3", "-w", "2", ours)
	if hop := regexp.MustCompile(`(?m)^ 1  10\.0\.0\.2(  [0-9.]+ ms){3}$`).FindString(out); hop == "" {
		t.Errorf("want one hop with three times:\n%s", out)
	}
	if h.Stats()["udp.DropNoSocket"] < 3 {
		t.Errorf("the probes did not come to UDP:\n%v", h.Stats())
	}
}

// TestUDPRefused: a connected socket on either side is told that nobody
// listens on the other (RFC1122-4.1.3.1, RFC1122-4.1.3.3).
func TestUDPRefused(t *testing.T) {
	h := newHost(t, cable{})
	refused := func(who string, c net.Conn) {
		t.Helper()
		defer c.Close()
		must(t, c.SetDeadline(time.Now().Add(5*time.Second)))
		_, err := c.Write([]byte("anybody there?"))
		must(t, err)
		_, err = c.Read(make([]byte, 1))
		wantError(t, who, err, syscall.ECONNREFUSED)
	}
	refused("the kernel's socket", h.dial(t, "udp", ours+":9"))
	c, err := h.Dial("udp", kernel+":9")
	must(t, err)
	refused("our socket", c)
}
