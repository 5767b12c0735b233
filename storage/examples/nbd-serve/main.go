// Nbd-serve exports disks as network block devices: memory, files, images, overlays,
// files on web servers, disks in buckets of S3 servers.
//
//	go run ./storage/examples/nbd-serve -export m=memory:64M -export f=file:disk.img
//	go run ./storage/examples/nbd-serve -listen unix:/tmp/nbd.sock -export =image:golden.qcow2
//	go run ./storage/examples/nbd-serve -export b=s3:bucket/disk,journal=disk.journal,create,size=1T
//	sudo go run ./storage/examples/nbd-serve -tap tap0 -listen :10809 -export m=memory:1G
//	go run ./storage/examples/nbd-serve -rootless -export m=memory:64M
//
//	nbdinfo --list nbd://127.0.0.1:10809
//	nbdcopy disk.img nbd://127.0.0.1:10809/m
//	sudo nbd-client 127.0.0.1 -N m /dev/nbd0 && sudo mkfs.ext4 /dev/nbd0
//
// Ctrl-C lets what clients have asked for come to its end, for some seconds, syncs the
// disks, and ends.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/image"
	"github.com/seed-012105e5/gonet/storage/block/s3"
	"github.com/seed-012105e5/gonet/storage/block/spec"
	"github.com/seed-012105e5/gonet/storage/examples/internal/setup"
	"github.com/seed-012105e5/gonet/storage/nbd"
)

const about = `Nbd-serve exports disks as network block devices, to nbd-client, nbdcopy, qemu and all
else that speaks NBD.

Usage: nbd-serve [flags] -export NAME=DISK [-export NAME=DISK ...]

Examples:
  nbd-serve -export m=memory:64M -export f=file:disk.img
  nbd-serve -listen unix:/tmp/nbd.sock -export =image:golden.qcow2
  nbd-serve -tls required -cert server.pem -key server.key -clients ca.pem -export m=memory:1G
  nbd-serve -export b=s3:bucket/disk,endpoint=http://127.0.0.1:9000,journal=disk.journal,create,size=1T
  sudo nbd-serve -tap tap0 -listen :10809 -export m=memory:1G
  nbd-serve -rootless -export m=memory:64M`

// grace is how long requests may take when the program is to end.
const grace = 5 * time.Second

func main() { program.Main(run) }

// options are the command line.
type options struct {
	where           setup.Where
	listen          string
	exports         []export
	readOnly, quiet bool
	stats           bool
	tlsMode         string
	cert, key, ca   string
}

// An export is a name and what it stands for, as -export says.
type export struct{ name, disk string }

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	if goOn, err := o.where.Enter(ctx, o.listen); err != nil || !goOn {
		return err
	}
	server, err := o.server()
	if err != nil {
		return err
	}
	if err := o.where.Open(); err != nil {
		return err
	}
	defer o.where.Close()
	disks, err := o.open(ctx, server, out)
	defer func() {
		for i, d := range disks {
			if closeErr := d.Close(); closeErr != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", o.exports[i].name, closeErr))
			}
		}
	}()
	if err != nil {
		return err
	}
	l, err := o.where.Listen(ctx, o.listen)
	if err != nil {
		return err
	}
	o.announce(out, l.Addr(), disks)
	err = serve(ctx, server, l)
	for i, d := range disks {
		if !d.ReadOnly() {
			if syncErr := d.Sync(); syncErr != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", o.exports[i].name, syncErr))
			}
		}
	}
	if o.stats {
		fmt.Fprint(out, server.Stats())
	}
	return err
}

// serve serves until ctx is done, and then lets requests come to their end.
func serve(ctx context.Context, server *nbd.Server, l net.Listener) error {
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	server.Shutdown(late) // or ends them
	if err := <-ended; !errors.Is(err, nbd.ErrServerClosed) {
		return err
	}
	return nil
}

// kinds are the disks that -export can name. What a user of an image should know is
// told by note, if that is not nil, wherever the image stands: also as the base of
// another disk.
func (o *options) kinds(note func(image, text string)) *spec.Set {
	kind := image.Kind()
	open := kind.Open
	kind.Open = func(ctx context.Context, set *spec.Set, arg string, options spec.Values) (block.Device, error) {
		dev, err := open(ctx, set, arg, options)
		if err == nil && note != nil {
			tellNotes(dev, arg, note)
		}
		return dev, err
	}
	return spec.Builtin().With(kind, s3.Kind(o.where.DialContext))
}

// tellNotes tells those of an image, and of the images behind it.
func tellNotes(dev block.Device, name string, note func(image, text string)) {
	for {
		i, ok := dev.(*image.Image)
		if !ok {
			return
		}
		header := i.Header()
		for _, text := range header.Notes() {
			note(name, text)
		}
		if i.Base() == nil {
			return
		}
		dev, name = i.Base().Device(), header.Backing
	}
}

// parse reads the command line.
func parse(args []string, out io.Writer) (*options, error) {
	o := new(options)
	flags := flag.NewFlagSet("nbd-serve", flag.ContinueOnError)
	flags.StringVar(&o.listen, "listen", "127.0.0.1:10809", "`address` to listen at: host:port, or unix:PATH")
	flags.Func("export", "`NAME=DISK` to export, any number of times; an empty name is what clients get that ask for none", func(text string) error {
		name, disk, ok := strings.Cut(text, "=")
		if !ok || disk == "" {
			return errors.New("want NAME=DISK, as m=memory:64M")
		}
		o.exports = append(o.exports, export{name, disk})
		return nil
	})
	flags.BoolVar(&o.readOnly, "read-only", false, "let nobody write")
	flags.BoolVar(&o.quiet, "quiet", false, "print errors only")
	flags.BoolVar(&o.stats, "stats", false, "print the counters of the server at the end")
	flags.StringVar(&o.tlsMode, "tls", "off", "`what` clients without TLS get: off (there is none), allowed, required")
	flags.StringVar(&o.cert, "cert", "", "`file` with the certificate of the server (PEM)")
	flags.StringVar(&o.key, "key", "", "`file` with its key")
	flags.StringVar(&o.ca, "clients", "", "`file` with the certificates that vouch for clients; then only those are served")
	o.where.ServerFlags(flags)
	err := setup.Parse(flags, args, out, about, "\nDisks:\n"+o.kinds(nil).Usage())
	switch {
	case err != nil:
		return nil, err
	case flags.NArg() > 0:
		return nil, program.Usage("unexpected argument %q", flags.Arg(0))
	case len(o.exports) == 0:
		return nil, program.Usage("nothing to export: want -export NAME=DISK")
	}
	return o, nil
}

// server is the server that the flags describe, without exports.
func (o *options) server() (*nbd.Server, error) {
	server := new(nbd.Server)
	if !o.quiet {
		server.ErrorLog = func(remote net.Addr, err error) { fmt.Fprintf(os.Stderr, "%v: %v\n", remote, err) }
	}
	modes := map[string]nbd.TLSMode{"off": nbd.TLSOff, "allowed": nbd.TLSAllowed, "required": nbd.TLSRequired}
	mode, ok := modes[o.tlsMode]
	if !ok {
		return nil, program.Usage("-tls %q: there are off, allowed and required", o.tlsMode)
	}
	if server.TLSMode = mode; mode == nbd.TLSOff {
		if o.cert != "" || o.key != "" || o.ca != "" {
			return nil, program.Usage("-cert, -key and -clients want -tls allowed or required")
		}
		return server, nil
	}
	certificate, err := tls.LoadX509KeyPair(o.cert, o.key)
	if err != nil {
		return nil, program.Usage("-cert and -key: %w", err)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	if o.ca == "" {
		return server, nil
	}
	text, err := os.ReadFile(o.ca)
	if err != nil {
		return nil, program.Usage("-clients: %w", err)
	}
	server.TLS.ClientCAs, server.TLS.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !server.TLS.ClientCAs.AppendCertsFromPEM(text) {
		return nil, program.Usage("-clients %s has no certificate", o.ca)
	}
	return server, nil
}

// open opens the disks, and adds them to the server. It returns those that it has
// opened on error too.
func (o *options) open(ctx context.Context, server *nbd.Server, out io.Writer) (disks []*block.Disk, err error) {
	set := o.kinds(func(image, text string) {
		if !o.quiet {
			fmt.Fprintf(out, "note: %s: %s\n", image, text)
		}
	})
	for _, e := range o.exports {
		d, err := set.Open(ctx, e.disk)
		if err != nil {
			return disks, fmt.Errorf("-export %s=%s: %w", e.name, e.disk, err)
		}
		disks = append(disks, d)
		if err := server.Add(nbd.Export{Name: e.name, Description: e.disk, Device: d, ReadOnly: o.readOnly}); err != nil {
			return disks, fmt.Errorf("-export %s=%s: %w", e.name, e.disk, err)
		}
	}
	return disks, nil
}

// announce says what is served where.
func (o *options) announce(out io.Writer, at net.Addr, disks []*block.Disk) {
	if o.quiet {
		return
	}
	fmt.Fprintf(out, "%-40s %8s  %s\n", "URI", "size", "disk")
	for i, d := range disks {
		size, _ := d.Size()
		mode := ""
		if o.readOnly || d.ReadOnly() {
			mode = ", read-only"
		}
		fmt.Fprintf(out, "%-40s %8s  %s%s\n", o.uri(at, o.exports[i].name), spec.FormatSize(size), o.exports[i].disk, mode)
	}
}

// uri is that of an export, in the form of doc/uri.md of the NBD specification.
func (o *options) uri(at net.Addr, name string) string {
	scheme := "nbd"
	if o.tlsMode == "required" {
		scheme = "nbds"
	}
	if at.Network() == "unix" {
		return scheme + "+unix:///" + name + "?socket=" + at.String()
	}
	return scheme + "://" + o.where.Host(at) + "/" + name
}
