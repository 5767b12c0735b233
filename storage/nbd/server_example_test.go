package nbd_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/nbd"
)

// A server of two exports on loopback, of which one comes later and one goes.
func ExampleServer() {
	var server nbd.Server
	if err := server.Add(nbd.Export{Name: "scratch", Description: "64 MiB of memory", Device: block.NewMemory(64 << 20)}); err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // or a listener of a gonet.Stack
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- server.Serve(l) }()

	if err := server.Add(nbd.Export{Name: "golden", ReadOnly: true, Device: block.NewMemory(1 << 30)}); err != nil {
		log.Fatal(err)
	}
	if err := server.Remove(context.Background(), "scratch"); err != nil { // its clients end first
		log.Fatal(err)
	}
	fmt.Println(server.Stats()["Exports"], "export")
	if err := server.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-done)
	// Output:
	// 1 export
	// nbd: the server is closed
}
