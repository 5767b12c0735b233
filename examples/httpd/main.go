// Httpd serves a web page about itself over a TCP/IP stack of its own, live:
// the connections, and what each layer counts.
//
//	sudo go run ./examples/httpd             makes tap0; look at http://10.0.0.2/
//	go run ./examples/httpd                  needs no root: http://127.0.0.1:8080/
//	sudo go run ./examples/httpd -dir .      serves the files of a directory instead
//	sudo go run ./examples/httpd -tls        https://10.0.0.2/, with HTTP/2
//
// Ctrl-C ends it, and takes the tap away.
package main

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/seed-012105e5/gonet/examples/internal/setup"
	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/internal/selfsigned"
)

const about = `
Httpd serves a web page about itself over a TCP/IP stack of its own behind a
tap. As an ordinary user it runs in a private network, and this machine gets to
it through a forwarded port.`

func main() { program.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	tap := setup.New("httpd", "", about, out).Tap()
	var s server
	tap.StringVar(&s.dir, "dir", "", "serve the files of this `directory`")
	tap.BoolVar(&s.tls, "tls", false, "serve HTTPS, with a certificate made at the start that nobody vouches for")
	port := tap.Int("port", 0, "`port` to serve on (default 80, or 443 with -tls)")
	tap.Forward(port)
	tap.Check(s.openDir)
	tap.Examples("", "-tls", "-dir . -forward 127.0.0.1:8080", "-pcap httpd.pcap -loss 0.01 -delay 20ms")
	if err := tap.Parse(args); err != nil {
		return err
	}
	if *port == 0 {
		*port = s.defaultPort()
	}
	return tap.Run(ctx, func(host *setup.Host) error {
		l, err := host.Listen("tcp", ":"+strconv.Itoa(*port))
		if err != nil {
			return err
		}
		tap.Say("serving on %s", s.url(tap.Reach()))
		return s.serve(ctx, l, s.handler(tap, host), tap)
	})
}

// A server is what the command line says of the web server.
type server struct {
	dir string
	tls bool

	root *os.Root // of dir, which no link leads out of
}

// openDir opens the directory that is served, if there is one.
func (s *server) openDir() (err error) {
	if s.dir == "" {
		return nil
	}
	if s.root, err = os.OpenRoot(s.dir); err != nil {
		return program.Usage("-dir: %v", err)
	}
	return nil
}

// handler returns what is to be served.
func (s *server) handler(tap *setup.Tap, host *setup.Host) http.Handler {
	if s.root == nil {
		return newPage(host, tap.Addr, tap.Host)
	}
	return http.FileServerFS(s.root.FS())
}

// serve serves on l until ctx is done.
func (s *server) serve(ctx context.Context, l net.Listener, handler http.Handler, tap *setup.Tap) error {
	web := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	if !tap.Quiet {
		web.ErrorLog = log.New(tap.Out, "", 0)
		web.Handler = logAccess(handler, web.ErrorLog)
	}
	start := func() error { return web.Serve(l) }
	if s.tls {
		certificate, err := selfsigned.Certificate(tap.Addr.Addr(), time.Now())
		if err != nil {
			return err
		}
		web.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
		start = func() error { return web.ServeTLS(l, "", "") }
	}
	return setup.ServeHTTP(ctx, web, start)
}

func (s *server) scheme() string {
	if s.tls {
		return "https"
	}
	return "http"
}

func (s *server) defaultPort() int {
	if s.tls {
		return 443
	}
	return 80
}

func (s *server) url(hostPort string) string {
	host, port, err := net.SplitHostPort(hostPort)
	if err == nil && port == strconv.Itoa(s.defaultPort()) {
		hostPort = host
	}
	return s.scheme() + "://" + hostPort + "/"
}
