package tcp_test

import (
	"fmt"
	"io"
	"log"
	"net/netip"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/tcp"
	"github.com/seed-012105e5/gonet/tcp/congestion"
)

// connect makes two stacks with cfg, and a connection between them.
func connect(cfg tcp.Config) (client, server *tcp.Conn, end func()) {
	cardA, cardB := link.Pipe(link.PipeConfig{})
	a, err := gonet.New(gonet.Config{Link: cardA, Addr: netip.MustParsePrefix("10.0.0.1/24"), TCP: cfg})
	if err != nil {
		log.Fatal(err)
	}
	b, err := gonet.New(gonet.Config{Link: cardB, Addr: netip.MustParsePrefix("10.0.0.2/24"), TCP: cfg})
	if err != nil {
		log.Fatal(err)
	}
	l, err := b.Listen("tcp", ":80")
	if err != nil {
		log.Fatal(err)
	}
	c, err := a.Dial("tcp", "10.0.0.2:80")
	if err != nil {
		log.Fatal(err)
	}
	peer, err := l.Accept()
	if err != nil {
		log.Fatal(err)
	}
	return c.(*tcp.Conn), peer.(*tcp.Conn), func() { a.Close(); b.Close() }
}

// Info tells the state of a connection.
func ExampleConn_Info() {
	client, server, end := connect(tcp.Config{})
	defer end()
	client.Write(make([]byte, 5000))
	io.ReadFull(server, make([]byte, 5000))
	i := server.Info()
	fmt.Println(i.State, i.Local, i.SendMSS, i.SACK, i.CongestionControl)
	// Output: ESTABLISHED 10.0.0.2:80 1448 true cubic
}

// CloseWrite sends the FIN; the other direction goes on.
func ExampleConn_CloseWrite() {
	client, server, end := connect(tcp.Config{})
	defer end()
	fmt.Fprint(client, "question")
	client.CloseWrite()
	question, err := io.ReadAll(server)
	fmt.Fprintf(server, "answer to %s", question)
	server.Close()
	answer, _ := io.ReadAll(client)
	fmt.Printf("%s, %v\n", answer, err)
	// Output: answer to question, <nil>
}

// A congestion control is chosen by name for all connections, and changed for one
// while it runs. Programs add their own to Config.Controllers.
func ExampleConn_SetCongestionControl() {
	fixed := func(p congestion.Params) congestion.Controller { return congestion.NewReno(p) }
	client, server, end := connect(tcp.Config{
		Congestion:  "mine",
		Controllers: map[string]congestion.Factory{"mine": fixed},
	})
	defer end()
	fmt.Println(server.Info().CongestionControl, client.SetCongestionControl("bbr"), client.Info().CongestionControl)
	// Output: mine <nil> bbr
}
