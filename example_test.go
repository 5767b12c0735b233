package gonet_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/netip"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/dns"
	"github.com/seed-012105e5/gonet/link"
)

// pair is two hosts, 10.0.0.1 and 10.0.0.2, joined by a cable in memory.
func pair() (a, b *gonet.Stack) {
	cardA, cardB := link.Pipe(link.PipeConfig{})
	a, err := gonet.New(gonet.Config{Link: cardA, Addr: netip.MustParsePrefix("10.0.0.1/24")})
	if err != nil {
		log.Fatal(err)
	}
	b, err = gonet.New(gonet.Config{Link: cardB, Addr: netip.MustParsePrefix("10.0.0.2/24")})
	if err != nil {
		log.Fatal(err)
	}
	return a, b
}

// Two stacks in one program: one serves HTTP, the other one asks it.
func Example() {
	client, server := pair()
	defer client.Close()
	defer server.Close()

	l, err := server.Listen("tcp", ":80")
	if err != nil {
		log.Fatal(err)
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello, %s.", r.Host)
	}))

	web := &http.Client{Transport: &http.Transport{DialContext: client.DialContext}}
	response, err := web.Get("http://10.0.0.2/")
	if err != nil {
		log.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	response.Body.Close()
	fmt.Println(response.Status, string(body))
	// Output: 200 OK Hello, 10.0.0.2.
}

func ExampleStack_DialContext() {
	client, server := pair()
	defer client.Close()
	defer server.Close()

	l, err := server.Listen("tcp", ":7")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.Copy(c, c)
		c.Close()
	}()

	c, err := client.DialContext(context.Background(), "tcp", "10.0.0.2:7")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "echo")
	buf := make([]byte, 4)
	io.ReadFull(c, buf)
	fmt.Printf("%s from %v\n", buf, c.RemoteAddr())
	// Output: echo from 10.0.0.2:7
}

func ExampleStack_ListenPacket() {
	client, server := pair()
	defer client.Close()
	defer server.Close()

	p, err := server.ListenPacket("udp", ":53")
	if err != nil {
		log.Fatal(err)
	}
	c, err := client.Dial("udp", "10.0.0.2:53")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(c, "a datagram")
	buf := make([]byte, 1500)
	n, _, err := p.ReadFrom(buf)
	fmt.Printf("%s, %v\n", buf[:n], err)
	// Output: a datagram, <nil>
}

func ExampleStack_Ping() {
	client, server := pair()
	defer client.Close()
	defer server.Close()

	rtt, err := client.Ping(context.Background(), netip.MustParseAddr("10.0.0.2"))
	fmt.Println(rtt > 0, err)
	// Output: true <nil>
}

// The counters tell why packets were dropped.
func ExampleStack_Stats() {
	client, server := pair()
	defer client.Close()
	defer server.Close()

	_, err := client.Dial("tcp", "10.0.0.2:81") // where nobody listens
	fmt.Println(err)
	fmt.Println(server.Stats()["tcp.OutResets"] > 0)
	// Output:
	// dial tcp 10.0.0.2:81: connect: connection refused
	// true
}

// Hosts have names where Config.DNS says whom to ask. Some need nobody.
func ExampleStack_LookupHost() {
	card, other := link.Pipe(link.PipeConfig{})
	close(other.Tx) // nobody is there
	stack, err := gonet.New(gonet.Config{
		Link: card,
		Addr: netip.MustParsePrefix("10.0.0.1/24"),
		DNS: dns.Config{
			Servers: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.2:53")},
			Search:  []string{"example.org"},
			Hosts:   map[string][]netip.Addr{"printer": {netip.MustParseAddr("10.0.0.9")}},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer stack.Close()

	for _, name := range []string{"printer", "localhost", "nobody.invalid"} {
		addrs, err := stack.LookupHost(context.Background(), name)
		fmt.Println(addrs, err)
	}
	// Output:
	// [10.0.0.9] <nil>
	// [127.0.0.1] <nil>
	// [] lookup nobody.invalid: no such host
}
