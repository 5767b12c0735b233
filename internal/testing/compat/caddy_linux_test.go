package compat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/tcp"
)

// caddyConfig has Caddy answer each request with text, on an address of the stack.
func caddyConfig(text string) []byte {
	return fmt.Appendf(nil, `{
		"admin": {"disabled": true},
		"logging": {"logs": {"default": {"level": "ERROR"}}},
		"apps": {"http": {"servers": {"s": {
			"listen": ["gonet/%s:80"],
			"automatic_https": {"disable": true},
			"routes": [{"handle": [{"handler": "static_response", "body": %q}]}]
		}}}}
	}`, ours, text)
}

// TestCaddy has Caddy take a new configuration while requests come: the new server
// listens where the old one still does, and whom the old one has not accepted the new
// one serves. So nobody is refused or reset. What is left are connections that the
// old server had accepted when it ended, and closes without an answer: it does that
// on the kernel's sockets, too, of which it loses 1 % in the same test, most of them
// to resets.
func TestCaddy(t *testing.T) {
	h := newHost(t)
	var shared gonet.ListenConfig
	shared.Stack = h.Stack
	shared.Share = tcp.ShareByHash
	caddy.RegisterNetwork("gonet", func(ctx context.Context, _, host, portRange string, offset uint, _ net.ListenConfig) (any, error) {
		return shared.Listen(ctx, "tcp", net.JoinHostPort(host, portRange))
	})
	must(t, caddy.Load(caddyConfig("first"), true))
	defer caddy.Stop()

	var asked, closed atomic.Int64
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: h.ns.Dial}, Timeout: 5 * time.Second}
			for {
				select {
				case <-stop:
					return
				default:
				}
				asked.Add(1)
				switch _, err := get(client); {
				case errors.Is(err, io.EOF):
					closed.Add(1)
				case err != nil:
					t.Error(err)
				}
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	for i := range 5 {
		must(t, caddy.Load(caddyConfig(fmt.Sprint("reload ", i)), true))
		time.Sleep(200 * time.Millisecond)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: h.ns.Dial}, Timeout: 5 * time.Second}
	if text, err := get(client); text != "reload 4" || err != nil {
		t.Errorf("at the end Caddy says %q, %v", text, err)
	}
	close(stop)
	clients.Wait()
	if asked.Load() < 100 || closed.Load() > asked.Load()/50 {
		t.Errorf("the old server closed %d of %d connections", closed.Load(), asked.Load())
	}
}
