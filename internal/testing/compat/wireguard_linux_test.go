package compat

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/crypto/curve25519"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/tunnel"
)

var _ tun.Device = (*tunnel.Device[tun.Event])(nil)

// A peer is a host in a WireGuard network: a stack above wireguard-go, whose own
// datagrams go over the loopback of this machine.
type peer struct {
	*gonet.Stack
	wg              *device.Device
	private, public [32]byte
	addr            string
}

func newPeer(t *testing.T, addr string, seed byte) *peer {
	t.Helper()
	p := &peer{addr: addr, private: [32]byte{1: seed}}
	public, err := curve25519.X25519(p.private[:], curve25519.Basepoint)
	must(t, err)
	p.public = [32]byte(public)
	dev, card := tunnel.New(tunnel.Config[tun.Event]{Up: tun.EventUp})
	p.Stack, err = gonet.New(gonet.Config{
		Link: card, Addr: netip.MustParsePrefix(addr + "/32"), Routes: []gonet.Route{{Prefix: netip.MustParsePrefix("0.0.0.0/0")}},
	})
	must(t, err)
	t.Cleanup(func() { p.Stack.Close() })
	p.wg = device.NewDevice(dev, conn.NewDefaultBind(), device.NewLogger(device.LogLevelError, addr+": "))
	t.Cleanup(p.wg.Close)
	must(t, p.wg.IpcSet(fmt.Sprintf("private_key=%s\nlisten_port=0\n", hex.EncodeToString(p.private[:]))))
	must(t, p.wg.Up())
	return p
}

// port is where the peer listens on the loopback of this machine.
func (p *peer) port(t *testing.T) (port int) {
	t.Helper()
	state, err := p.wg.IpcGet()
	must(t, err)
	for line := range bytes.Lines([]byte(state)) {
		if n, _ := fmt.Sscanf(string(line), "listen_port=%d", &port); n == 1 {
			return port
		}
	}
	t.Fatalf("no port in\n%s", state)
	return 0
}

// TestWireGuard has two stacks talk HTTP through a WireGuard tunnel, without root and
// without a tap.
func TestWireGuard(t *testing.T) {
	a, b := newPeer(t, "10.9.0.1", 1), newPeer(t, "10.9.0.2", 2)
	for _, p := range []struct{ p, other *peer }{{a, b}, {b, a}} {
		must(t, p.p.wg.IpcSet(fmt.Sprintf("public_key=%s\nendpoint=127.0.0.1:%d\nallowed_ip=%s/32\n",
			hex.EncodeToString(p.other.public[:]), p.other.port(t), p.other.addr)))
	}
	l, err := b.Listen("tcp", ":80")
	must(t, err)
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	transport := &http.Transport{DialContext: a.DialContext}
	defer transport.CloseIdleConnections()
	text := bytes.Repeat([]byte("through the tunnel "), 300_000)
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	response, err := client.Post("http://10.9.0.2/", "text/plain", bytes.NewReader(text))
	must(t, err)
	got, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil || !bytes.Equal(got, text) {
		t.Errorf("%d of %d bytes came back, %v", len(got), len(text), err)
	}
	if _, err := a.Ping(t.Context(), netip.MustParseAddr("10.9.0.2")); err != nil {
		t.Error(err)
	}
}
