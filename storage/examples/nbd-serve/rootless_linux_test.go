package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/storage/examples/internal/testing/programtest"
	"github.com/seed-012105e5/gonet/storage/nbd"
)

func TestMain(m *testing.M) { programtest.Main(m, main) }

// TestRootless serves as an ordinary user, over a stack of the program's own, and is
// used from outside of its private network.
func TestRootless(t *testing.T) {
	ns := netns.Test(t)
	netns.NeedTun(t)
	cmd := programtest.Command(t.Context(), "-rootless", "-listen", "127.0.0.1:10809", "-stats", "-export", "m=memory:1M")
	programtest.AsUser(cmd)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(stdout)
	uri := ""
	for !strings.HasPrefix(uri, "nbd://") {
		if uri, err = out.ReadString('\n'); err != nil {
			t.Fatalf("%v, %v", err, cmd.Wait())
		}
	}
	uri = strings.Fields(uri)[0]
	d := nbd.Dialer{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return ns.Dial(ctx, network, address)
	}}
	c, err := d.Dial(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	text, got := bytes.Repeat([]byte("over the stack"), 1000), make([]byte, 14000)
	if _, err := c.WriteAt(text, 1000); err != nil {
		t.Error(err)
	}
	if _, err := c.ReadAt(got, 1000); err != nil || !bytes.Equal(got, text) {
		t.Errorf("read other bytes than were written, %v", err)
	}
	c.Close()
	cmd.Process.Signal(os.Interrupt)
	rest, _ := io.ReadAll(out)
	if uri != "nbd://127.0.0.1:10809/m" || !strings.Contains(string(rest), "Requests.WRITE                   1") {
		t.Errorf("%s; printed at the end:\n%s", uri, rest)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
