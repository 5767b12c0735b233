package e2e

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/netns"
)

var update = flag.Bool("update", false, "write doc/screenshot.png anew")

// TestBrowser looks at the page of examples/httpd with Chromium, in which
// JavaScript asks the stack for figures.
func TestBrowser(t *testing.T) {
	need(t, "chromium")
	need(t, "tshark")
	ns := netns.Test(t)
	netns.NeedTun(t)
	dir := t.TempDir()
	httpd := filepath.Join(dir, "httpd")
	if out, err := command(t, 2*time.Minute, "go", "build", "-buildvcs=false", "-o", httpd, "../../../examples/httpd").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	pcap := filepath.Join(dir, "capture.pcap")
	var log strings.Builder
	server := command(t, time.Minute, httpd, "-pcap", pcap)
	server.Stdout, server.Stderr = &log, &log
	must(t, ns.Start(server))
	defer func() {
		must(t, server.Process.Signal(syscall.SIGTERM))
		if err := server.Wait(); err != nil {
			t.Errorf("httpd: %v\n%s", err, log.String())
		}
		faults, err := tsharkFaults(t, pcap)
		must(t, err)
		if len(faults) > 0 {
			t.Errorf("tshark finds fault with these frames:\n%s", strings.Join(faults, "\n"))
		}
	}()
	waitFor(t, "httpd", func() bool {
		c, err := ns.Dial(t.Context(), "tcp", ours+":80")
		if err == nil {
			c.Close()
		}
		return err == nil
	})

	browse := func(args ...string) string {
		t.Helper()
		cmd := command(t, 40*time.Second, "chromium", append([]string{
			"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server",
			"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
			"--hide-scrollbars", "--window-size=1180,1640", "--force-device-scale-factor=1",
			"--virtual-time-budget=3500", "--user-data-dir=" + filepath.Join(dir, "profile"),
		}, append(args, "http://"+ours+"/")...)...)
		cmd.Env = append(os.Environ(), "HOME="+dir)
		var complaint strings.Builder
		cmd.Stderr = &complaint
		var page strings.Builder
		cmd.Stdout = &page
		must(t, ns.Start(cmd))
		if err := cmd.Wait(); err != nil {
			t.Fatalf("chromium: %v\n%s", err, complaint.String())
		}
		return page.String()
	}
	dom := browse("--dump-dom")
	for _, want := range []string{
		`<title>GoNet: a TCP/IP stack, live</title>`,
		`<td>LISTEN</td>`, // what the script has made of the figures
		`<tr class="yours"><td>ESTABLISHED</td><td>` + regexp.QuoteMeta(ours) + `:80</td><td>` + regexp.QuoteMeta(kernel) + `:\d+</td>`,
		`<h3>tcp</h3><table>.*<td>InSegments</td><td class="n">[1-9][0-9,]*</td>`,
	} {
		if !regexp.MustCompile(want).MatchString(dom) {
			t.Errorf("the page has no %s:\n%s", want, dom)
		}
	}
	if *update {
		ping := command(t, time.Minute, "ping", "-q", "-i", "0.02", ours) // something to be seen
		must(t, ns.Start(ping))
		defer func() {
			ping.Cancel()
			ping.Wait()
		}()
		shot := filepath.Join(dir, "screenshot.png")
		browse("--screenshot=" + shot)
		image, err := os.ReadFile(shot)
		must(t, err)
		must(t, os.MkdirAll("../../../doc", 0o755))
		must(t, os.WriteFile("../../../doc/screenshot.png", image, 0o644))
	}
}
