package main

import (
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/seed-012105e5/gonet/examples/internal/testing/exampletest"
	"github.com/seed-012105e5/gonet/internal/testing/dnstest"
	"github.com/seed-012105e5/gonet/internal/testing/netns"
)

func TestMain(m *testing.M) { netns.Main(m) }

// TestTap pings the kernel.
func TestTap(t *testing.T) {
	p := exampletest.Start(t, nil, run, "-c", "3", "-i", "0.01", "-s", "4000", "-stats")
	out, err := p.Wait()
	if err != nil {
		t.Error(err)
	}
	for _, want := range []string{"tap0: the kernel is 10.0.0.1/24", "PING 10.0.0.1 4000(4028) bytes", "4008 bytes from 10.0.0.1: icmp_seq=3 ttl=64", "3 received, 0% packet loss", "icmp.RxReplies                   3"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// TestTapDeadNeighbour shows that who is not there is told from who is silent.
func TestTapDeadNeighbour(t *testing.T) {
	p := exampletest.Start(t, nil, run, "-c", "1", "10.0.0.9")
	if out, err := p.Wait(); err == nil || !strings.Contains(out, "icmp_seq=1: no host on this network says by ARP that it has 10.0.0.9") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestTapNobody(t *testing.T) {
	p := exampletest.Start(t, nil, run, "-c", "1", "-W", "0.05", "-quiet", "10.0.0.9")
	if out, err := p.Wait(); err == nil || strings.Contains(out, "tap0") || !strings.Contains(out, "100% packet loss") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestTapName pings the kernel by a name that a DNS server there knows.
func TestTapName(t *testing.T) {
	ns := netns.Test(t)
	names, err := ns.ListenPacket("udp", "0.0.0.0:53")
	if err != nil {
		t.Fatal(err)
	}
	defer names.Close()
	go dnstest.Respond(func(q dnstest.Query) dnstest.Response {
		if q.Name != "www.example.org." {
			return dnstest.Response{RCode: dnsmessage.RCodeNameError}
		}
		return dnstest.Answers(dnstest.A(q.Name, 60, "10.0.0.1"))
	}).ServePacket(names)
	for name, want := range map[string]string{"www.example.org": "64 bytes from 10.0.0.1: icmp_seq=1", "nobody.example.org": ""} {
		p := exampletest.Start(t, ns, run, "-c", "1", "-dns", "10.0.0.1", name)
		out, err := p.Wait()
		if (err == nil) != (want != "") || !strings.Contains(out, want) || err != nil && !strings.Contains(err.Error(), "no such host") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
