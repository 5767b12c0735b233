// Fetch gets a URL with a TCP/IP stack of its own behind a tap.
//
//	python3 -m http.server -b 10.0.0.1 8000 &
//	sudo go run ./examples/fetch http://10.0.0.1:8000/
//	sudo go run ./examples/fetch -v -o page.html -dns 9.9.9.9 http://example.com/
//
// The first is on this machine, where the tap must be there before the server
// starts: make it with sudo ip tuntap add dev tap0 mode tap multi_queue user
// $USER; sudo ip addr add 10.0.0.1/24 dev tap0. The second needs a kernel that
// forwards: sudo sysctl net.ipv4.ip_forward=1; sudo iptables -t nat -A POSTROUTING -s
// 10.0.0.2 -j MASQUERADE.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/seed-012105e5/gonet/examples/internal/setup"
	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/tcp"
)

const about = `
Fetch gets a URL with a TCP/IP stack of its own behind a tap. Names are asked
of the DNS server that -dns names, by the stack, or else of this machine's
resolver. Hosts, and servers, other than the kernel's end of the tap are reached
if the kernel forwards.`

func main() { program.Main(run) }

// options are what the command line says.
type options struct {
	url, file string
	insecure  bool
	verbose   bool
	names     bool // the stack has names
}

func run(ctx context.Context, args []string, out io.Writer) error {
	tap := setup.New("fetch", "URL", about, out).Tap()
	var o options
	tap.StringVar(&o.file, "o", "", "write the body to this `file` (default nowhere)")
	tap.BoolVar(&o.verbose, "v", false, "print the headers, and the state of the connection at the end")
	tap.BoolVar(&o.insecure, "k", false, "take any certificate, as those of httpd -tls")
	tap.Names()
	limit := tap.Duration("timeout", 0, "give up after so long (default never)")
	if err := tap.Parse(args, &o.url); err != nil {
		return err
	}
	if o.url == "" {
		return program.Usage("want a URL")
	}
	o.names = tap.HasNames()
	if *limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *limit)
		defer cancel()
	}
	return tap.Run(ctx, func(host *setup.Host) error { return fetch(ctx, host, o, tap.Out) })
}

// fetch gets the URL, and prints how that went.
func fetch(ctx context.Context, host *setup.Host, o options, out io.Writer) (err error) {
	body := io.Discard
	if o.file != "" {
		file, err := os.Create(o.file)
		if err != nil {
			return fmt.Errorf("-o: %w", err)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		body = file
	}
	var last net.Conn // redirects take several, one after another
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (c net.Conn, err error) {
			last, err = o.dial(ctx, host, network, address)
			return last, err
		},
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: o.insecure},
		ForceAttemptHTTP2:  true,
		DisableCompression: true,
	}
	defer transport.CloseIdleConnections()

	began := time.Now()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, o.url, nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if o.verbose {
		response.Header.Write(out)
	}
	first := time.Since(began)
	n, err := io.Copy(body, response.Body)
	took := time.Since(began)
	fmt.Fprintf(out, "%s %s: %d bytes in %v, the first after %v, %s\n", response.Proto, response.Status,
		n, took.Round(time.Microsecond), first.Round(time.Microsecond), program.BitRate(8*float64(n)/took.Seconds()))
	if c, ok := last.(*tcp.Conn); ok && o.verbose {
		info := c.Info()
		fmt.Fprintf(out, "connection   %v to %v, %v\n%s", info.Local, info.Remote, info.State, setup.Describe(info))
	}
	if err == nil && response.StatusCode >= 400 {
		return errors.New(response.Status)
	}
	return err
}

// dial connects through the stack. Where that has no names it tries the addresses
// which this machine's resolver knows one after another.
func (o options) dial(ctx context.Context, host *setup.Host, network, address string) (net.Conn, error) {
	if o.names {
		return host.DialContext(ctx, network, address)
	}
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", name) // of a literal address: itself
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		var c net.Conn
		if c, err = host.DialContext(ctx, network, net.JoinHostPort(a.Unmap().String(), port)); err == nil {
			return c, nil
		}
	}
	return nil, err
}
