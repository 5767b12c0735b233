package e2e

import (
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/tcp"
)

// TestWrk has a hundred connections of wrk served at once, without an error.
func TestWrk(t *testing.T) {
	seconds := 3
	if long() {
		seconds = 10
	}
	eachTap(t, func(t *testing.T, c cable) {
		c.limit = 10e6
		h := newHost(t, c)
		serveHTTP(t, h)
		out := h.output(t, time.Minute, "wrk", "-t", "1", "-c", "100", "-d", fmt.Sprint(seconds), "http://"+ours+"/1000")
		rate := regexp.MustCompile(`Requests/sec: .*`).FindString(out)
		if rate == "" || strings.Contains(out, "Socket errors") || strings.Contains(out, "Non-2xx") {
			t.Errorf("wrk says:\n%s", out)
		}
		t.Log(rate)
	})
}

// TestManyConnections opens a thousand connections before it uses any.
func TestManyConnections(t *testing.T) {
	const count, dialers = 1000, 8
	h := newHost(t, cable{})
	h.listen(t, ":7", func(c *tcp.Conn) { io.Copy(c, c) })
	conns := make([]net.Conn, count)
	var all sync.WaitGroup
	for d := range dialers {
		all.Go(func() {
			for i := d; i < count; i += dialers {
				c, err := h.ns.Dial(t.Context(), "tcp", ours+":7")
				if err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
				conns[i] = c
			}
		})
	}
	all.Wait()
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}()
	if t.Failed() {
		return
	}
	waitFor(t, "the last connection", func() bool {
		established := 0
		for _, i := range h.Connections() {
			if i.State == tcp.Established {
				established++
			}
		}
		return established == count
	})
	for i, c := range conns { // all questions, then all answers
		must(t, c.SetDeadline(time.Now().Add(10*time.Second)))
		_, err := fmt.Fprintf(c, "%04d", i)
		must(t, err)
	}
	for i, c := range conns {
		var answer [4]byte
		_, err := io.ReadFull(c, answer[:])
		must(t, err)
		if string(answer[:]) != fmt.Sprintf("%04d", i) {
			t.Errorf("connection %d got %q", i, answer)
		}
	}
}

// TestTimeWaitReuse makes many quick connections from few ports. The stack
// closes first, and so it is the one that waits; a SYN for a connection in
// TIME-WAIT must open it anew, at once (RFC 6191, MAY-2).
func TestTimeWaitReuse(t *testing.T) {
	netns.Need(t)
	for _, timestamps := range []string{"1", "0"} {
		t.Run("timestamps="+timestamps, func(t *testing.T) {
			h := newHost(t, cable{})
			must(t, h.ns.Sysctl("net.ipv4.tcp_timestamps", timestamps))
			must(t, h.ns.Sysctl("net.ipv4.ip_local_port_range", "40000 40007"))
			h.listen(t, ":13", func(c *tcp.Conn) { io.WriteString(c, "now") })
			const count = 300
			slowest := time.Duration(0)
			for range count {
				start := time.Now()
				c := h.dial(t, "tcp", ours+":13")
				got, err := io.ReadAll(c)
				if err != nil || string(got) != "now" {
					t.Fatalf("got %q, %v", got, err)
				}
				must(t, c.Close())
				slowest = max(slowest, time.Since(start))
			}
			if slowest > 900*time.Millisecond { // a SYN is sent again after 1 s
				t.Errorf("one of %d connections took %v: its SYN was not taken", count, slowest)
			}
			t.Logf("%d connections from 8 ports, the slowest in %v", count, slowest)
		})
	}
}
