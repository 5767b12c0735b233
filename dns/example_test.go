package dns_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/seed-012105e5/gonet/dns"
	"github.com/seed-012105e5/gonet/edge"
)

// A Resolver needs no stack: without Dial it asks servers by package net. Here there
// are none, and only what Hosts says is known.
func Example() {
	cfg := dns.Config{
		Hosts: map[string][]netip.Addr{"www.example.org": {netip.MustParseAddr("192.0.2.1")}},
	}
	calls, quit, ended := edge.New[dns.Call](0, nil), make(chan struct{}), make(chan struct{})
	go func() {
		dns.Run(calls.In(), quit, cfg, &dns.Stats{})
		close(ended)
	}()
	defer func() { close(quit); <-ended }()

	r := dns.NewResolver(calls.Out(), ended, cfg)
	fmt.Println(r.LookupHost(context.Background(), "WWW.example.org"))

	_, err := r.LookupHost(context.Background(), "www.example.net")
	var e *net.DNSError
	fmt.Println(errors.As(err, &e) && e.IsNotFound)
	// Output:
	// [192.0.2.1] <nil>
	// true
}
