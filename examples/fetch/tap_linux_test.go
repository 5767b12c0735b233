package main

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/examples/internal/testing/exampletest"
	"github.com/seed-012105e5/gonet/internal/testing/dnstest"
	"github.com/seed-012105e5/gonet/internal/testing/netns"
)

func TestMain(m *testing.M) { netns.Main(m) }

// TestTap fetches from the kernel, whose server is there before the tap.
func TestTap(t *testing.T) {
	ns := netns.Test(t)
	l, err := ns.Listen("tcp", "0.0.0.0:8000")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: mux()}
	ended := make(chan error)
	go func() { ended <- server.Serve(l) }()
	p := exampletest.Start(t, ns, run, "http://10.0.0.1:8000/text", "-v", "-timeout", "9s")
	out, err := p.Wait()
	if err != nil || !strings.Contains(out, "HTTP/1.1 200 OK: 23 bytes in") || !strings.Contains(out, " to 10.0.0.1:8000, ") {
		t.Errorf("%v\n%s", err, out)
	}
	server.Close()
	<-ended
}

// TestNames fetches by the name of a host, which a DNS server on the kernel knows.
func TestNames(t *testing.T) {
	ns := netns.Test(t)
	l, err := ns.Listen("tcp", "0.0.0.0:8000")
	if err != nil {
		t.Fatal(err)
	}
	var names net.PacketConn
	if names, err = ns.ListenPacket("udp", "0.0.0.0:5353"); err != nil {
		t.Fatal(err)
	}
	defer names.Close()
	go dnstest.Respond(func(q dnstest.Query) dnstest.Response {
		if q.Name != "www.example.org." {
			t.Errorf("asked for %q", q.Name)
		}
		return dnstest.Answers(dnstest.A(q.Name, 60, "10.0.0.1"))
	}).ServePacket(names)
	server := &http.Server{Handler: mux()}
	ended := make(chan error)
	go func() { ended <- server.Serve(l) }()
	p := exampletest.Start(t, ns, run, "-dns", "10.0.0.1:5353", "http://www.example.org:8000/text", "-v", "-timeout", "9s")
	out, err := p.Wait()
	if err != nil || !strings.Contains(out, "HTTP/1.1 200 OK: 23 bytes in") || !strings.Contains(out, " to 10.0.0.1:8000, ") {
		t.Errorf("%v\n%s", err, out)
	}
	server.Close()
	<-ended
}
