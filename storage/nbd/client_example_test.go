package nbd_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
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

// A remote disk becomes /dev/nbd0, until Ctrl-C. When its server comes back after a
// crash, whoever uses it has only waited.
func ExampleAttach() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	d := nbd.Dialer{ReconnectTimeout: time.Minute, Replay: nbd.ReplayUnflushed}
	client, err := d.Dial(ctx, "nbd://192.0.2.1/disk")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	dev, err := os.Open("/dev/nbd0")
	if err != nil {
		log.Fatal(err)
	}
	a, err := nbd.Attach(ctx, dev, client, nbd.AttachConfig{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("mount", a.Path())
	if err := a.Wait(); err != nil {
		log.Fatal(err)
	}
}
