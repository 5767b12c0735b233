// Package exampletest runs the example programs in tests: on two stacks in a
// bubble, or on a tap in a network namespace.
package exampletest

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/seed-012105e5/gonet/examples/internal/setup"
	"github.com/seed-012105e5/gonet/packet"
)

// Bubble runs f in a bubble, where time is virtual, with a pair made from the
// flags in args. It fails the test when a packet is left behind.
func Bubble(t *testing.T, args []string, f func(t *testing.T, p *setup.Pair)) {
	t.Helper()
	before := packet.Live()
	synctest.Test(t, func(t *testing.T) {
		flags := setup.New("test", "", "", io.Discard)
		if err := flags.Parse(args); err != nil {
			t.Fatal(err)
		}
		p, err := flags.Pair()
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		f(t, p)
	})
	if left := packet.Live() - before; left != 0 {
		t.Errorf("%d packets are left", left)
	}
}

// Client is a web client on a host. CloseIdleConnections ends what it keeps.
func Client(h *setup.Host) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: h.DialContext}}
}

// Get returns the status and body of what is at url.
func Get(t testing.TB, c *http.Client, url string) (int, string) {
	t.Helper()
	response, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s: %v after %d bytes", url, err, len(body))
	}
	return response.StatusCode, string(body)
}
