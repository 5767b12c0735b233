package netns

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, ns *NS) (all string) {
	t.Helper()
	must(t, ns.Do(func() error {
		is, err := net.Interfaces()
		for _, i := range is {
			all += i.Name + " "
		}
		return err
	}))
	return all
}

func TestDo(t *testing.T) {
	ns := Test(t)
	before, err := os.Readlink(current)
	must(t, err)
	var within string
	must(t, ns.Do(func() error {
		within, err = os.Readlink(current)
		return err
	}))
	after, err := os.Readlink(current)
	must(t, err)
	if within == before || after != before {
		t.Errorf("before %s, within %s, after %s", before, within, after)
	}
	if got := names(t, ns); got != "lo " {
		t.Errorf("interfaces %q, want lo alone", got)
	}
	if got := ns.Do(func() error { return io.ErrShortWrite }); got != io.ErrShortWrite {
		t.Errorf("Do returned %v, want what fn returned", got)
	}
	func() {
		defer func() { recover() }()
		_ = ns.Do(func() error { panic("test") })
	}()
	if after, err = os.Readlink(current); after != before {
		t.Errorf("after a panic in %s, want %s (%v)", after, before, err)
	}
}

// TestVeth sends a byte of TCP there and back, over a veth pair and a router
// between three namespaces.
func TestVeth(t *testing.T) {
	client, router, server := Test(t), Test(t), Test(t)
	must(t, Veth(client, "eth0", router, "client"))
	must(t, Veth(router, "server", server, "eth0"))
	prefix := netip.MustParsePrefix
	must(t, client.AddAddr("eth0", prefix("10.1.0.2/24")))
	must(t, router.AddAddr("client", prefix("10.1.0.1/24")))
	must(t, router.AddAddr("server", prefix("10.2.0.1/24")))
	must(t, server.AddAddr("eth0", prefix("10.2.0.2/24")))
	must(t, client.AddRoute(prefix("0.0.0.0/0"), netip.MustParseAddr("10.1.0.1")))
	must(t, server.AddRoute(prefix("10.1.0.0/24"), netip.MustParseAddr("10.2.0.1")))
	must(t, router.Sysctl("net.ipv4.ip_forward", "1"))
	must(t, client.SetMTU("eth0", 1400))

	l, err := server.Listen("tcp", "10.2.0.2:80")
	must(t, err)
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err == nil {
			io.Copy(c, c)
			c.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, "tcp", "10.2.0.2:80")
	must(t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	_, err = c.Write([]byte("x"))
	must(t, err)
	var p [1]byte
	if _, err = io.ReadFull(c, p[:]); err != nil || p[0] != 'x' {
		t.Errorf("read %q, %v", p, err)
	}

	must(t, client.Delete("eth0"))
	if got := names(t, router); got != "lo server " {
		t.Errorf("the router has %q after one cable has gone", got)
	}
	if err := client.SetUp("eth0"); err == nil {
		t.Error("eth0 can be brought up after it was deleted")
	}
}

func TestListenPacket(t *testing.T) {
	ns := Test(t)
	a, err := ns.ListenPacket("udp", "127.0.0.1:5353")
	must(t, err)
	defer a.Close()
	if _, err := ns.ListenPacket("udp", "127.0.0.1:5353"); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("the same port again in the same namespace: %v", err)
	}
	b, err := Test(t).ListenPacket("udp", "127.0.0.1:5353")
	if err != nil {
		t.Fatalf("the same port in another namespace: %v", err)
	}
	b.Close()
}

func TestSysctl(t *testing.T) {
	one, two := Test(t), Test(t)
	const name = "net.ipv4.tcp_congestion_control"
	must(t, one.Sysctl(name, "reno"))
	read := func(ns *NS) (s string) {
		must(t, ns.Do(func() error {
			b, err := os.ReadFile(sysctlPath(name))
			s = strings.TrimSpace(string(b))
			return err
		}))
		return s
	}
	must(t, two.Sysctl("net.ipv4.tcp_sack", "0"))
	if got := read(one); got != "reno" {
		t.Errorf("%s = %s, want reno", name, got)
	}
	if err := one.Sysctl("net.ipv4.no_such_thing", "1"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a sysctl that does not exist: %v", err)
	}
}

func TestCommand(t *testing.T) {
	ns := Test(t)
	must(t, Veth(ns, "here", ns, "there"))
	out, err := ns.Output(exec.Command("cat", "/proc/self/net/dev"))
	if err != nil || !strings.Contains(string(out), "there:") {
		t.Errorf("cat /proc/self/net/dev: %v\n%s", err, out)
	}
	cmd := exec.Command("readlink", "/proc/self/ns/net")
	var b strings.Builder
	cmd.Stdout = &b
	must(t, ns.Start(cmd))
	must(t, cmd.Wait())
	if mine, _ := os.Readlink(current); b.Len() == 0 || strings.TrimSpace(b.String()) == mine {
		t.Errorf("a command runs in %s, the test in %s", b.String(), mine)
	}
}
