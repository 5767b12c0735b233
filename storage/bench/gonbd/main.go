// Command gonbd serves memory by github.com/pojntfx/go-nbd, for the benchmark
// beside it to compare with. It is a module of its own, so that the storage module
// does not depend on go-nbd.
package main

import (
	"flag"
	"log"
	"net"

	"github.com/pojntfx/go-nbd/pkg/backend"
	"github.com/pojntfx/go-nbd/pkg/server"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:10809", "`address`")
	size := flag.Int64("size", 1<<30, "of the export, in `bytes`")
	flag.Parse()
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	memory := backend.NewMemoryBackend(make([]byte, *size))
	for {
		conn, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer conn.Close()
			server.Handle(conn, []*server.Export{{Name: "", Backend: memory}}, &server.Options{SupportsMultiConn: true})
		}()
	}
}
