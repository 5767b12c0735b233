// Services runs echo, discard, daytime and chargen on a TCP/IP stack of its own, and a
// web server for load tests: one program as the peer of many clients.
//
//	sudo go run ./examples/services
//
//	nc 10.0.0.2 7                           echo (RFC 862); over UDP too, as the next three
//	nc 10.0.0.2 9 </dev/zero                discard (RFC 863)
//	nc 10.0.0.2 13                          daytime (RFC 867)
//	nc 10.0.0.2 19 | head                   character generator (RFC 864)
//	curl http://10.0.0.2/                   1024 bytes
//	curl http://10.0.0.2/bytes/1000000      so many bytes, always the same ones
//	curl http://10.0.0.2/sha256/1000000     the SHA-256 of these
//	curl -T FILE http://10.0.0.2/sink       the SHA-256 and the length of what came
//
// As an ordinary user it runs in a private network, and the web server alone
// is to be seen from outside, on http://127.0.0.1:8080/.
package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/seed-012105e5/gonet/examples/internal/setup"
	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/udp"
)

const about = `
Services runs echo (port 7), discard (9), daytime (13) and the character
generator (19), each over TCP and UDP, and a web server, on a TCP/IP stack of
its own behind a tap. The web server has
  /          1024 bytes
  /bytes/N   N bytes, always the same ones
  /sha256/N  the SHA-256 of these
  /sink      takes a PUT or POST, and answers with its SHA-256 and length`

func main() { program.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	tap := setup.New("services", "", about, out).Tap()
	port := tap.Int("port", 80, "`port` of the web server")
	tap.Forward(port)
	tap.Examples("", "-port 8080 -rootless -forward 127.0.0.1:8081")
	if err := tap.Parse(args); err != nil {
		return err
	}
	return tap.Run(ctx, func(host *setup.Host) error {
		l, err := start(host, *port)
		if err != nil {
			return err
		}
		announce(tap)
		return serve(ctx, l)
	})
}

// announce says where all servers are.
func announce(tap *setup.Tap) {
	address := func(port int) string {
		return netip.AddrPortFrom(tap.Addr.Addr(), uint16(port)).String()
	}
	for _, s := range classics {
		tap.Say("%-8s %s, TCP and UDP", s.name, address(s.port))
	}
	tap.Say("%-8s http://%s/", "http", tap.Reach())
}

// start starts the servers, but for that of the web, whose listener it returns.
func start(host *setup.Host, port int) (net.Listener, error) {
	for _, s := range classics {
		if err := s.start(host); err != nil {
			return nil, err
		}
	}
	return host.Listen("tcp", ":"+strconv.Itoa(port))
}

// serve is the web server, until ctx is done.
func serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: newWeb()}
	return setup.ServeHTTP(ctx, server, func() error { return server.Serve(l) })
}

// start serves s over TCP and UDP, until the stack ends.
func (s service) start(host *setup.Host) error {
	address := ":" + strconv.Itoa(s.port)
	l, err := host.Listen("tcp", address)
	if err != nil {
		return err
	}
	p, err := host.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	host.Go(func() { s.accept(host, l) })
	host.Go(func() { s.answerAll(p.(*udp.Conn)) })
	return nil
}

// accept serves the connections of l.
func (s service) accept(host *setup.Host, l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // the stack has ended
		}
		host.Go(func() {
			defer c.Close()
			s.serve(c)
		})
	}
}

// firstUserPort is the least port that programs of users have. Two servers
// below it would answer each other's answers for ever.
const firstUserPort = 1024

// answerAll answers the datagrams that come to c.
func (s service) answerAll(c *udp.Conn) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFromAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return // the stack has ended
		}
		if err != nil || from.Port() < firstUserPort {
			continue
		}
		if answer := s.answer(buf[:n]); answer != nil {
			_, _ = c.WriteToAddrPort(answer, from) // datagrams may be lost
		}
	}
}
