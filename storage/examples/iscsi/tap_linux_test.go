package main

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/storage/examples/internal/testing/programtest"
	"github.com/seed-012105e5/gonet/storage/iscsi"
)

func TestMain(m *testing.M) { programtest.Main(m, main) }

// TestTap serves over a stack of the program's own, is managed at a socket of the
// kernel's, and ends in order by a signal.
func TestTap(t *testing.T) {
	ns := netns.Test(t)
	netns.NeedTun(t)
	control := filepath.Join(t.TempDir(), "admin")
	cmd := programtest.Command(t.Context(), "serve", "-tap", "tap0", "-listen", ":3260", "-admin", control, "-target", t1, "-lun", "1=memory:1M")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewScanner(stdout)
	url := ""
	for out.Scan() && !strings.HasPrefix(out.Text(), "managed at ") {
		url = strings.Fields(out.Text())[0]
	}
	if url != "iscsi://10.0.0.2:3260/"+t1+"/1" {
		t.Fatalf("%q, %v", url, cmd.Wait())
	}
	if err := run(t.Context(), []string{"lun", "add", "-admin", control, t1, "2=memory:2M"}, os.Stdout); err != nil {
		t.Error(err)
	}
	d := iscsi.Dialer{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		return ns.Dial(ctx, network, address)
	}}
	for _, unit := range []string{"1", "2"} {
		dev, err := d.Open(t.Context(), strings.TrimSuffix(url, "1")+unit)
		if err != nil {
			t.Fatal(err)
		}
		text, got := bytes.Repeat([]byte("over the stack! "), 1024), make([]byte, 16384)
		if _, err := dev.WriteAt(text, 4096); err != nil {
			t.Error(err)
		}
		if _, err := dev.ReadAt(got, 4096); err != nil || !bytes.Equal(got, text) {
			t.Errorf("read other bytes than were written, %v", err)
		}
		dev.Close()
	}
	cmd.Process.Signal(os.Interrupt)
	for out.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
