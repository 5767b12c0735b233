package nbd_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/nbd"
)

// A client that connects again when the server has gone, and sends again what the
// server may have lost.
func ExampleDialer() {
	var server nbd.Server
	defer server.Close()
	if err := server.Add(nbd.Export{Name: "scratch", Device: block.NewMemory(1 << 20)}); err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // or a listener of a gonet.Stack
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(l)

	dialer := nbd.Dialer{
		Connections:      4,
		ReconnectTimeout: time.Minute,
		Replay:           nbd.ReplayUnflushed,
		// DialContext: that of a gonet.Stack, to go over its sockets
	}
	client, err := dialer.Dial(context.Background(), "nbd://"+l.Addr().String()+"/scratch")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if _, err := client.WriteAt([]byte("hello"), 4096); err != nil {
		log.Fatal(err)
	}
	if err := client.Sync(); err != nil {
		log.Fatal(err)
	}
	p := make([]byte, 5)
	if _, err := client.ReadAt(p, 4096); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, over %d connections\n", p, client.Connections())
	// Output: hello, over 4 connections
}
