package tap_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/tap"
)

// TestTun has a stack and the kernel talk over a tun, with offloads, without, and by
// several queues: bulk there and back, small requests, echoes.
func TestTun(t *testing.T) {
	netns.Need(t)
	for name, cfg := range map[string]tap.Config{
		"offload": {}, "plain": {DisableOffload: true}, "queues": {Queues: 3},
	} {
		t.Run(name, func(t *testing.T) { testTun(t, cfg) })
	}
}

func testTun(t *testing.T, cfg tap.Config) {
	ns := netns.Test(t)
	cfg.Name, cfg.IP, cfg.HostAddr = "tun0", true, netip.MustParsePrefix("10.0.0.1/24")
	var card link.Link
	err := ns.Do(func() (err error) { card, err = tap.Open(cfg); return err })
	if err != nil {
		t.Fatal(err)
	}
	if !card.IP || card.MAC != [6]byte{} || card.Name != "tun0" {
		t.Errorf("%+v", card)
	}
	stack, err := gonet.New(gonet.Config{Link: card, Addr: netip.MustParsePrefix("10.0.0.2/24")})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	l, err := stack.Listen("tcp", ":7")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, size := range []int{1, 1000, 4 << 20} {
		c, err := ns.Dial(ctx, "tcp", "10.0.0.2:7")
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(20 * time.Second))
		text := bytes.Repeat([]byte{byte(size), 1, 2, 3, 5, 7, 11}, size/7+1)[:size]
		go func() { c.Write(text); c.(*net.TCPConn).CloseWrite() }()
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, text) {
			t.Errorf("%d of %d bytes came back, %v", len(got), size, err)
		}
		c.Close()
	}
	if _, err := stack.Ping(ctx, netip.MustParseAddr("10.0.0.1")); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"tun0.DropMalformed", "tun0.DropTooLong", "tun0.DropTxError", "rawip.DropRunt", "ipv4.DropChecksum", "tcp.DropBadChecksum"} {
		if n := stack.Stats()[name]; n > 0 {
			t.Errorf("%s is %d", name, n)
		}
	}
}
