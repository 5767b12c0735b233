// Hello is the least that a program needs: a card, a stack on it, and a page by net/http.
//
//	sudo go run ./examples/hello      then, in another terminal: curl http://10.0.0.2/
package main

import (
	"io"
	"log"
	"net/http"
	"net/netip"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/tap"
)

func main() {
	card, err := tap.Open(tap.Config{HostAddr: netip.MustParsePrefix("10.0.0.1/24")}) // the kernel's end
	if err != nil {
		log.Fatal(err)
	}
	stack, err := gonet.New(gonet.Config{Link: card, Addr: netip.MustParsePrefix("10.0.0.2/24")})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := stack.Listen("tcp", ":80")
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "Hello from a network stack in Go.\n")
	})))
}
