package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/s3"
	"github.com/seed-012105e5/gonet/storage/block/spec"
	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/drive/api"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
	"github.com/seed-012105e5/gonet/storage/drive/page"
	"github.com/seed-012105e5/gonet/storage/iscsi"
	"github.com/seed-012105e5/gonet/storage/nbd"
	"github.com/seed-012105e5/gonet/storage/usb/gadget"
	"github.com/seed-012105e5/gonet/storage/usb/usbip"
	"github.com/seed-012105e5/gonet/storage/usb/usbredir"
)

// Files in the store that are no images.
const (
	usersFile = "users"
	tlsFile   = "tls.pem"
)

// grace is how long calls may take when the program is to end.
const grace = 5 * time.Second

// A daemon is what the program runs. It is closed in the opposite order.
type daemon struct {
	options *options
	out     io.Writer
	log     *slog.Logger
	store   *imagestore.Store
	drives  []*drive.Drive
	api     *api.Server
	web     *http.Server
	nbd     *nbd.Server
	iscsi   *iscsi.Server
	usbip   *usbip.Server
	redirs  []*usbredir.Server // of each drive
	gadget  *gadget.Gadget
	resumed bool // gadget is one that a program has left which was killed
	serving []func() error
}

// open opens all and listens.
func open(ctx context.Context, o *options, out io.Writer) (d *daemon, err error) {
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	d = &daemon{options: o, out: out, log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	d.store, err = imagestore.Open(imagestore.Config{Dir: o.store, Quota: int64(o.quota), SyncEvery: int64(o.syncEvery), Static: o.static, Log: d.log})
	if err != nil {
		return d, err
	}
	lines, err := d.openDoors(ctx)
	if err != nil {
		return d, err
	}
	users, err := d.openAPI(ctx)
	if err != nil {
		return d, err
	}
	for _, line := range append(users, lines...) {
		fmt.Fprintln(out, line)
	}
	return d, nil
}

// openRemote opens an image by its URL. Of its parameters there are none that matter here.
func (d *daemon) openRemote(ctx context.Context, address string, _ map[string]string) (*block.Disk, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	fetch := d.fetch()
	client := fetch.Client(false, 10*time.Second)
	kinds := spec.Builtin().With(spec.HTTPKind("http", client), spec.HTTPKind("https", client), s3.Kind(fetch.Dial))
	switch u.Scheme {
	case "http", "https", "s3":
		return kinds.Open(ctx, address)
	case "nbd":
		dialer := nbd.Dialer{DialContext: fetch.Dial}
		c, err := dialer.Dial(ctx, address)
		if err != nil {
			return nil, err
		}
		return block.NewDisk(c)
	}
	return nil, fmt.Errorf("no image can be at a URL of %s: want http, https, s3 or nbd", u.Scheme)
}

func (d *daemon) fetch() *api.Fetch {
	f := &api.Fetch{Private: d.options.fetchPrivate}
	if d.options.where.OnStack() {
		f.DialContext = d.options.where.DialContext
	}
	return f
}

// openAPI opens the API. The lines say where it is, and who may use it.
func (d *daemon) openAPI(ctx context.Context) (lines []string, err error) {
	o := d.options
	var auth *api.Auth
	if o.users == "on" {
		users, password, err := api.LoadUsers(filepath.Join(o.store, usersFile))
		if err != nil {
			return nil, err
		}
		auth = api.NewAuth(users)
		if password != "" {
			lines = append(lines, "user admin, password "+password+" (shown only now)")
		}
	}
	d.api, err = api.New(api.Config{Store: d.store, Drives: d.drives, Auth: auth, Page: page.Handler(), Fetch: *d.fetch(), Log: d.log, Idle: o.idle})
	if err != nil {
		return nil, err
	}
	d.web = &http.Server{
		Handler: d.api, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
	}
	scheme, serve := "http", d.web.Serve
	if o.tls != "off" {
		// HTTP/1.1 only: uploads are faster, and WebSockets need it.
		d.web.Protocols = new(http.Protocols)
		d.web.Protocols.SetHTTP1(true)
		scheme, serve = "https", func(l net.Listener) error { return d.web.ServeTLS(l, "", "") }
	}
	at, err := d.listen(ctx, o.listen, serve)
	if err != nil {
		return nil, fmt.Errorf("-listen: %w", err)
	}
	if o.tls != "off" {
		c, err := d.certificate(at)
		if err != nil {
			return nil, fmt.Errorf("-tls: %w", err)
		}
		d.web.TLSConfig = &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
		lines = append(lines, "certificate SHA-256 "+api.Fingerprint(c))
	}
	return append([]string{scheme + "://" + at + "/"}, lines...), nil
}

// certificate is that of the file, or one's own for the address where the API is.
func (d *daemon) certificate(at string) (tls.Certificate, error) {
	if d.options.tls != "self" {
		cert, key, _ := strings.Cut(d.options.tls, ",")
		return tls.LoadX509KeyPair(cert, key)
	}
	host, _, _ := net.SplitHostPort(at)
	name, _ := os.Hostname()
	return api.SelfSigned(filepath.Join(d.options.store, tlsFile), []string{host, name})
}

// listen has what comes at an address be served, once all is open.
func (d *daemon) listen(ctx context.Context, address string, serve func(net.Listener) error) (string, error) {
	l, err := d.options.where.Listen(ctx, address)
	if err != nil {
		return "", err
	}
	d.serving = append(d.serving, func() error { return serve(l) })
	return d.options.where.Host(l.Addr()), nil
}

// serve serves until the context ends or something fails.
func (d *daemon) serve(ctx context.Context) error {
	failed := make(chan error, len(d.serving))
	for _, s := range d.serving {
		go func() { failed <- s() }()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// close ends calls, then drives, then what machines are connected to, then the store.
func (d *daemon) close() error {
	late, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if d.api != nil {
		d.api.Close()
	}
	if d.web != nil && d.web.Shutdown(late) != nil {
		d.web.Close()
	}
	var errs []error
	for _, v := range d.drives {
		errs = append(errs, v.Close())
	}
	if d.iscsi != nil {
		d.iscsi.Shutdown(late)
	}
	if d.usbip != nil {
		d.usbip.Close()
	}
	for _, r := range d.redirs {
		r.Close()
	}
	if d.gadget != nil {
		errs = append(errs, d.gadget.Remove())
	}
	if d.nbd != nil {
		d.nbd.Shutdown(late)
	}
	if d.store != nil {
		errs = append(errs, d.store.Close())
	}
	return errors.Join(errs...)
}
